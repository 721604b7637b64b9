"""Files, folders and the environment as keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.env import keys_of
from pyconfd.backends.file_formats import read_tree
from pyconfd.backends.registry import open_source
from pyconfd.errors import SourceError, SourceRefused, SourceUnavailable
from pyconfd.model.keys import Changed, Listed, Lost
from tests.support.pyconfd import save
from tests.support.source import Inbox

YAML = b"""\
key: foobar
database: {host: 127.0.0.1, port: "3306", pool: 10, ratio: 1.50, tls: yes, none: null}
upstream:
  - 10.0.1.10:8080
  - {addr: 10.0.1.11:8080, weight: 1e3}
released: 2024-01-02
ports: 22:22
deep: {empty: {}, list: []}
"""


def test_a_yaml_tree_becomes_paths_as_in_confd() -> None:
    """Maps are path parts, lists are numbered, dates stay text, null is left out."""
    assert read_tree("x.yaml", YAML) == {
        "/key": b"foobar",
        "/database/host": b"127.0.0.1",
        "/database/port": b"3306",
        "/database/pool": b"10",
        "/database/ratio": b"1.5",
        "/database/tls": b"true",
        "/upstream/0": b"10.0.1.10:8080",
        "/upstream/1/addr": b"10.0.1.11:8080",
        "/upstream/1/weight": b"1000",
        "/released": b"2024-01-02",
        "/ports": b"22:22",
    }


def test_json_and_toml_give_the_same() -> None:
    """One tree, three spellings."""
    expected = {"/a/b": b"1", "/a/c/0": b"x", "/a/d": b"false", "/a/e": b"0.000001"}
    assert (
        read_tree("x.json", b'{"a":{"b":1,"c":["x"],"d":false,"e":0.000001,"f":null}}') == expected
    )
    assert read_tree("x.toml", b'[a]\nb=1\nc=["x"]\nd=false\ne=0.000001\n') == expected
    assert read_tree("x.yml", b"a: {b: 1, c: [x], d: no, e: 0.000001}") == expected
    assert read_tree("noname", b"a: {b: 1, c: [x], d: off, e: 0.000001}") == expected


def test_an_empty_file_is_an_empty_tree() -> None:
    """Nothing in it, nothing wrong with it."""
    assert read_tree("x.yaml", b"") == {}
    assert read_tree("x.toml", b"") == {}


@pytest.mark.parametrize(
    ("name", "raw", "place"),
    [
        ("x.json", b'{"a": {\n"b": 1,\n', "x.json:3"),
        ("x.json", b"", "x.json:1"),
        ("x.toml", b"a = 1\nb = \n", "x.toml:2"),
        ("x.yaml", b"a: 1\nb: [1\nc: 2\n", "x.yaml:3"),
        ("x.yaml", b"just text", "x.yaml:1"),
        ("x.yaml", b"a: 1\nb: 2\na: 3\n", "x.yaml:3"),
        ("x.yaml", b"a:\n  1: x\n  '1': y\n", "x.yaml:3"),
        ("x.yaml", b"a:\n  b: x\na/b: y\n", "x.yaml"),
        ("x.json", b'{"a": {"b": 1}, "a/b": 2}', "x.json"),
        ("x.yaml", b"a: 1\n? [b]\n: 1\n", "x.yaml:2"),
        ("x.yaml", b"a:\n- 1\n- ? {b: c}\n  : 1\n", "x.yaml:3"),
        ("x.json", b'{"a":\n"\xff"}', "x.json:2"),
    ],
)
def test_a_broken_tree_names_file_and_line(name: str, raw: bytes, place: str) -> None:
    """So that an editor can jump there."""
    with pytest.raises(SourceRefused) as told:
        read_tree(name, raw)
    assert told.value.where == place


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        pytest.param("x.json", b'{"a": ' + b"1" * 5000 + b"}", id="a-number-of-5000-digits"),
        pytest.param("x.json", b'{"a": "\\ud800"}', id="half-a-character"),
        pytest.param("x.json", b'{"\\ud800": "a"}', id="half-a-character-as-a-name"),
        pytest.param("x.json", b"[" * 100_000, id="nested-without-end"),
        pytest.param("x.toml", b"a = " + b"[" * 20_000, id="toml-nested-without-end"),
        pytest.param("x.yaml", b"a: &a\n  b: *a\n", id="a-map-within-itself"),
        pytest.param("x.yaml", b"a: 0x_\n", id="a-number-without-digits"),
        pytest.param("x.yaml", b"a: !!int secret\n", id="a-number-that-is-text"),
        pytest.param("x.yaml", b"a: !!bool secret\n", id="a-truth-that-is-text"),
        pytest.param("x.yaml", b"a: !!timestamp secret\n", id="a-date-that-is-text"),
        pytest.param("x.yaml", b"a: !!set {secret}\n", id="a-set"),
        pytest.param("x.yaml", b"a: !!omap [b: secret]\n", id="pairs"),
        pytest.param("x.yaml", b"a: !!binary /w==\n", id="bytes-that-are-no-text"),
    ],
)
def test_what_a_parser_chokes_on_is_refused_like_any_broken_file(name: str, raw: bytes) -> None:
    """An error of our tree, so that the last good contents stay; and no value is quoted."""
    with pytest.raises(SourceRefused) as told:
        read_tree(name, raw)
    assert told.value.where == name
    assert "secret" not in str(told.value)


def test_pipes_and_sockets_in_a_folder_are_no_keys(tmp_path: Path) -> None:
    """Reading a pipe that nobody writes into would hang the whole source."""
    (tmp_path / "a").write_text("1")
    os.mkfifo(tmp_path / "pipe")
    listed = open_source("file", SourceOptions(files=(str(tmp_path),))).list(["/"], timeout_s=1)
    assert {each.key: each.value for each in listed.keys} == {"/a": b"1"}
    named = open_source("file", SourceOptions(files=(str(tmp_path / "pipe"),)))
    with pytest.raises(SourceRefused, match="pipe"):
        named.list(["/"], timeout_s=1)


def test_what_the_shell_hands_on_is_read() -> None:
    """`--file <(command)` is a pipe below /dev, with somebody who writes into it."""
    reader, writer = os.pipe()
    os.write(writer, b"app: {a: 1}")
    os.close(writer)
    try:
        source = open_source("file", SourceOptions(files=(f"/dev/fd/{reader}",)))
        listed = source.list(["/"], timeout_s=1)
    finally:
        os.close(reader)
    assert {each.key: each.value for each in listed.keys} == {"/app/a": b"1"}


def test_a_folder_holds_trees_and_plain_files(tmp_path: Path) -> None:
    """By suffix; hidden files and names outside the filter are left out; later files win."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_text('{"app": {"x": "1"}}')
    (tmp_path / "sub" / "plain").write_text("line one\nline two\n")
    (tmp_path / ".hidden").write_text("no")
    (tmp_path / "z.yaml").write_text("app: {x: 2}")
    (tmp_path / "notes.bak").write_text("no")
    options = SourceOptions(files=(str(tmp_path),), filter="[!n]*")
    keys = {
        each.key: each.value for each in open_source("file", options).list(["/"], timeout_s=1).keys
    }
    assert keys == {"/app/x": b"2", "/sub/plain": b"line one\nline two"}


