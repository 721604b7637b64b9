"""A live site that nginx no longer takes holds up no other site of its pattern."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_groups import Edge
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_trees import certificate

pytestmark = pytest.mark.integration

SITE = """\
{% set path = "/s/" ~ name %}
server {
    listen 127.0.0.1:@PORT@;
    server_name {{ name }};
{% if exists(path ~ "/tls") %}
    listen unix:{{ getv(path ~ "/tls") }}.sock ssl;
    ssl_certificate {{ getv(path ~ "/tls") }}.pem;
    ssl_certificate_key {{ getv(path ~ "/tls") }}.key;
{% endif %}
    location / { return 200 {{ getv(path ~ "/text") | quoted }}; }
{% if exists(path ~ "/member") %}
    location /m { proxy_pass http://{{ getv(path ~ "/member") }}; }
{% endif %}
}
"""


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """Three sites, of which `a` has a certificate."""
    with LiveNginx(tmp_path / "nginx").running() as running:
        edge = Edge(tmp_path, running)
        edge.resource("s", SITE, f'each = "/s"\n{running.toml}', "{name}.conf")
        certificate(tmp_path / "a.pem")
        edge.keys(s=sites(edge))
        edge.once()
        edge.nginx.wait_answer("b", "1")
        yield edge


def sites(edge: Edge, **texts: str) -> dict[str, dict[str, str]]:
    """Keys of the sites. texts: of those that do not say 1."""
    made = {name: {"text": texts.get(name, "1")} for name in "abc"}
    made["a"]["tls"] = str(edge.store.parent / "a")
    return made


def names(edge: Edge) -> list[str]:
    """Of the files that nginx includes."""
    return sorted(path.name for path in edge.nginx.sites.iterdir())


def test_a_site_whose_certificate_was_deleted_is_set_aside(edge: Edge) -> None:
    """
    The others go live; the file, the reason and what to type are said, without a value, and it
    comes back.
    """
    pem = edge.store.parent / "a.pem"
    kept = pem.read_bytes()
    pem.unlink()
    edge.keys(s=sites(edge, b="2"))
    said = edge.once(fails=True)
    assert f"set aside: {edge.nginx.sites}/a.conf: nginx refuses it as it is live" in said
    assert 'cannot load certificate "(the value of /s/a/tls).pem"' in said
    assert "put back what is missing" in said
    edge.nginx.wait_answer("b", "2")
    assert names(edge) == ["b.conf", "c.conf"]
    pem.write_bytes(kept)
    edge.once()
    edge.nginx.wait_answer("a", "1")
    assert names(edge) == ["a.conf", "b.conf", "c.conf"]


def test_a_site_that_goes_is_not_held_up_either(edge: Edge) -> None:
    """A file that only disappears is a change as any other."""
    (edge.store.parent / "a.key").unlink()
    keys = sites(edge)
    del keys["c"]
    edge.keys(s=keys)
    said = edge.once(fails=True)
    assert "set aside" in said
    assert names(edge) == ["b.conf"]


def test_several_sites_with_one_certificate_are_set_aside_together(edge: Edge) -> None:
    """All that hold the path which nginx quotes."""
    keys = sites(edge)
    keys["c"]["tls"] = str(edge.store.parent / "a")
    del keys["a"]["tls"]
    keys["d"] = dict(keys["c"], text="4", tls=str(edge.store.parent / "d"))
    certificate(edge.store.parent / "d.pem")
    edge.keys(s=keys)
    edge.once()
    for name in ("a.pem", "d.key"):
        (edge.store.parent / name).unlink()
    keys["b"]["text"] = "2"
    edge.keys(s=keys)
    assert edge.once(fails=True).count("set aside: ") == 2
    edge.nginx.wait_answer("b", "2")
    assert names(edge) == ["a.conf", "b.conf"]


def test_a_site_is_not_set_aside_for_a_change_that_is_refused(edge: Edge) -> None:
    """Nothing would be won."""
    (edge.store.parent / "a.pem").unlink()
    edge.resource("x", "no_such on;\n", edge.nginx.toml)
    edge.keys(s=sites(edge))
    said = edge.once(fails=True)
    assert "set aside" not in said
    assert names(edge) == ["a.conf", "b.conf", "c.conf"]


def test_a_change_of_the_very_site_takes_nothing_away(edge: Edge) -> None:
    """No other waits for it."""
    (edge.store.parent / "a.pem").unlink()
    edge.keys(s=sites(edge, a="2"))
    assert "set aside" not in edge.once(fails=True)
    assert names(edge) == ["a.conf", "b.conf", "c.conf"]
    edge.keys(s=sites(edge, a="2", b="2"))
    edge.once(fails=True)
    edge.nginx.wait_answer("b", "2")
    assert names(edge) == ["b.conf", "c.conf"]


def test_a_file_that_no_pattern_has_made_is_named(edge: Edge) -> None:
    """The line that holds the path which nginx quotes; the file is left alone."""
    certificate(edge.nginx.folder / "certs" / "own.pem")
    own = edge.nginx.sites / "own.conf"
    own.write_text(
        "server {\n    listen unix:run/own.sock ssl;\n"
        "    ssl_certificate certs/own.pem;\n    ssl_certificate_key certs/own.key;\n}\n"
    )
    edge.once()
    (edge.nginx.folder / "certs" / "own.pem").unlink()
    edge.keys(s=sites(edge, b="2"))
    said = edge.once(fails=True)
    assert f"{own}:3: the live nginx configuration is refused already" in said
    assert own.exists()


def test_a_daemon_waits_a_moment_for_the_certificate(edge: Edge) -> None:
    """
    It may be replaced in two steps; afterwards the site is back. Takes the five seconds of grace,
    and the pauses between the tries.
    """
    pem = edge.store.parent / "a.pem"
    kept = pem.read_bytes()
    with edge.confdir.daemon() as daemon:
        daemon.wait_log("status: ok")
        pem.unlink()
        edge.keys(s=sites(edge, b="2"))
        daemon.wait_log("refused already")
        assert "a.conf" in names(edge)
        daemon.wait_log("set aside: ")
        edge.nginx.wait_answer("b", "2")
        assert names(edge) == ["b.conf", "c.conf"]
        daemon.wait_log("1 refused (s[a]: ")
        edge.keys(s=sites(edge, b="3"))
        edge.nginx.wait_answer("b", "3")
        pem.write_bytes(kept)
        edge.keys(s=sites(edge, a="2", b="3"))
        edge.nginx.wait_answer("a", "2")
        daemon.wait_log("status: ok", count=2)
