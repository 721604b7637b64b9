"""What templates know of the node: strict, printable, and asked for only when it is named."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import psutil
import pytest

from pyconfd.errors import TemplateFault
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store

FACTS = NodeFacts(
    "web1",
    {"port": 80, "on": True, "text": "a b", "deep": {"rate": "5r/s", "list": [{"a": 1}]}, "get": 1},
    "/etc/pyconfd/pyconfd.toml",
)


def render(folder: Path, text: str, *, form: str = "", facts: NodeFacts = FACTS) -> str:
    (folder / "t.j2").write_text(text)
    resource = Resource(
        name="web", origin=Origin("web.toml"), src="t.j2", dest="/none", format=form
    )
    renderer = Renderer(str(folder), {}, facts=facts)
    for fault in renderer.faults(resource):
        raise fault
    return renderer.render(resource, Store().snapshot()).content.decode()


def refusal(folder: Path, text: str, *, form: str = "") -> str:
    with pytest.raises(TemplateFault) as caught:
        render(folder, text, form=form)
    return str(caught.value)


def test_scalars_tables_and_lists_are_printed_as_written(tmp_path: Path) -> None:
    """With a loop, an index and a name that mappings have too."""
    text = "{{ node.name }} {{ vars.port + 1 }} {{ vars.on }} {{ vars.deep.list[0].a }} "
    assert render(tmp_path, text + '{{ vars["get"] }} {{ vars.deep | toJson }}') == (
        'web1 81 true 1 1 {"list":[{"a":1}],"rate":"5r/s"}'
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ vars.prot }}", "t.j2:1: vars.prot is not declared: there is none below [vars] in"),
        ("{{ vars.prot }}", "/etc/pyconfd/pyconfd.toml; did you mean vars.port?"),
        ('\n{{ vars["x y"] }}', "t.j2:2: vars.x y is not declared"),
        ("{{ vars.deep.rat }}", "vars.deep.rat is not declared: there is none below [vars.deep]"),
        ("{{ vars.deep.list[0].b }}", "vars.deep.list[0].b is not declared"),
        ("{{ node.address }}", "node has no address: there are node.name and node.addresses"),
        ("{{ vars.deep }}", "a mapping cannot be printed"),
        ("{{ node }}", "a Node cannot be printed"),
    ],
)
def test_what_is_not_there_is_an_error(text: str, says: str, tmp_path: Path) -> None:
    """With template and line, and the file where it would be declared."""
    assert says in refusal(tmp_path, text)


def test_a_template_may_ask_whether_a_var_is_declared(tmp_path: Path) -> None:
    """As with everything else in Jinja2."""
    text = "{{ vars.x is defined }} {{ vars.x | default(7) }} {{ vars.deep.x | default('d') }}"
    assert render(tmp_path, text) == "false 7 d"


def test_texts_are_judged_in_a_format_by_their_name(tmp_path: Path) -> None:
    """The operator may have written one thing for many places."""
    says = refusal(tmp_path, "x {{ vars.text }};", form="nginx")
    assert "vars.text contains a space, which nginx may read as syntax" in says
    assert "vars.text is not a valid port number" in refusal(tmp_path, "{{ vars.text | port }}")
    assert render(tmp_path, "x {{ vars.text | words }} {{ node.name }};", form="nginx") == (
        "x a b web1;"
    )


def test_one_render_cannot_change_the_vars_of_the_next(tmp_path: Path) -> None:
    """A list that a template appends to is its own."""
    text = "{% set _ = vars.deep.list.append(1) %}{{ vars.deep.list | length }}"
    (tmp_path / "t.j2").write_text(text)
    renderer = Renderer(str(tmp_path), {}, facts=FACTS)
    resource = Resource(name="web", origin=Origin("web.toml"), src="t.j2", dest="/none")
    for _ in range(2):
        assert renderer.render(resource, Store().snapshot()).content == b"2"


def test_addresses_are_those_that_others_can_reach(tmp_path: Path) -> None:
    """No loopback, no link-local ones; IPv4 first, in order of number."""
    printed = render(tmp_path, "{{ node.addresses | join(' ') }}").split()
    found = [ipaddress.ip_address(one) for one in printed]
    assert not any(one.is_loopback or one.is_link_local for one in found)
    assert [one.version for one in found] == sorted(one.version for one in found)
    assert found == sorted(found, key=lambda one: (one.version, int(one)))
    known = {one.address for card in psutil.net_if_addrs().values() for one in card}
    assert set(printed) <= known