def test_a_circle_of_links_is_told(tmp_path: Path) -> None:
    """Not followed for ever."""
    (tmp_path / "loop").symlink_to(tmp_path)
    source = open_source("file", SourceOptions(files=(str(tmp_path),)))
    with pytest.raises(SourceUnavailable, match="circle"):
        source.list(["/"], timeout_s=1)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """With its path; and no file at all is a setting that is missing."""
    source = open_source("file", SourceOptions(files=(str(tmp_path / "none.json"),)))
    with pytest.raises(SourceError, match=r"none\.json"):
        source.list(["/"], timeout_s=1)
    with pytest.raises(SourceRefused, match="needs a file"):
        open_source("file", SourceOptions())


def test_a_half_written_file_keeps_the_last_good(tmp_path: Path) -> None:
    """Lost with file and line, once; what was held stays; the next good one ends it."""
    path = tmp_path / "keys.json"
    save(path, '{"app": {"a": "1"}}')
    source = open_source("file", SourceOptions(files=(str(path),), interval_s=0.02))
    inbox = Inbox()
    watch = source.watch(("/app",), inbox.put)
    inbox.wait_mirror({"/app/a": b"1"})
    save(path, '{"app": {"a":\n')
    inbox.wait(lambda box: box.of(Lost))
    (lost,) = inbox.of(Lost)
    assert f"{path}:2" in str(lost.cause)  # type: ignore[union-attr]
    save(path, '{"app": {"a": "2"}}')
    inbox.wait_mirror({"/app/a": b"2"})
    watch.stop()
    assert len(inbox.of(Listed)) == 1
    assert isinstance(inbox.of(Changed)[-1], Changed)


