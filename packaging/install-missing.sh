#!/bin/bash
# Installs the Debian packages of debian-packages-test.txt that are missing.
#
#   packaging/install-missing.sh demo|test|bench
#
# A package is missing when its program is neither on PATH nor in /usr/sbin, or its file is absent. Installing needs
# root or a sudo that asks nothing; without them: one line that says what to do, and status 1.
# Debian's packages start their daemon and enable it at boot. Here they are wanted as programs
# alone, so both are prevented for what this run installs; what was there before is not touched.
set -euo pipefail

readonly wanted_by=${1:?usage: install-missing.sh demo|test|bench}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here list=$here/debian-packages-test.txt policy=/usr/sbin/policy-rc.d

say() { printf '%s\n' "$*" >&2; }

missing=()
while read -r package program users; do
    case $package in '' | '#'*) continue ;; esac
    [[ " $users " == *" $wanted_by "* ]] || continue
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || [[ -f $program ]] ||
        missing+=("$package")
done <"$list"
[[ ${#missing[@]} -gt 0 ]] || exit 0

root=()
if [[ $(id -u) -ne 0 ]]; then root=(sudo -n); fi
if ! command -v apt-get >/dev/null; then
    say "missing: ${missing[*]} (no apt-get here: install these programs, then try again)"
    exit 1
fi
if [[ ${#root[@]} -gt 0 ]] && ! sudo -n true 2>/dev/null; then
    say "missing: ${missing[*]} (may not install them: as root, run apt-get install ${missing[*]})"
    exit 1
fi

# invoke-rc.d and systemd's Debian scripts ask this program before they start anything. One that
# is there already is the administrator's word and stays.
placed=
restore() { [[ -z $placed ]] || "${root[@]}" rm -f "$policy"; }
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [[ ! -e $policy ]]; then
    placed=yes
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" install -m 755 /dev/stdin "$policy"
fi

apt_install() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends -o DPkg::Lock::Timeout=120 -o APT::Install-Suggests=false \
        "${missing[@]}"
}

say "installing ${missing[*]}"
log=$(mktemp)
if ! apt_install >"$log" 2>&1; then
    # The package lists are absent in a fresh image, or older than the mirror.
    "${root[@]}" apt-get update -qq >"$log" 2>&1 || true
    if ! apt_install >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        say "missing: ${missing[*]} (apt-get could not install them, see above)"
        exit 1
    fi
fi
rm -f "$log"

# Their daemons must not come up at the next boot, nor now where the policy let them start.
for package in "${missing[@]}"; do
    while read -r unit; do
        if command -v systemctl >/dev/null; then
            "${root[@]}" systemctl disable --now --quiet "$unit" >/dev/null 2>&1 || true
        else
            "${root[@]}" env DPKG_MAINTSCRIPT_PACKAGE="$package" \
                deb-systemd-helper disable "$unit" >/dev/null 2>&1 || true
        fi
    done < <(dpkg -L "$package" "$package-common" 2>/dev/null |
        sed -n 's,^.*/systemd/system/\([^/@]*\.service\)$,\1,p')
done
