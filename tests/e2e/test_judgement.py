"""What reaches a running nginx and what does not, and what the operator is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_groups import COMMENT, Edge
from tests.support.daemons.live_nginx import LiveNginx

pytestmark = pytest.mark.integration


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with LiveNginx(tmp_path / "nginx").running() as running:
        yield Edge(tmp_path, running)


def live(edge: Edge) -> dict[str, str]:
    """Everything nginx includes, hidden files too."""
    return {path.name: path.read_text() for path in edge.nginx.sites.iterdir()}


def pattern(edge: Edge) -> None:
    """A file for each name below /s."""
    edge.resource("s", COMMENT, f'each = "/s"\n{edge.nginx.toml}', "{name}.conf")


def test_a_name_whose_file_is_that_of_another_resource_is_refused(edge: Edge) -> None:
    """Both resources are named, nothing is written by turns, and nothing is taken away later."""
    pattern(edge)
    edge.resource("x", "# fixed\n", edge.nginx.toml)
    edge.keys(s={"x": "1", "y": "2"}, x="1")
    for _ in range(2):
        said = edge.once(fails=True)
        assert "s[x]" in said
        assert "is also the file of x (" in said
        assert live(edge) == {"x.conf": "# fixed\n", "y.conf": "# 2\n"}
    assert "reloaded" not in said
    edge.keys(s={"y": "2"}, x="1")
    edge.once()
    assert live(edge) == {"x.conf": "# fixed\n", "y.conf": "# 2\n"}


def test_a_file_that_was_made_for_a_name_goes_over_to_another_resource(edge: Edge) -> None:
    """When its name goes, the file stays with its new owner."""
    pattern(edge)
    edge.keys(s={"x": "1", "y": "2"}, x="1")
    edge.once()
    edge.resource("x", "# fixed\n", edge.nginx.toml)
    edge.keys(s={"y": "2"}, x="1")
    for _ in range(2):
        edge.once()
        assert live(edge) == {"x.conf": "# fixed\n", "y.conf": "# 2\n"}


@pytest.mark.parametrize("value", [
    "1.2.3.4:80; } server { listen 9999; } upstream x { server 5.6.7.8:80",
    "1.2.3.4:80; error_log @LOG@",
    "1.2.3.4:80\nerror_log @LOG@",
])  # fmt: skip
def test_a_hostile_value_is_refused_by_name_of_key_before_nginx_sees_it(
    edge: Edge, value: str
) -> None:
    """With check = "nginx" and nothing said of a format; nginx would open the log it names."""
    template = 'upstream u {\n{% for m in getvs("/u/*") %}  server {{ m }};\n{% endfor %}}\n'
    edge.resource("u", template, edge.nginx.toml)
    log = edge.nginx.folder / "log" / "hostile"
    edge.keys(u={"a": value.replace("@LOG@", str(log))})
    said = edge.once(fails=True)
    assert "the value of /u/a contains" in said
    assert "1.2.3.4" not in said
    assert live(edge) == {}
    assert not log.exists()


def test_a_live_configuration_that_is_refused_already_is_told_apart(edge: Edge) -> None:
    """It is not our change that is wrong; once it is mended the change goes through."""
    dest = edge.site("a")
    edge.keys(a={"text": "one"})
    edge.once()
    foreign = edge.nginx.sites / "zz.conf"
    foreign.write_text("no_such on;\n")
    edge.keys(a={"text": "two"})
    said = edge.once(fails=True)
    assert f"{foreign}:1: the live nginx configuration is refused already" in said
    assert "one" in dest.read_text()
    foreign.unlink()
    edge.once()
    edge.nginx.wait_answer("a", "two")


def test_a_refusal_leads_back_to_the_template_and_the_key(edge: Edge) -> None:
    """nginx names the line of the destination; which key is to blame is said, and no value."""
    up = """\
{% macro head(name) %}
upstream {{ name }} {
{% endmacro %}
{{ head("u") -}}
{% for key, value in gets("/u/*") %}
    server {{ value }};
{% endfor %}
}
"""
    dest = edge.resource("u", up, edge.nginx.toml)
    edge.keys(u={"a": "127.0.0.1:1", "b": "127.0.0.1:70000", "c": "127.0.0.1:2"})
    said = edge.once(fails=True)
    assert f'invalid port in upstream "127.0.0.1:70000" in {dest}:3' in said
    assert f"{dest}:3 comes from u.j2:6 with /u/b\n" in said


def test_a_refusal_names_the_key_that_decided_on_the_line(edge: Edge) -> None:
    """No value is in the line that nginx names; the one that switched it on is told."""
    site = """\
server {
    listen 127.0.0.1:@PORT@;
{% if getv("/u/tls", "off") == "on" %}
    ssl_protocols TLSv9;
{% endif %}
}
""".replace("@PORT@", str(edge.nginx.port))
    dest = edge.resource("u", site, edge.nginx.toml)
    edge.keys(u={"tls": "on"})
    said = edge.once(fails=True)
    assert f"{dest}:3 comes from u.j2:4 decided by /u/tls\n" in said
    edge.keys(u={"tls": "off"})
    edge.once()
    assert "ssl" not in dest.read_text()
