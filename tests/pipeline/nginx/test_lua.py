"""Lua blocks in nginx's configuration: whatever they hold, the statements after them are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyconfd.model.steps import Refused
from pyconfd.pipeline import check
from pyconfd.pipeline.nginx import shadow
from pyconfd.pipeline.nginx.text import without_lua
from pyconfd.system.proc import Commands
from tests.support.daemons.nginx_trees import MODULES, Nginx, Tree, nginx_binary

#: Every one leaves crossplane or a count of braces behind.
LUA = {
    "long-bracket": "t = [[ it's ]]",
    "long-bracket-with-braces": "t = [[ } { ]] u = [==[ ]] } ]=] ]==]",
    "long-bracket-with-a-quote": "t = [[ \" ]] u = [=[ ' ]=]",
    "long-bracket-with-a-backslash": "t = [[ C:\\]] u = [[ \\\\ } \\]]",
    "lines": "t = [[\nit's\n}\n]]\n",
    "comment": "-- it's a } brace\n",
    "long-comment": "--[[ it's }\n\n } ]] local a = 1",
    "long-comment-of-a-level": "--[==[ ]] } it's ]==] local a = 1",
    "comment-that-only-looks-long": "--[ it's\n--[=x it's }\n",
    "strings": "a = \"}\" b = '{' c = \"it's\" d = '\"' e = \"\\\"}\" f = '\\'{'",
    "escaped-backslash": "a = \"\\\\\" b = '}'",
    "a-comment-in-a-string": 'a = "-- [[" b = "}"',
    "tables": "t = { { 1 }, { a = { b = {} } } } x = t[t[1]] or {}",
    "indexed": "a = {[1]={}} b = a[a[1] and 1]",
    "an-include-of-lua": "-- include conf.d/*.conf;\n s = [[ include conf.d/*.conf; ]]",
    "minus": "a = 1 - -1 b = a-1 c = {-1}",
    "hash": "n = #t s = '#' -- # }\n",
    "dollar": "s = '${' t = [[ ${ ]]",
    "empty": "",
}
BLOCKS = [
    "init_by_lua_block { %s }",
    "init_worker_by_lua_block\n{%s}",
    "exit_worker_by_lua_block {\n%s\n}",
    "server { listen 127.0.0.1:1; location / { content_by_lua_block { %s } } }",
    "server { listen 127.0.0.1:1; set_by_lua_block $x { %s } # it's\n }",
    "server { ssl_client_hello_by_lua_block { %s } listen 127.0.0.1:1; }",
    '# init_by_lua_block {\nmap "init_by_lua_block {" $x { default 1; } init_by_lua_block { %s }',
]
DEST = "conf.d/site.conf"


def tree(folder: Path, block: str, head: str = "") -> Tree:
    """A main file with this before its include."""
    conf = folder / "root/nginx.conf"
    (conf.parent / "conf.d").mkdir(parents=True)
    (conf.parent / DEST).write_text("# old\n")
    conf.write_text(
        f"{head}events {{}}\nhttp {{ access_log off;\n{block} include conf.d/*.conf; }}\n"
    )
    return Tree(conf.parent, "", Nginx(str(conf), nginx_binary()))


@pytest.mark.parametrize("lua", LUA.values(), ids=LUA)
@pytest.mark.parametrize("block", BLOCKS)
def test_the_include_after_a_lua_block_is_followed(tmp_path: Path, block: str, lua: str) -> None:
    """It alone is rewritten; not a byte of the Lua, and no line moves."""
    made = tree(tmp_path, block % lua)
    staged = made.stage(made.root / DEST, "# new\n")
    with shadow.build(
        made.nginx, {str(made.root / DEST): staged.path}, work_dir=str(tmp_path / "work")
    ) as built:
        live, new = Path(made.nginx.conf).read_text(), Path(built.main).read_text()
        assert staged.path in built.expected
    head, _, tail = live.rpartition("include conf.d/*.conf")
    assert new == f'{head}include "{staged.path}"{tail}'


@pytest.mark.parametrize("lua", LUA.values(), ids=LUA)
def test_a_lua_block_is_blanked_and_nothing_else(lua: str) -> None:
    """Every offset and line end stays."""
    text = f"a b; x_by_lua_block {{{lua}}} include c; # }}\n"
    blank = without_lua(text)
    assert len(blank) == len(text)
    assert blank.replace(" ", "").replace("\n", "") == "ab;x_by_lua_block{}includec;#}"
    assert [n for n, char in enumerate(blank) if char == "\n"] == [
        n for n, char in enumerate(text) if char == "\n"
    ]


def test_a_lua_block_without_an_end_is_no_endless_search() -> None:
    """nginx reports it."""
    assert without_lua("a_by_lua_block { [[ x").strip() == "a_by_lua_block {"
    assert without_lua("init_by_lua_block") == "init_by_lua_block"
    assert without_lua("a_by_lua_block \\") == "a_by_lua_block \\"


@pytest.mark.integration
@pytest.mark.parametrize("lua", LUA.values(), ids=LUA)
def test_nginx_with_lua_agrees(tmp_path: Path, lua: str) -> None:
    """Where lua-nginx-module is installed: good passes, bad is refused with its own line."""
    modules = [MODULES / "ndk_http_module.so", MODULES / "ngx_http_lua_module.so"]
    if not all(each.exists() for each in modules):
        pytest.skip("lua-nginx-module is not installed")
    head = "".join(f"load_module {each};\n" for each in modules)
    block = "lua_load_resty_core off; init_worker_by_lua_block { %s }"
    made = tree(tmp_path, block % lua, head)
    for content, passes in (("# new\n", True), ("canary }\n", False)):
        staged = made.stage(made.root / DEST, content)
        judged = check.check_in_nginx(
            [staged], made.nginx, Commands().run, timeout_s=30, work_dir=str(tmp_path / "work")
        )
        os.unlink(staged.path)
        assert isinstance(judged, tuple) == passes, judged
        if isinstance(judged, Refused):
            assert f"{made.root / DEST}:1" in judged.report.output
