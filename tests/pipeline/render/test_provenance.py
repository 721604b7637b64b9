"""From a line of the output back to the template and the keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.provenance import Place
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store

KEYS = {"/a": "alpha", "/b": "beta", "/n": "4096", "/up/x": "1.1.1.1:80", "/up/y": "2.2.2.2:80"}


class Site:
    """A templates folder; `places` says of each line of the output what made it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def places(self, template: str, kind: str = "nginx", **files: str) -> dict[str, str]:
        """Text of the line -> its place; every line is there."""
        for name, text in {"t": template, **files}.items():
            (self.folder / f"{name}.j2").write_text(text)
        resource = Resource(
            name="t", origin=Origin("t.toml"), src="t.j2", dest="/x", keys=("/",), format=kind
        )
        store = Store()
        items = tuple(KeyValue(key, value.encode(), 1) for key, value in KEYS.items())
        store.apply(Listed("fake", 1, 1, items))
        renderer = Renderer(str(self.folder), {})
        output = renderer.render(resource, store.snapshot()).content.decode()
        places = {}
        for number, line in enumerate(output.splitlines(), 1):
            place = renderer.place(resource, store.snapshot(), number)
            assert place is not None
            places[line] = str(place)
        return places


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_text_of_the_template_has_its_own_line(site: Site) -> None:
    """Also behind blocks, comments and values, which leave no line or a part of one."""
    assert site.places(
        "one;\n{# a\ncomment #}\n{% if true %}\ntwo;\n"
        "  three {{ getv('/a') }};\n{% endif %}\nfour;\n"
    ) == {
        "one;": "t.j2:1",
        "two;": "t.j2:5",
        "  three alpha;": "t.j2:6 with /a",
        "four;": "t.j2:8",
    }


def test_each_turn_of_a_loop_has_its_own_keys(site: Site) -> None:
    """All of one template line."""
    assert site.places(
        "u {\n{% for key, value in gets('/up/*') %}\n  server {{ value }};\n{% endfor %}\n}\n"
    ) == {
        "u {": "t.j2:1",
        "  server 1.1.1.1:80;": "t.j2:3 with /up/x",
        "  server 2.2.2.2:80;": "t.j2:3 with /up/y",
        "}": "t.j2:5",
    }


def test_values_are_followed_through_filters_variables_and_joins(site: Site) -> None:
    """Also those that stop being texts, and those that the author answers for."""
    assert site.places(
        "{% set x = getv('/a') | upper | quoted %}\n"
        "{% set y %}{{ getv('/b') }}{% endset %}\n"
        "q {{ x }} {{ y }};\n"
        "r {{ getv('/b') | raw }};\n"
        "j {{ getv('/a') ~ '-' ~ getv('/b') }};\n"
        "n {{ getv('/n') | int + 0 }} {{ getv('/n') | int }};\n"
        "l {{ join(getvs('/up/*'), ',') }};\n"
        "d {{ getv('/none', 'x') }};\n"
    ) == {
        'q "ALPHA" beta;': "t.j2:3 with /a, /b",
        "r beta;": "t.j2:4 with /b",
        "j alpha-beta;": "t.j2:5 with /a, /b",
        "n 4096 4096;": "t.j2:6 with /n",
        "l 1.1.1.1:80,2.2.2.2:80;": "t.j2:7 with /up/x, /up/y",
        "d x;": "t.j2:8",
    }


def test_includes_parents_and_blocks_are_named(site: Site) -> None:
    """The file whose text it is."""
    assert site.places(
        "{% extends 'base.j2' %}\n{% block b %}\nmine {{ getv('/a') }};\n"
        "{% include 'inc.j2' %}\nlast;\n{% endblock %}\n",
        base="head;\n{% block b %}{% endblock %}\ntail;\n",
        inc="{# c #}\n\ninner {{ getv('/b') }};\n",
    ) == {
        "head;": "base.j2:1",
        "mine alpha;": "t.j2:3 with /a",
        "": "inc.j2:2",
        "inner beta;": "inc.j2:3 with /b",
        "last;": "t.j2:5",
        "tail;": "base.j2:3",
    }


def test_what_a_macro_prints_comes_from_the_line_that_calls_it(site: Site) -> None:
    """With the keys of all its lines."""
    assert site.places(
        "{% macro m(v) %}\na {{ v }};\nb;\n{% endmacro %}\nx;\n{{ m(getv('/a')) }}\n"
    ) == {
        "x;": "t.j2:5",
        "a alpha;": "t.j2:6 with /a",
        "b;": "t.j2:6 with /a",
        "": "t.j2:6",
    }


def test_a_key_that_only_decides_is_named(site: Site) -> None:
    """In tests of all kinds, in branches that were not taken as well; absent keys too."""
    assert site.places(
        "{% if getv('/a') == 'alpha' %}\none;\n{% else %}\nnot this;\n{% endif %}\n"
        "{% if exists('/none') %}\n{% elif getv('/b', '') %}\ntwo {{ getv('/a') }};\n{% endif %}\n"
        "{% set n = getv('/n') | int %}\n{% if n > 5 %}\n{% if true %}\nthree;\n{% endif %}\n"
        "{% endif %}\n"
        "{% for key in ls('/up') %}\nfour;\n{% endfor %}\n"
        "five {{ 'long' if exists('/b') else 'short' }};\n"
        "six;\n"
    ) == {
        "one;": "t.j2:2 decided by /a",
        "two alpha;": "t.j2:8 with /a, decided by /b, /none",
        "three;": "t.j2:13 decided by /n",
        "four;": "t.j2:17 decided by /up/y",
        "five long;": "t.j2:19 with /b",
        "six;": "t.j2:20",
    }


def test_decisions_hold_over_includes_and_not_beyond_their_end(site: Site) -> None:
    """What is included in a branch is there because of it; a macro's own are not told."""
    assert site.places(
        "{% macro m(v) %}{% if v %}x{% endif %};\n{% endmacro %}\n"
        "{% if getv('/a') %}\n{% include 'inc.j2' %}\n{{ m(true) }}{% endif %}\nafter;\n",
        inc="inner {{ getv('/b') }};\n",
    ) == {
        "inner beta;": "inc.j2:1 with /b, decided by /a",
        "x;": "t.j2:5 decided by /a",
        "after;": "t.j2:6",
    }


def test_without_a_format_the_keys_are_named_too(site: Site) -> None:
    """In the second render values remember their keys."""
    assert site.places("one;\n{{ getv('/a') }};\n", kind="") == {
        "one;": "t.j2:1",
        "alpha;": "t.j2:2 with /a",
    }


def test_many_keys_are_not_all_named() -> None:
    """A line may be a whole list."""
    place = Place("t.j2", 3, tuple(f"/k/{number}" for number in range(9)))
    assert str(place) == "t.j2:3 with /k/0, /k/1, /k/2, /k/3, /k/4 and 4 more"
