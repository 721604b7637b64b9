"""The shipped conf.d and templates, for any number of sites, judged by the real nginx."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyconfd.errors import TemplateFault
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
from tests.support.daemons.etcd import free_ports
from tests.support.repository import ROOT

TEMPLATES = ROOT / "templates"
PYCONFD = [sys.executable, "-m", "pyconfd"]
SITE = "/nginx/www.example.com"
CLASSIC = {
    f"{SITE}/server_name": "www.example.com",
    f"{SITE}/upstream/server01": "127.0.0.1:8001",
    f"{SITE}/upstream/server02": "127.0.0.1:8002",
}


def rendered(keys: dict[str, str]) -> str:
    """The shipped template over these keys."""
    store = Store()
    pairs = tuple(KeyValue(key, value.encode(), 1) for key, value in keys.items())
    store.apply(Listed("test", 1, 1, pairs))
    resource = Resource(
        name="nginx",
        origin=Origin("conf.d/nginx.toml"),
        src="nginx-sites.conf.j2",
        dest="/nowhere",
        keys=("/nginx",),
    )
    return Renderer(str(TEMPLATES), {}).render(resource, store.snapshot()).content.decode()


def servers(text: str) -> list[str]:
    """The `server` lines of upstreams, without indent and semicolon."""
    lines = [line.strip() for line in text.splitlines()]
    return [line[7:-1] for line in lines if line.startswith("server ") and line.endswith(";")]


def test_the_classic_three_puts_give_a_working_site() -> None:
    """The keys of the classic example of this job, and nothing else."""
    text = rendered(CLASSIC)
    assert servers(text) == ["127.0.0.1:8001", "127.0.0.1:8002"]
    assert "server_name www.example.com;" in text
    assert "proxy_pass http://www.example.com;" in text
    for header in ("Host $host", "X-Real-IP $remote_addr"):
        assert f"proxy_set_header {header};" in text
    assert "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;" in text


def test_every_site_is_served() -> None:
    """Sites come and go with their keys; the order is that of their names."""
    text = rendered({**CLASSIC, "/nginx/a.example/server_name": "a.example b.example"})
    assert text.index("server_name a.example b.example;") < text.index("www.example.com;")


def test_a_site_without_members_answers_503() -> None:
    """nginx refuses an empty upstream, so there is none."""
    text = rendered({f"{SITE}/server_name": "www.example.com"})
    assert "return 503;" in text
    assert "upstream" not in text.replace("an upstream without", "")


def test_leftover_overrides_are_no_site() -> None:
    """What `pyconfd members` wrote for members that are gone brings no server block."""
    assert rendered({f"{SITE}/override/server01": '{"state": "down"}'}).strip() == ""


MEMBERS = [
    ({"addr": "h:1"}, "h:1"),
    ({"addr": "h:1", "weight": 1}, "h:1"),
    ({"addr": "h:1", "weight": 3}, "h:1 weight=3"),
    ({"addr": "h:1", "weight": 0}, "h:1 down"),
    ({"addr": "h:1", "max_fails": 0, "fail_timeout": "5s"}, "h:1 max_fails=0 fail_timeout=5s"),
    ({"addr": "h:1", "down": True}, "h:1 down"),
    ({"addr": "h:1", "down": False, "backup": False}, "h:1"),
    ({"addr": "unix:/run/backends/app.sock"}, "unix:/run/backends/app.sock"),
    ({"addr": "[::1]:80", "labels": {"zone": "a"}, "version": "2", "started": "x"}, "[::1]:80"),
]


@pytest.mark.parametrize(("value", "line"), MEMBERS, ids=lambda each: str(each)[:50])
def test_a_json_member_has_its_parameters(value: dict[str, object], line: str) -> None:
    """Fields that nginx has no use for are left to others."""
    assert servers(rendered({f"{SITE}/upstream/a": json.dumps(value)})) == [line]


OVERRIDES = [
    ("h:1", {"state": "drain"}, "h:1 down"),
    ("h:1", {"state": "down"}, "h:1 down"),
    ('{"addr": "h:1", "down": true}', {"state": "up"}, "h:1"),
    ('{"addr": "h:1", "weight": 2}', {"weight": 7}, "h:1 weight=7"),
    ('{"addr": "h:1", "weight": 2}', {"state": "drain"}, "h:1 weight=2 down"),
]


@pytest.mark.parametrize(("member", "override", "line"), OVERRIDES)
def test_an_override_wins_over_the_member(
    member: str, override: dict[str, object], line: str
) -> None:
    """What an operator wrote beside the member's own key decides."""
    keys = {f"{SITE}/upstream/a": member, f"{SITE}/override/a": json.dumps(override)}
    assert servers(rendered(keys)) == [line]


def test_backups_stand_in_when_there_is_nothing_else() -> None:
    """nginx refuses an upstream of backups alone."""
    backup = {f"{SITE}/upstream/b": '{"addr": "h:2", "backup": true}'}
    assert servers(rendered(backup)) == ["h:2"]
    assert servers(rendered({**backup, f"{SITE}/upstream/a": "h:1"})) == ["h:1", "h:2 backup"]