def test_a_save_with_equal_contents_changes_nothing(tmp_path: Path) -> None:
    """Another inode, another time, the same keys."""
    path = tmp_path / "keys.json"
    save(path, '{"app": {"a": "1"}}')
    source = open_source("file", SourceOptions(files=(str(path),), interval_s=0.02))
    inbox = Inbox()
    watch = source.watch(("/app",), inbox.put)
    inbox.wait_mirror({"/app/a": b"1"})
    beside = tmp_path / "new"
    beside.write_text('{"app":   {"a": "1"}}')
    os.replace(beside, path)
    save(path, '{"app": {"a": "1"}, "b": 2}')
    count = len(inbox.messages)
    inbox.wait(lambda box: len(box.messages) > count + 5)
    watch.stop()
    assert inbox.of(Changed) == []


def test_the_revision_of_a_file_source_counts_differences(tmp_path: Path) -> None:
    """Listing twice without a change is one revision; each key knows when it changed."""
    path = tmp_path / "keys.json"
    save(path, '{"a": "1", "b": "1"}')
    source = open_source("file", SourceOptions(files=(str(path),)))
    first = source.list(["/"], timeout_s=1)
    assert source.list(["/"], timeout_s=1).revision == first.revision
    save(path, '{"a": "1", "b": "2"}')
    second = source.list(["/"], timeout_s=1)
    assert {each.key: each.mod_revision for each in second.keys} == {
        "/a": first.revision,
        "/b": second.revision,
    }


def test_variables_are_keys_as_in_confd() -> None:
    """Lower case, underscores are slashes."""
    assert keys_of({"DATABASE_HOST": "h", "App__X_": "x"}) == {
        "/database/host": b"h",
        "/app/x": b"x",
    }


def test_keys_that_python_takes_for_one_are_two() -> None:
    """1 and true, which are equal in Python; merged maps too."""
    text = b"1: a\ntrue: b\n1.5: c\nnull: d\nx: &x {0: e}\ny:\n  <<: *x\n  false: f\n"
    assert read_tree("x.yaml", text) == {
        "/1": b"a",
        "/true": b"b",
        "/1.5": b"c",
        "/null": b"d",
        "/x/0": b"e",
        "/y/0": b"e",
        "/y/false": b"f",
    }


@pytest.mark.parametrize(
    ("name", "text"), [("x.toml", "a = 1"), ("x.json", '{"a": 1}'), ("x.yaml", "a: 1")]
)
def test_a_byte_order_mark_is_no_content(name: str, text: str) -> None:
    """Editors on Windows write one."""
    assert read_tree(name, b"\xef\xbb\xbf" + text.encode()) == {"/a": b"1"}


@pytest.mark.parametrize("name", ["x.toml", "x.json", "x.yaml"])
def test_whole_floats_print_as_confd_prints_them(name: str) -> None:
    """Without a fraction."""
    texts = {
        "toml": "a = 1.0\nb = 1000.0",
        "json": '{"a": 1.0, "b": 1e3}',
        "yaml": "a: 1.0\nb: 1e3",
    }
    assert read_tree(name, texts[name[2:]].encode()) == {"/a": b"1", "/b": b"1000"}


def test_a_variable_is_found_by_either_spelling() -> None:
    """As the keys of the resource name it, and as confd's templates do."""
    environ = {"XMPP_DOMAIN": "a", "XMPP_DOMAIN_TTL": "5", "XMPP_DOMAINS": "b", "Mixed_Case": "c"}
    assert keys_of(environ, ["/xmpp_domain"]) == {
        "/xmpp/domain": b"a",
        "/xmpp_domain": b"a",
        "/xmpp/domain/ttl": b"5",
        "/xmpp_domain/ttl": b"5",
        "/xmpp/domains": b"b",
        "/mixed/case": b"c",
    }
    found = open_source("env", SourceOptions(environ=environ)).list(["/xmpp_domain"], timeout_s=1)
    assert {item.key: item.value for item in found.keys} == {
        "/xmpp_domain": b"a",
        "/xmpp_domain/ttl": b"5",
    }


def test_what_a_yaml_map_merges_may_be_given_again() -> None:
    """Also where an alias is read before its anchor is."""
    text = b"""
base: &base {x: 1, y: 1}
list:
- &more {<<: *base, x: 2}
last: {<<: *more, y: 3}
both: {<<: [*base, *more], x: 4}
"""
    assert {
        key: value for key, value in read_tree("x.yaml", text).items() if "base" not in key
    } == {
        "/list/0/x": b"2",
        "/list/0/y": b"1",
        "/last/x": b"2",
        "/last/y": b"3",
        "/both/x": b"4",
        "/both/y": b"1",
    }
