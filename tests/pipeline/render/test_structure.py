"""The shape of configuration files, as far as a comparison needs it."""

from __future__ import annotations

import pytest

from pyconfd.pipeline.render.formats import load_format
from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.structure import compare, shape

NGINX = """\
# a comment; with { signs
events {}
http {
  log_format x '$a; "b" {' "c\\"}";
  map $a $b { ~^a\\;b$ c; }
  return 200 ${a}b;  # more
}
"""


def read(text: str, kind: str) -> list[str]:
    return shape(text, load_format(kind))


def test_nginx() -> None:
    """Blocks, quotes, escapes, variables in braces, comments."""
    assert read(NGINX, "nginx") == [
        *("", "events", "{", "}", "http", "{"),
        *("log_format", "x", """'$a; "b" {'""", '"c\\"}"', ";"),
        *("map", "$a", "$b", "{", "~^a\\;b$", "c", ";", "}"),
        *("return", "200", "${a}b", ";", "", "}"),
    ]


def test_lines() -> None:
    """HAProxy: one directive a line, quotes inside words, raw single quotes."""
    text = "listen a\n  bind :80 \"a b\"c'd \\' # x\n\n  server s1 1.2.3.4:80\\ x\n"
    assert read(text, "haproxy") == [
        *("listen", "a", "\n", "bind", ":80", "\"a b\"c'd \\'", "", "\n", "\n"),
        *("server", "s1", "1.2.3.4:80\\ x", "\n"),
    ]


def test_sections() -> None:
    """Apache: sections are words, a backslash joins lines."""
    text = "<If x>\n  Header \\\n    X y\n</If>\n"
    assert read(text, "apache") == [
        *("<If", "x>", "\n", "Header", "X", "y", "\n", "</If>", "\n"),
    ]


def test_lines_with_blocks() -> None:
    """keepalived: lines and braces, two kinds of comment."""
    text = "! first\nvrrp a {\n  priority 100 # x\n}\n"
    assert read(text, "keepalived") == [
        *("", "\n", "vrrp", "a", "{", "\n", "priority", "100", "", "\n", "}", "\n"),
    ]


@pytest.mark.parametrize(
    "text",
    ["server a b;", "server a; b c;", "server a { }", "server a #;", "server a", "server 'a;", "}"],
)
def test_change_of_shape_is_found(text: str) -> None:
    """With the line of the output."""
    with pytest.raises(FunctionFault, match="in its line 2"):
        compare("x y;\n" + text, "x y;\nserver x;", load_format("nginx"))


def test_values_of_one_word_change_nothing() -> None:
    """Also where they are the name."""
    compare("a b{c} d;", "x x{x} x;", load_format("nginx"))
    compare("'a b';", "'x';", load_format("nginx"))


def test_huge_text_is_read_in_linear_time() -> None:
    """A megabyte of quotes and backslashes is no trap."""
    assert len(read('"\\' * 250_000, "nginx")) <= 2
    assert len(read("'" * 250_001, "haproxy")) <= 2
    assert len(read("a\\" * 250_000, "apache")) <= 2
