#!/bin/bash
# The Debian package of a wheel: pyconfd with all that it needs in an environment of its own below
# /usr/lib/pyconfd, units, user, folders, manual, completion.
#
#   packaging/deb.sh WHEEL FOLDER
#       PYTHON=...              has pip; what is installed is for /usr/bin/python3
#       SOURCE_DATE_EPOCH=...   the time of every file and of the changelog (default: now)
#       COMPRESSION=...         as -Z of dpkg-deb
#
# Needs dpkg-deb, strip and a package index. Byte code is made when it is installed.
set -euo pipefail

wheel=$(realpath "${1:?usage: deb.sh WHEEL FOLDER}")
out=$(realpath -m "${2:?usage: deb.sh WHEEL FOLDER}")
python=$(realpath -s "$(command -v "${PYTHON:-python3}")")
epoch=${SOURCE_DATE_EPOCH:-$(date +%s)}
readonly wheel out python epoch
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minor=$(/usr/bin/python3 -c 'import sys; print(sys.version_info.minor)')
version=$(basename "$wheel" | cut -d- -f2)-1
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
lib=$root/usr/lib/pyconfd site=$lib/lib/python3.$minor/site-packages share=$root/usr/share
doc=$share/doc/pyconfd

put() { install -D -m "$1" "$2" "$root/$3"; }

# The environment: as `python3 -m venv` makes it, of Debian's interpreter.
/usr/bin/python3 -m venv --without-pip "$work/of"
"$python" -m pip --python "$work/of/bin/python3" --disable-pip-version-check -qq install --no-compile --no-warn-script-location \
    -c requirements-dev.lock --target "$site" "$wheel[console]"
find "$site/google" -type f -exec chmod 0644 {} +
find "$site" -name '*.so' -exec strip --strip-unneeded {} +
mkdir -p "$lib/bin" "$share"
ln -s "../../../bin/python3.$minor" "$lib/bin/python3"
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.%s\n' "$minor" \
    >"$lib/pyvenv.cfg"
install -m 0755 /dev/stdin "$lib/bin/pyconfd" <<'END'
#!/usr/lib/pyconfd/bin/python3
import sys

from pyconfd.__main__ import main

sys.exit(main())
END
mkdir -p "$root/usr/bin"
ln -s ../lib/pyconfd/bin/pyconfd "$root/usr/bin/pyconfd"
rm -r "$site/bin" "$site"/pyconfd_etcd-*.dist-info/direct_url.json

# What the wheel has for the prefix, where Debian has it.
mv "$site/share/man" "$share/man"
find "$share/man" -type f -exec gzip -9n {} +
mv "$site/share/bash-completion" "$share/bash-completion"
mkdir -p "$share/zsh"
mv "$site/share/zsh/site-functions" "$share/zsh/vendor-completions"
mv "$site/share/fish" "$share/fish"
rm -r "$site/share"

for unit in packaging/*.service; do put 0644 "$unit" "lib/systemd/system/$(basename "$unit")"; done
put 0644 packaging/pyconfd.sysusers usr/lib/sysusers.d/pyconfd.conf
put 0644 packaging/pyconfd.tmpfiles usr/lib/tmpfiles.d/pyconfd.conf
put 0644 packaging/pyconfd.rules usr/share/polkit-1/rules.d/50-pyconfd.rules
for drop_in in packaging/pyconfd-*.conf; do
    put 0644 "$drop_in" "usr/share/doc/pyconfd/examples/$(basename "$drop_in")"
done
mkdir -p "$root"/etc/pyconfd/{conf.d,templates,scripts,register}
put 0644 packaging/debian/pyconfd.toml etc/pyconfd/pyconfd.toml
put 0600 packaging/debian/default etc/default/pyconfd
put 0644 packaging/debian/lintian-overrides usr/share/lintian/overrides/pyconfd
ln -s ../../../lib/pyconfd/lib/python3."$minor"/site-packages/pyconfd/docs "$doc/docs"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
gzip -9nc >"$doc/changelog.Debian.gz" <<END
pyconfd ($version) stable; urgency=medium

  * See changelog.gz.

 -- pyconfd maintainers <maintainers@pyconfd.invalid>  $(date -u -R -d "@$epoch")
END
"$python" packaging/debian/copyright.py "$site" >"$doc/copyright"
find "$site" -path '*.dist-info/RECORD' -delete  # of pip: dpkg knows the files, as they are now

# The package.
for script in postinst prerm postrm; do put 0755 "packaging/debian/$script" "DEBIAN/$script"; done
(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed -e "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" \
    -e "s/@MINOR@/$minor/; s/@NEXT@/$((minor + 1))/" packaging/debian/control >"$root/DEBIAN/control"
(cd "$root" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -type d -exec chmod 0755 {} +
mkdir -p "$out"
SOURCE_DATE_EPOCH=$epoch dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --build "$root" \
    "$out/pyconfd_${version}_$arch.deb"
