"""A state folder that another version has left: an older one is taken over, a newer one left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyconfd import __version__
from pyconfd.cli.main import main
from pyconfd.config.settings import load_settings
from pyconfd.errors import StateError
from pyconfd.registration.notify.state_file import StateFile
from pyconfd.registration.notify.states import PublishedState
from pyconfd.system.state_format import FORMAT
from tests.support.pyconfd import Confdir

#: What pyconfd 0.1.0 had left when the keys below had just come: the reload of `app` had failed,
#: `web` was taken back, and a guard held `shy`, whose keys are gone.
LEFT = Path(__file__).parent / "state-0.1.0"
KEYS = """\
[app]
a = "2"
[web]
a = "bad"
[sites."www.example.com"]
root = "/srv"
"""
LIVE = {
    "app": "/app/a=2;",
    "web": "/web/a=1;",
    "shy": "/shy/a=1;/shy/b=2;",
    "site-www.example.com": "site\n",
    "site-old.example.com": "site\n",
}


@pytest.fixture
def confdir(tmp_path: Path) -> Confdir:
    """The tree that 0.1.0 ran on, with one site less since then."""
    (tmp_path / "keys.toml").write_text(KEYS)
    made = Confdir(tmp_path, "--backend", "file", "--file", str(tmp_path / "keys.toml"))
    more = {
        "app": f'reload_cmd = "echo app >>{tmp_path}/reloads; test -e {tmp_path}/works"',
        "web": 'on_reload_failure = "revert"\n'
        f'reload_cmd = "echo web >>{tmp_path}/reloads; ! grep -q bad {tmp_path}/out/web.conf"',
        "shy": "",
    }
    for name, lines in more.items():
        loop = f"{{% for k, v in gets('/{name}/*') %}}{{{{ k }}}}={{{{ v }}}};{{% endfor %}}\n"
        made.template(f"{name}.j2", loop)
        made.resource(
            name,
            f'[template]\nsrc = "{name}.j2"\ndest = "@OUT@/{name}.conf"\n'
            f'keys = ["/{name}"]\n{lines}\n',
        )
    made.template("site.j2", "site\n")
    made.resource(
        "sites",
        '[template]\nsrc = "site.j2"\ndest = "@OUT@/site-{name}.conf"\n'
        'each = "/sites"\nkeys = ["/sites"]\n',
    )
    for name, text in LIVE.items():
        (made.out / f"{name}.conf").write_text(text)
    return made


def state(confdir: Confdir) -> Path:
    """The part of the state folder that belongs to it."""
    return Path(load_settings(confdir.argv()[3:], {}).state_folder)


def live(confdir: Confdir) -> dict[str, str]:
    return {path.stem: path.read_text() for path in confdir.out.iterdir()}


def test_what_the_version_before_has_left_is_taken_over(confdir: Confdir, tmp_path: Path) -> None:
    """The reload that is pending happens; what is in quarantine, held or was made stays known."""
    folder = state(confdir)
    folder.mkdir(parents=True, mode=0o700)
    for path in LEFT.iterdir():
        (folder / path.name).write_text(path.read_text().replace("@ROOT@", str(tmp_path)))
    (tmp_path / "works").touch()
    done = confdir.once()
    assert (tmp_path / "reloads").read_text() == "app\n", done.stderr
    assert "held: shy: all 2 keys are gone" in done.stderr
    assert live(confdir) == {name: LIVE[name] for name in LIVE if "old" not in name}
    assert json.loads((folder / "format.json").read_text())["format"] == FORMAT
    assert not (folder / "journal").read_text()


def test_what_a_newer_version_has_left_is_left_alone(
    confdir: Confdir, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says by which version, where, and what can be done."""
    folder = state(confdir)
    folder.mkdir(parents=True, mode=0o700)
    newer = {"format": FORMAT + 1, "pyconfd": "9.1.0"}
    (folder / "format.json").write_text(json.dumps(newer))
    (folder / "journal").write_text('{"do":"a new word"}\n')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = confdir.once()
    assert done.returncode == 1
    assert done.stderr == (
        f"ERROR {folder}: pyconfd 9.1.0 has written this in format {FORMAT + 1}; "
        f"pyconfd {__version__} reads up to {FORMAT}; nothing was changed "
        "(start pyconfd 9.1.0 again; or move it away, "
        "which forgets pending reloads, refused and held versions, and which files were made)\n"
    )
    for words in (["--noop"], ["history", "app"], ["release", "app"]):
        assert main([*words, *confdir.argv()[3:]]) == 1, words
        assert "has written this in format" in capsys.readouterr().err, words
    (folder / "lock").unlink()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert live(confdir) == LIVE


def test_the_states_of_a_listener_have_their_format_too(tmp_path: Path) -> None:
    """Those of 0.1.0, a list, are read; newer ones are not."""
    known = PublishedState(service="VI_1", state="MASTER", number=150, since="t0", was="BACKUP")
    path = tmp_path / "pipe.states"
    path.write_text(
        '[{"service": "VI_1", "state": "MASTER", "number": 150, "since": "t0", "was": "BACKUP"}]'
    )
    file = StateFile(str(tmp_path / "pipe"))
    assert file.read() == {"VI_1": known}
    file.write({"VI_1": known})
    assert file.read() == {"VI_1": known}
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT + 1}))
    with pytest.raises(StateError, match="reads up to"):
        file.read()
