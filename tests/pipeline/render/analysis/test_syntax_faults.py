"""All syntax faults of one Jinja2 template, and none that only follows from another."""

from __future__ import annotations

import jinja2
import pytest

from pyconfd.pipeline.render.analysis.syntax_faults import further_faults
from pyconfd.pipeline.render.environment import Environment
from pyconfd.pipeline.render.template_files import TemplateFiles
from tests.support.repository import ROOT

ENVIRONMENT = Environment(TemplateFiles(""))


def faults(source: str) -> list[tuple[int, str]]:
    with pytest.raises(jinja2.TemplateSyntaxError) as first:
        ENVIRONMENT.parse(source, "a.j2")
    more = further_faults(ENVIRONMENT, source, first.value)
    assert all(fault.name == "a.j2" for fault in more)
    return [(fault.lineno, fault.message or "") for fault in (first.value, *more)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("{{ getv('/a' }}\nx\n{{ 1 + }}\n", {1: "unexpected '}'", 3: "unexpected 'end of print"}),
        ("{{ a b }}{{ c d }}\n", {1: "expected token 'end of print statement', got 'b'"}),
        (
            "{% if %}x{% endif %}\n{% for x %}{% endfor %}\n",
            {1: "Expected", 2: "expected token 'in'"},
        ),
        (
            "{% if a %}\n{% elif b c %}\n{% else %}{% endif %}{{ ? }}\n",
            {2: "got 'c'", 3: "char '?'"},
        ),
        ("{% set x = %}\n{{ 'a' 'b' c }}\n", {1: "Expected", 2: "got 'c'"}),
        ("{% macro m( %}\n{% endmacro %}\n{{ [1 }}\n", {1: "expected token", 3: "unexpected '}'"}),
        ("{% fi x %}\n{{ 1 + }}\n", {1: "unknown tag 'fi'", 2: "unexpected 'end of print"}),
        ("{{\n  a\n  b }}\n{{ c d }}", {3: "got 'b'", 4: "got 'd'"}),
        ("{% include %}\n{%- import 'a' -%}\n", {1: "unexpected", 2: "expected token 'as'"}),
        # What is not closed, or closed wrongly, is found although there are other faults.
        ("{{ a b }}\n{% if x %}\n", {1: "got 'b'", 2: "innermost block"}),
        ("{% if x %}\n{% endfor %}\n{{ a b }}\n", {2: "unknown tag 'endfor'", 3: "got 'b'"}),
        ("{% if x y %}{% for a in b %}{% endif %}", {1: "got 'y'"}),
    ],
)
def test_each_fault_has_its_line(source: str, found: dict[int, str]) -> None:
    """Whatever stands around it."""
    made = faults(source)
    assert {line for line, _ in made} == set(found)
    for line, what in found.items():
        assert any(what in message for at, message in made if at == line), made


@pytest.mark.parametrize(
    "rest",
    [
        "{{ {'a': {'b': 1}} }}",
        "{{ '}}' }}{{ \"{{\" }}",
        "{% raw %}{{ a b }}{% endraw %}",
        "{# {{ a b }} #}",
        "{% if x %}{% for a, b in c recursive %}{% endfor %}{% else %}{% endif %}",
        "{% set x %}y{% endset %}{% filter upper %}{% endfilter %}",
        "{% macro m(a, b=1) %}{% endmacro %}{% call(x) m(1) %}{% endcall %}",
        "{% block a scoped %}{% endblock a %}{% with a = 1 %}{% endwith %}",
        "{% autoescape true %}{% endautoescape %}{% include 'x' ignore missing %}",
        "{% from 'x' import y as z with context %}{%+ if x +%}{%- endif -%}",
        "{% set x | replace('=', '-') %}y=z{% endset %}{% print 1 %}",
        "it's }} %} { { %",
        "{{ 'a\nb }}' }}",
    ],
)
def test_what_is_right_is_no_fault(rest: str) -> None:
    """Beside one that is."""
    assert [line for line, _ in faults(f"{{{{ a b }}}}\n{rest}\n")] == [1]


SHIPPED = sorted([*ROOT.glob("templates/*.j2"), *ROOT.glob("pyconfd/recipes/**/*.j2")])


def test_shipped_templates_have_no_fault_of_their_own() -> None:
    """All that they hold stays right beside what is wrong."""
    assert len(SHIPPED) > 10
    for path in SHIPPED:
        assert [line for line, _ in faults("{{ a b }}\n" + path.read_text())] == [1], path
