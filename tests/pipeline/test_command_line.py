"""Paths in the operator's command lines: one word wherever a shell looks at them, never code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.model.command_line import environment, fill, reference, refusal
from pyconfd.system.proc import Commands

#: Each would make PWN in the current folder if a shell parsed it anywhere.
HOSTILE = [
    '/"; touch PWN; "/k',
    "/'; touch PWN; '/k",
    "/$(touch PWN)",
    "/`touch PWN`",
    "/a\ntouch PWN\n",
    "/EOF\ntouch PWN",
    "/x}; touch PWN; ${x",
    "/x);touch PWN;(",
    '/\\"; touch PWN; #',
    "/* ? [a-z] ~ $HOME",
]

#: Command lines that print the path and a bar, wherever the placeholder stands.
ACCEPTED = [
    "printf '%s|' {{ dest }}",
    'printf "%s|" "$(echo {{ dest }})"',
    'printf "%s|" "$(echo "{{ dest }}")"',
    "# don't\nprintf '%s|' {{ dest }}",
    "printf '%s|' {{ dest }} # it's {{ src }}",
    'printf "%s|" "$(printf %s "$(printf %s {{ dest }})")"',
    "(printf '%s|' {{ dest }})",
    "if true; then printf '%s|' \"{{ dest }}\"; fi",
    'sh -c \'printf "%s|" "$1"\' sh {{ dest }}',
    'sh -ec \'printf "%s|" "$PYCONFD_DEST"\' {{ src }}',
    "x={{ dest }}; printf '%s|' \"$x\"",
    "case a in a) printf '%s|' {{ dest }};; esac",
    "printf '%s|' \\\n{{ dest }}",
    'printf "%s|" "${HOME:+}"{{ dest }}',
    "awk -v 'x=1' 'BEGIN { printf \"%s|\", ENVIRON[\"PYCONFD_DEST\"] }' {{ src }}",
]

#: Command lines in which a path would be parsed again, or might be.
REFUSED = [
    "sh -c 'cat {{ src }}'",
    'sh -c "cat {{ src }}"',
    "sh -c {{ src }}",
    "/bin/sh -ec 'cat {{ src }}'",
    "bash -o pipefail -c 'cat {{ src }}'",
    "timeout 5 dash -c 'cat {{ src }}'",
    "docker exec web sh -c 'nginx -t -c {{ src }}'",
    "env -S 'cat {{ src }}'",
    "su nobody -c 'cat {{ src }}'",
    "eval cat {{ src }}",
    'eval "cat {{ src }}"',
    'x={{ src }}; eval "cat $x"',
    'x={{ src }}; sh -c "cat $x"',
    "trap 'rm {{ src }}' EXIT",
    "ssh peer cat {{ src }}",
    "echo `cat {{ src }}`",
    'echo "`cat {{ src }}`"',
    'cat "${X:-"{{ src }}"}"',
    "cat ${X:-{{ src }}}",
    "echo $(( {{ src }} ))",
    "cat <<EOF\n{{ src }}\nEOF",
    "cat <<'EOF'\nit's\nEOF\ncat {{ src }}",
    "echo \\{{ src }}",
    'echo "\\{{ src }}"',
    "echo $'a\\'{{ src }}'",
    "echo 'open {{ src }}",
    'x="$(case a in a) echo {{ src }};; esac)"',
    "python3 -c 'open(\"{{ src }}\")'",
    "perl -ne 'print {{ src }}' x",
    "awk '/{{ src }}/ { print }' x",
    'sed "s|x|{{ dest }}|" x',
    "echo cat {{ src }} | sh",
    "echo {{ src }} | xargs sh -c",
    "make check FILE={{ src }}",
]


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("text", ACCEPTED)
def test_any_path_stays_one_word(text: str, path: str, tmp_path: Path) -> None:
    """However deeply the placeholder is nested, the shell prints the path and runs nothing."""
    assert refusal(text) == ""
    env = environment(src="/src", dest=path)
    report = Commands().run(f"cd {tmp_path}; {reference(text)}", timeout_s=5, env=env)
    # A substitution without quotes around it takes the last line break, as shells do.
    assert report.output.rstrip("|\n") == path.rstrip("\n")
    assert not (tmp_path / "PWN").exists()


@pytest.mark.parametrize("text", REFUSED)
def test_what_would_parse_a_path_again_is_refused(text: str) -> None:
    """A second interpreter, or a place where quotes mean something else."""
    assert refusal(text)


@pytest.mark.parametrize("text", [text.replace("{{ src }}", "/a") for text in REFUSED])
def test_without_a_placeholder_nothing_is_refused(text: str) -> None:
    """The operator's own text is his."""
    if "{{" not in text:
        assert refusal(text) == ""
        assert reference(text) == text


def test_people_see_the_path() -> None:
    """In logs and in the status."""
    assert fill("t {{ src }} {{.dest}}", src="/a b", dest="/d") == "t '/a b' /d"
