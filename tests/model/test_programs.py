"""The programs of a command line, as far as they are certain; placeholders that do not exist."""

from __future__ import annotations

import pytest

from pyconfd.model.programs import programs


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nginx -t", ["nginx"]),
        ("/usr/sbin/haproxy -c -f {{ src }}", ["/usr/sbin/haproxy"]),
        ("'/opt/my app/check' {{ src }}", ["/opt/my app/check"]),
        ("A=1 B=2 checker x", ["checker"]),
        ("2>/dev/null checker >/dev/null", ["checker"]),
        ("checker 2>&1 -t >|x; echo >&2 x", ["checker"]),
        ("checker < {{ src }} | other -", ["checker", "other"]),
        ("one; two && three || four & five", ["one", "two", "three", "four", "five"]),
        ("if one; then two; else three; fi", ["one", "two", "three"]),
        ("while ! one; do two; done", ["one", "two"]),
        ("{ one; }", ["one"]),
        ("(one)", ["one"]),
        ('kill -HUP "$(cat /run/x.pid)"', ["cat"]),
        ("test -s {{ src }} && grep -q x {{ src }}", ["grep"]),
        ("exec one", ["one"]),
        ("sudo one", ["sudo"]),
        ("one; one", ["one"]),
        ("nginx -t # other", ["nginx"]),
        ("for x in a b; do one $x; done", ["one"]),
        ("", []),
    ],
)
def test_the_first_word_of_each_command_is_a_program(text: str, names: list[str]) -> None:
    """Assignments, redirections, keywords and what the shell itself does are none."""
    assert list(programs(text)) == names


@pytest.mark.parametrize(
    "text",
    [
        "$CHECKER {{ src }}",
        "`find_checker` {{ src }}",
        '"$HOME"/check',
        "~/check",
        "./check",
        "bin/check",
        "PATH=/opt/bin check",
        "PATH=/opt/bin; check",
        "export PATH=/opt/bin; check",
        ". /etc/functions; check",
        "check() { true; }; check",
        "function check { true; }; check",
        "alias check=true; check",
        "command -v check && check",
        "[ -x /opt/check ] && /opt/check",
        "test -x /opt/check && /opt/check",
        "which check && check",
        "cat <<EOF\ncheck\nEOF",
        "case $x in a) check;; esac",
        "eval check",
        "echo \"it's",
    ],
)
def test_what_cannot_be_known_is_left_out(text: str) -> None:
    """No false alarm for what the shell finds elsewhere, or what the line looks for itself."""
    assert not [name for name in programs(text) if "check" in name]
