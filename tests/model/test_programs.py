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
    ("text", "names"),
    [
        ("sudo one", ["sudo", "one"]),
        ("sudo -n -u www -- one -c x", ["sudo", "one"]),
        ("sudo -nu www A=1 one", ["sudo", "one"]),
        ("sudo -l", ["sudo"]),
        ("sh -c 'one; two'", ["sh", "one", "two"]),
        ('/bin/bash -eu -o pipefail -c "one | two" x y', ["/bin/bash", "one", "two"]),
        ("sh -ec one", ["sh", "one"]),
        ("sh /opt/script -c one", ["sh"]),
        ("sh -c 'sh -c one'", ["sh", "one"]),
        ("bash -c 'shopt -s nullglob; [[ x ]]; one'", ["bash", "one"]),
        ("env A=1 -u B one", ["env"]),  # env takes what follows an assignment for the command
        ("env -u B --chdir /x A=1 one", ["env", "one"]),
        ("timeout 10 one", ["timeout", "one"]),
        ("timeout -k 5 --signal=HUP 10s one -x", ["timeout", "one"]),
        ("timeout -k5 $T one", ["timeout"]),
        ("nice one", ["nice", "one"]),
        ("nice -n 10 one", ["nice", "one"]),
        ("nice -10 one", ["nice", "one"]),
        ("nohup one", ["nohup", "one"]),
        ("flock -n /run/x.lock one", ["flock", "one"]),
        ("flock -w 5 /run/x.lock -c 'one && two'", ["flock", "one", "two"]),
        ("flock 9", ["flock"]),
        ("exec timeout 5 nice sh -c 'one {} >/dev/null' 2>&1", ["timeout", "nice", "sh", "one"]),
    ],
)
def test_what_a_wrapper_runs_is_a_program_too(text: str, names: list[str]) -> None:
    """Behind its options and operands, and in the code of a shell."""
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
        "env -i check",
        "env - check",
        "env -S 'check -x'",
        "sudo -i check",
        "bash -lc check",
        "sh -c '. /etc/functions; check'",
        "sh -c 'PATH=/opt/bin; check'",
        'sh -c "$CHECK"',
        "timeout 5 ./check",
        "timeout 5 echo check",
        "timeout $OPTIONS 5 check",
    ],
)
def test_what_cannot_be_known_is_left_out(text: str) -> None:
    """No false alarm for what the shell finds elsewhere, or what the line looks for itself."""
    assert not [name for name in programs(text) if "check" in name]
