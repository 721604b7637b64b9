"""What Tab offers: by the words alone, and in a real bash, zsh and fish on a terminal."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.cli.command_pages import page_of
from pyconfd.cli.completion import candidates, typed_words
from pyconfd.cli.main import COMMANDS
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.recipes import recipe_names
from tests.support.daemons.etcd import PrivateEtcd

CONFDIR = """\
[service.edge]
reload_cmd = "true"

[[template]]
src = "a"
dest = "/x/a"
keys = []
service = "edge"

[[template]]
src = "a"
dest = "/x/b"
keys = []
"""


def offered(*words: str) -> list[str]:
    """Without descriptions."""
    return [one.partition("\t")[0] for one in candidates(words, {})]


@pytest.fixture
def confdir(tmp_path: Path) -> str:
    """With two resources, one of a named service."""
    for name in ("conf.d", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "conf.d" / "web.toml").write_text(CONFDIR)
    (tmp_path / "templates" / "a").touch()
    return str(tmp_path)


def test_commands_and_options_are_those_of_the_tables() -> None:
    """All commands; of each command the options that its help lists."""
    assert offered("") == list(COMMANDS)
    assert offered("--")[:-1] == [f"--{option.name}" for option in OPTIONS]
    for command in COMMANDS:
        names = [f"--{option.name}" for option in page_of(command).options]
        assert offered(command, "--") == list(dict.fromkeys([*names, "--help"]))
    assert offered("--no-wa") == ["--no-watch"]
    assert offered("-onet") == ["-onetime"]


def test_values_of_options() -> None:
    """Choices, behind a space or an equals sign; files and folders are left to the shell."""
    assert offered("--log-format", "") == ["text", "json"]
    assert offered("--log-format=j") == ["--log-format=json"]
    assert offered("check", "--values", "x") == [":files"]
    assert offered("check", "--confdir=") == [":folders"]
    assert offered("--backend", "et") == ["etcd", "etcdv3"]
    assert offered("--interval", "") == []
    assert offered("register", "a", ":1", "--", "py") == [":files"]


def test_names_of_resources_services_and_recipes(confdir: str) -> None:
    """Of the confdir that the command line names."""
    assert offered("explain", "--confdir", confdir, "") == ["web", "web#2"]
    assert offered("--confdir", confdir, "--resource", "web#") == ["web#2"]
    assert offered("pin", "--confdir", confdir, "") == ["edge", "web", "web#2"]
    assert candidates(["fleet", "--service", "e"], {"PYCONFD_CONFDIR": confdir}) == [
        "edge\tservice"
    ]
    assert offered("init", "") == list(recipe_names())
    assert offered("recipes", "test", "haproxy", "csy") == ["csync2"]
    assert offered("log-level", "de") == ["debug"]
    assert offered("explain", "--confdir", "/nowhere", "") == []


def test_a_line_is_taken_apart_as_a_shell_does() -> None:
    """An open quote is closed; a space begins a new word."""
    assert typed_words("pyconfd check --conf") == ["check", "--conf"]
    assert typed_words("pyconfd check ") == ["check", ""]
    assert typed_words("pyconfd explain 'a b") == ["explain", "a b"]


def test_a_store_that_does_not_answer_is_left_out_quickly() -> None:
    """Within seconds, without a word."""
    begun = time.monotonic()
    assert offered("members", "--node", "127.0.0.1:1", "drain", "") == []
    assert time.monotonic() - begun < 5


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    """With two members of a service."""
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as etcd:
        etcd.put("/nginx/www/upstream/a:80", "10.0.0.1:80")
        etcd.put("/nginx/www/upstream/b", "10.0.0.2:80")
        yield etcd


@pytest.mark.integration
def test_members_of_the_store(etcd: PrivateEtcd) -> None:
    """Services, then the ids of one."""
    node = ("members", "--node", etcd.endpoint)
    assert offered(*node, "w") == ["weight", "www"]
    assert offered(*node, "drain", "") == ["www"]
    assert offered(*node, "drain", "www", "") == ["a:80", "b"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pyconfd that completes, and otherwise only prints its words."""
    folder = tmp_path_factory.mktemp("bin")
    script = (
        "#!/bin/sh\n"
        f'[ "$1" = completion ] && exec {sys.executable} -m pyconfd "$@"\n'
        'words=; for one; do words="$words<$one>"; done; echo "GOT$words"\n'
    )
    (folder / "pyconfd").write_text(script)
    (folder / "pyconfd").chmod(0o755)
    (folder / "keys.json").touch()
    return folder


#: What is typed, with a Tab -> what the program prints.
TYPED = {
    "pyconfd log-level de\t": "GOT<log-level><debug>",
    "pyconfd init nginx-b\t": "GOT<init><nginx-balancer>",
    "pyconfd --log-format=j\t": "GOT<--log-format=json>",
    "pyconfd check --values key\t": "GOT<check><--values><keys.json>",
}


@pytest.mark.integration
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_in_a_shell_on_a_terminal(shell: str, program: Path) -> None:
    """Lines are completed and run."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    start = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    load = f'eval "$(pyconfd completion {shell})"'
    if shell == "zsh":
        load = f"autoload -Uz compinit; compinit -u -D; {load}"
    seen = on_a_terminal(start, f"{load}; echo REA''DY\n", program)
    assert [line for line in seen.splitlines() if line.startswith("GOT")] == list(TYPED.values())


def on_a_terminal(argv: list[str], load: str, folder: Path) -> str:
    """Type all of TYPED, each when the one before was answered; everything that was printed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        environ = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb"}
        environ["PYTHONPATH"] = str(Path(__file__).parents[2])
        os.execvpe(argv[0], argv, {**environ, "HOME": str(folder)})
    seen = ""
    try:
        os.write(terminal, load.encode())
        seen += _read(terminal, "READY")
        for typed, wanted in TYPED.items():
            os.write(terminal, typed.encode())
            seen += _read(terminal, wanted.rpartition("<")[2].rstrip(">"))
            os.write(terminal, b"\n")
            seen += _read(terminal, wanted)
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)
    return seen


def _read(terminal: int, wanted: str) -> str:
    """Until `wanted` was printed, or twenty seconds."""
    seen, deadline = "", time.monotonic() + 20
    while wanted not in seen and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1.0)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


@pytest.mark.integration
def test_fish_completes(program: Path) -> None:
    """By its own engine, `complete -C`, with descriptions."""
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    script = "pyconfd completion fish | source; complete -C 'pyconfd log-level de'; "
    script += "complete -C 'pyconfd che'; complete -C 'pyconfd check --values key'"
    environ = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}", "HOME": str(program)}
    environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=environ, cwd=program, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "debug",
        f"check\t{COMMANDS['check'].help}",
        "keys.json",
    ], done.stderr
