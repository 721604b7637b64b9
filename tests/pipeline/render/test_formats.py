"""Every way out of data that a format knows, by table; what is data stays printable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pyconfd.pipeline.render.formats import format_names, load_format
from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.structure import compare
from pyconfd.pipeline.render.value_checks import ValueChecker
from tests.support.daemons.csync2 import csync2_program

EVERYWHERE = [
    "a b",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\0b",
    "a\x85b",
    "a\u2028b",
    "a'b",
    'a"b',
    "a\\b",
    "a\\",
]

#: Format -> values that are more than data outside quotes.
WAYS_OUT = {
    "nginx": ["a;", "{", "}", "$host", "${host}", "#a", "a#b"],
    "apache": [
        "|/bin/sh", "||/bin/sh", "${A}", "%{User-Agent}i", "<a", "a>", "#a", "a%b",
        "a\\\nInclude b",
    ],
    "haproxy": ["%[src]", "%ci", "${HOME}", "$a", "#a", "a#b", "{ path /a }", "}"],
    "keepalived": ["!a", "a!b", "#a", "$A", "${A}", "~SEQ(a)", "@node", "{", "}", "a}b"],
    "csync2": ["a;", "{", "}", "(a)", "a)", "#a", "a#b"],
    "rsyncd": ["%HOME%", "a%b", "[a]", "[", "a]", "&include", "&merge", "#a", ";a", "a=b", "a;b"],
    "cron": [
        "a%b", "%", "a;b", "a|b", "a&b", "$(a)", "${a}", "`a`", ">a", "<a", "*", "a*", "[a]", "?",
        "~", "~root", "!a", "{a,b}", "A=b", "^a", "@reboot", "-rf", "--help", "+a", "#a", "(a)",
    ],
}  # fmt: skip
#: Format -> values that are more than data in its quotes too.
OUT_OF_QUOTES = {
    "nginx": ["$host", "${host}", "a\nb", "\0"],
    "apache": ["|/bin/sh", " |/bin/sh", "${A}", "%{A}i", "a\nb"],
    "haproxy": ["a'b", "%[src]", "a\nb"],
    "keepalived": ['a"b', "a\\", "$A", "~SEQ(a)", "a\nb"],
    "csync2": ['a"b', "a\\", "a\nb"],
    "rsyncd": ["%A%", "a b", "a\\", "a\nb", "[a]"],
    "cron": ["a'b", "a%b", "a\\", "a\nb"],
}  # fmt: skip
DATA = ["a", "10.0.0.1:80", "/srv/www/a-b_c.d", "www.example.com", "é", "5s", "0", "a,b", "a@b"]


@pytest.mark.parametrize("name", format_names())
def test_a_way_out_of_data_is_refused(name: str) -> None:
    """Bare, in one of several words, and with text beside it."""
    checker = ValueChecker(load_format(name))
    for value in [*EVERYWHERE, *WAYS_OUT[name]]:
        with pytest.raises(FunctionFault):
            checker.text(value)
        if " " not in value:
            with pytest.raises(FunctionFault):
                checker.words(f"{value} b")
    for value in OUT_OF_QUOTES[name]:
        with pytest.raises(FunctionFault):
            checker.quoted(value)


@pytest.mark.parametrize("name", format_names())
def test_data_is_printed(name: str) -> None:
    """Addresses, paths and names, bare and quoted; the shape of the output stays."""
    format_ = load_format(name)
    checker = ValueChecker(format_)
    for value in DATA:
        assert checker.text(value) == value
        for piece in (checker.text(value), checker.quoted(value)):
            whole = checker.concat([f"a {piece[:0]}", piece, f" b{format_.structure.ends}"])
            compare(str(whole), whole.neutral, format_)


@pytest.mark.parametrize("name", format_names())
def test_a_value_is_no_directive(name: str) -> None:
    """Where a directive begins; `[::1]` and `*` are refused where they would be one as well."""
    format_ = load_format(name)
    checker = ValueChecker(format_)
    end = format_.structure.ends
    for word in format_.directives:
        if word.startswith("&"):
            continue  # refused in every place
        whole = checker.concat([f"a b{end}\n", checker.text(word), f" c{end}\n"])
        with pytest.raises(FunctionFault, match="would be the directive"):
            compare(str(whole), whole.neutral, format_)


@pytest.mark.integration
def test_what_csync2_reads_in_quotes_is_the_value(tmp_path: Path) -> None:
    """Each printable character that is accepted: its own parser takes the file."""
    checker = ValueChecker(load_format("csync2"))
    values = []
    for code in range(32, 127):
        try:
            values.append(str(checker.quoted(f"/srv/a{chr(code)}b")))
        except FunctionFault:
            assert chr(code) in '"\\'
    key = tmp_path / "key"
    subprocess.run([csync2_program(), "-k", str(key)], capture_output=True, check=True)
    includes = "".join(f"    include {value};\n" for value in values)
    text = f'group g\n{{\n    host a;\n    key "{key}";\n{includes}    auto none;\n}}\nnossl * *;\n'
    (tmp_path / "csync2.cfg").write_text(text)
    done = subprocess.run(
        [csync2_program(), "-N", "a", "-D", str(tmp_path), "-L"],
        env={"CSYNC2_SYSTEM_DIR": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr
