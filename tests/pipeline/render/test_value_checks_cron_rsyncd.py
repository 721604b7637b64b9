"""
What a template of `format = "cron"` or `"rsyncd"` accepts is read back as data: by rsync, cron's
`crontab -n`, and sh.

`crontab -n` only says whether it can read a file, and takes one without users. So what cron makes
of each line is read by the grammar of crontab(5) here (tests/support/crontab.py).
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.errors import TemplateFault
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
from tests.support.crontab import read_line

pytestmark = pytest.mark.integration

PIECES = [
    *" \t\n\r\0;#%&|<>()[]{}$`\"'\\!*?~=^@-+,:./_",
    *("\\\n", "%\n", "$(touch PWNED)", "`touch PWNED`", "; touch PWNED", "&include /etc/passwd"),
    *("[PWNED]", "\n[PWNED]\npath = /", "\n* * * * * root touch PWNED", "@reboot", "PATH=/PWNED"),
    *("SHELL=/PWNED", "%HOME%", "${HOME}", "\u2028", "\u202e", "\x85", "\x1b", "é", "a", "x1"),
]
PLACES = {
    "cron": [
        "*/5 * * * * root printf %s {{ v }} end",
        "*/5 * * * * root printf %s p{{ v }}s end",
        "*/5 * * * * root printf %s {{ v | quoted }} end",
        "*/5 * * * * root printf %s {{ v | words }} end",
        "{{ v }} * * * * root true",
        "1 2 3 4 {{ v }} root true",
        "*/5 * * * * {{ v }} true",
        "NAME={{ v }}",
    ],
    "rsyncd": ["comment = {{ v }}", "comment = p {{ v }} s", "comment = {{ v | words }}"],
}


def accepted(folder: Path, kind: str, place: str, count: int = 60) -> Iterator[tuple[str, str]]:
    """Hostile values, the same in every run, with the line that a template makes of each."""
    (folder / "t.j2").write_text("{% set v = getv('/v') %}\n" + place)
    renderer = Renderer(str(folder), {})
    resource = Resource(
        name="v", origin=Origin("v"), src="t.j2", dest="/none", keys=("/v",), format=kind
    )
    dice = random.Random(place)
    values = [*PIECES, *("".join(dice.choices(PIECES, k=dice.randint(1, 4))) for _ in range(count))]
    for value in dict.fromkeys(values):
        store = Store()
        store.apply(Listed("fake", 1, 1, (KeyValue("/v", value.encode(), 1),)))
        try:
            yield value, renderer.render(resource, store.snapshot()).content.decode()
        except TemplateFault:
            continue


def words_of(commands: list[str], folder: Path) -> list[list[str]]:
    """The words that sh reads in each command."""
    script = "".join(f"{command}\nprintf '\\n\\n'\n" for command in commands)
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace("printf @s", "printf '%s\\n'")],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": "/PWNED"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == b""
    return [
        one.decode().split("\n") for one in done.stdout.removesuffix(b"\n\n\n").split(b"\n\n\n")
    ]


@pytest.mark.parametrize("place", PLACES["cron"])
def test_an_accepted_value_is_one_part_of_a_line_of_cron(tmp_path: Path, place: str) -> None:
    """No line, field, user, variable or word of the command is added, and cron reads the file."""
    place = place.replace("printf %s", "printf @s")
    lines = list(accepted(tmp_path, "cron", place))
    assert len(lines) > 5, "a proof over nothing"
    usual = read_line(place.replace("{{ v }}", "x").replace("{{ v | quoted }}", "x"))
    read = [read_line(line) for _, line in lines]
    assert {(one[0], len(one)) for one in read} == {(usual[0], len(usual))}
    if "printf" in place:
        found = words_of([one[3] for one in read], tmp_path)
        for (value, _), words in zip(lines, found, strict=True):
            each = value.split() if "words" in place else [value]
            assert words == ([f"p{value}s"] if "p{{" in place else each) + ["end"]
        assert {one[1:3] for one in read} == {usual[1:3]}
    assert not list(tmp_path.rglob("PWNED"))


def test_cron_reads_what_is_accepted_as_arguments(tmp_path: Path) -> None:
    """Its own parser, on a crontab of a user."""
    place = "*/5 * * * * echo {{ v }} {{ v | quoted }} {{ v | words }}"
    lines = [line for _, line in accepted(tmp_path, "cron", place)]
    crontab = shutil.which("crontab")
    assert crontab
    (tmp_path / "good").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "bad").write_text(f"{lines[0]}\nPWNED /b\n")
    for name, status in (("good", 0), ("bad", 1)):
        done = subprocess.run(
            [crontab, "-n", str(tmp_path / name)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize("place", PLACES["rsyncd"])
def test_an_accepted_value_is_one_parameter_of_rsync(tmp_path: Path, place: str) -> None:
    """rsync lists as many modules as the template wrote, each with the value as its comment."""
    made = list(accepted(tmp_path, "rsyncd", place))
    assert len(made) > 20, "a proof over nothing"
    text = "".join(f"[m{n}]\npath = /\n{line}\n" for n, (_, line) in enumerate(made))
    (tmp_path / "rsyncd.conf").write_text(f"use chroot = no\n{text}")
    comments = [
        " ".join(place.replace("{{ v }}", value).replace("{{ v | words }}", value).split(" ")[2:])
        for value, _ in made
    ]
    expected = [(f"m{n}", " ".join(one.split())) for n, one in enumerate(comments)]
    assert listed(tmp_path / "rsyncd.conf") == expected


def test_the_proof_can_fail(tmp_path: Path) -> None:
    """Printed raw, the same values make lines of their own, and words of their own."""
    (tmp_path / "raw.conf").write_text("[m0]\npath = /\ncomment = a\n[PWNED]\npath = /\n")
    assert [name for name, _ in listed(tmp_path / "raw.conf")] == ["m0", "PWNED"]
    lines = dict(accepted(tmp_path, "cron", "*/5 * * * * root printf @s {{ v | raw }} end"))
    assert read_line(lines["SHELL=/PWNED"])[0] == "entry"
    with pytest.raises(AssertionError):
        read_line(lines["%HOME%"])
    with pytest.raises(AssertionError):
        read_line(lines["\n* * * * * root touch PWNED"])
    words_of([read_line(lines["; touch PWNED"])[3]], tmp_path)
    assert (tmp_path / "PWNED").exists()


def listed(conf: Path) -> list[tuple[str, str]]:
    """The modules that rsync offers with this file and their comments, as over a connection."""
    ours, theirs = socket.socketpair()
    argv = ["rsync", "--daemon", f"--config={conf}", f"--log-file={conf}.log"]
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
    theirs.close()
    ours.settimeout(60)
    found = []
    try:
        ours.sendall(b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n#list\n")
        with ours, ours.makefile("rb") as lines:
            for line in lines:
                if line.startswith(b"@RSYNCD: EXIT"):
                    break
                if not line.startswith(b"@"):
                    name, _, comment = line.decode().rstrip("\n").partition("\t")
                    found.append((name.strip(), comment))
    finally:
        process.kill()
        process.communicate()
    return found
