"""The shape of configuration files, as far as a comparison needs it."""

from __future__ import annotations

import pytest

from pyconfd.pipeline.faults import FunctionFault
from pyconfd.pipeline.formats import load_format
from pyconfd.pipeline.structure import compare, directives


def shape(text: str, kind: str) -> list[tuple[int, str, int]]:
    return [(each.depth, each.name, each.words) for each in directives(text, load_format(kind))]


NGINX = """\
# a comment; with { signs
events {}
http {
  log_format x '$a; "b" {' "c\\"}";
  map $a $b { ~^a\\;b$ c; }
  return 200 ${a}b;  # more
}
"""


def test_nginx() -> None:
    """Blocks, quotes, escapes, variables in braces, comments."""
    assert shape(NGINX, "nginx") == [
        (0, "events", 1),
        (0, "}", 1),
        (0, "http", 1),
        (1, "log_format", 4),
        (1, "map", 3),
        (2, "~^a\\;b$", 2),
        (1, "}", 1),
        (1, "return", 3),
        (0, "}", 1),
    ]


def test_lines() -> None:
    """HAProxy: one directive a line, quotes inside words, raw single quotes."""
    text = "listen a\n  bind :80 name \"a b\"c'd \\' # x\n\n  server s1 1.2.3.4:80\\ x\n"
    assert shape(text, "haproxy") == [(0, "listen", 2), (0, "bind", 4), (0, "server", 3)]


def test_sections() -> None:
    """Apache: sections nest, a backslash joins lines."""
    text = "<VirtualHost *:80>\n  ServerName a\n  Header set \\\n    X y\n</VirtualHost>\nA b\n"
    assert shape(text, "apache") == [
        (0, "<VirtualHost", 2),
        (1, "ServerName", 2),
        (1, "Header", 4),
        (0, "</VirtualHost>", 1),
        (0, "A", 2),
    ]


def test_lines_with_blocks() -> None:
    """keepalived: lines and braces, two kinds of comment."""
    text = "! first\nvrrp_instance a {\n  priority 100 # x\n  ips {\n  10.0.0.1/24\n  }\n}\n"
    assert shape(text, "keepalived") == [
        (0, "vrrp_instance", 2),
        (1, "priority", 2),
        (1, "ips", 1),
        (2, "10.0.0.1/24", 1),
        (1, "}", 1),
        (0, "}", 1),
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
    assert len(shape('"\\' * 250_000, "nginx")) <= 1
    assert len(shape("'" * 250_001, "haproxy")) == 1
    assert len(shape("a\\" * 250_000, "apache")) == 1