BAD = [
    ("upstream/a", "1.2.3.4:80; } server { listen 9999; }", "is not one plain word"),
    ("upstream/a", "", "is not one plain word"),
    ("upstream/a", '{"weight": 2}', "has no addr"),
    ("upstream/a", '{"addr": "h:1", "weight": "2"}', "weight must be a whole number"),
    ("upstream/a", '{"addr": "h:1", "weight": -1}', "weight must be a whole number"),
    ("upstream/a", '{"addr": "h:1", "max_fails": true}', "max_fails must be a whole number"),
    ("upstream/a", '{"addr": "h:1", "backup": 1}', "backup must be true or false"),
    ("upstream/a", '{"addr": ', "JSON"),
    ("server_name", "a; }", "is not one plain word"),
    ("server_name", "  ", "is empty"),
    ("listen", "80 default_server", "is not one plain word"),
    ("listen", "unix:/etc/cron.d/a", "must be a port or address:port"),
    ("listen", "UNIX:/run/a.sock", "must be a port or address:port"),
    ("listen", "80\n", "is not one plain word"),
    ("upstream/a", "unix:/run/docker.sock", "is not a path below /run/backends"),
    ("upstream/a", '{"addr": "UNIX:/run/docker.sock"}', "is not a path below /run/backends"),
    ("upstream/a", "unix:/run/backends/../docker.sock", "is not an absolute path without"),
    ("upstream/a", "unix:80", "is not an absolute path without"),
]


@pytest.mark.parametrize(("name", "value", "why"), BAD, ids=lambda each: str(each)[:40])
def test_a_bad_value_is_refused_by_name_of_key(name: str, value: str, why: str) -> None:
    """Before nginx sees it."""
    with pytest.raises(TemplateFault, match=why) as caught:
        rendered({**CLASSIC, f"{SITE}/{name}": value})
    if why != "JSON":
        assert f"{SITE}/{name}" in str(caught.value)


@pytest.mark.parametrize("text", ['{"state": "gone"}', '{"stat": "down"}', "[]"])
def test_a_bad_override_is_refused(text: str) -> None:
    """A misspelt one must not be silently without effect."""
    keys = {**CLASSIC, f"{SITE}/override/server01": text}
    with pytest.raises(TemplateFault, match="override/server01"):
        rendered(keys)


def test_a_site_whose_name_is_no_name_is_refused() -> None:
    """The name of a site becomes the name of an upstream."""
    with pytest.raises(TemplateFault, match="name of a site"):
        rendered({"/nginx/a;b/upstream/x": "h:1"})


@pytest.mark.integration
def test_the_shipped_configuration_runs_as_it_is(tmp_path: Path) -> None:
    """
    One run over a private nginx tree: judged in context, in place, and refused where nginx does.

    Only the paths below /etc/nginx are replaced, and the store is a file.
    """
    etc = tmp_path / "etc"
    (etc / "conf.d").mkdir(parents=True)
    (etc / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\n    access_log off;\n    include {etc}/conf.d/*.conf;\n}}\n"
    )
    confdir = tmp_path / "pyconfd"
    shutil.copytree(TEMPLATES, confdir / "templates")
    toml = (ROOT / "conf.d" / "nginx.toml").read_text().replace("/etc/nginx/", f"{etc}/")
    # The program that reloads is told of our tree; it does not run, so nobody is reloaded.
    toml = toml.replace('"nginx -s reload"', '"true"')
    (confdir / "conf.d").mkdir()
    (confdir / "conf.d" / "nginx.toml").write_text(
        toml + f'nginx_conf = "{etc}/nginx.conf"\nconfirm = false\n'
    )
    live = etc / "conf.d" / "pyconfd-sites.conf"

    done = once(confdir, tmp_path, {**CLASSIC, f"{SITE}/listen": f"127.0.0.1:{free_ports(1)[0]}"})
    assert done.returncode == 0, done.stderr
    assert servers(live.read_text()) == ["127.0.0.1:8001", "127.0.0.1:8002"]
    good = live.read_text()

    done = once(confdir, tmp_path, {**CLASSIC, f"{SITE}/upstream/server01": "127.0.0.1:99999"})
    assert done.returncode == 1
    assert 'invalid port in upstream "127.0.0.1:99999"' in done.stderr
    assert live.read_text() == good


def once(confdir: Path, folder: Path, keys: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`pyconfd --onetime` with the keys from a file."""
    tree: dict[str, object] = {}
    for key, value in keys.items():
        *folders, name = key.strip("/").split("/")
        place = tree
        for each in folders:
            place = place.setdefault(each, {})  # type: ignore[assignment]
        place[name] = value
    (folder / "keys.json").write_text(json.dumps(tree))
    words = ["--backend", "file", "--file", str(folder / "keys.json")]
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return subprocess.run(
        [*PYCONFD, "--onetime", *words, "--confdir", confdir, "--state-dir", folder / "state"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PATH": path},
    )
