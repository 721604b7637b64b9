"""What every source must do. This suite is the definition of "works" for a backend."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyconfd.backends.base import Source, SourceOptions
from pyconfd.backends.registry import open_source
from pyconfd.errors import SourceError
from pyconfd.model.keys import Changed, Listed, Lost, Progressed
from pyconfd.testing.fake_source import FakeSource
from tests.support.daemons.etcd import PrivateEtcd, server_id, servers
from tests.support.source import Inbox
from tests.support.waiting import Stopwatch

START = {"/app/a": b"1", "/app/sub/b": b"2", "/web": b"3"}


class Rig:
    """A store that a test can change, and the source over it."""

    source: Source

    def write(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        """All at once."""
        raise NotImplementedError

    def break_down(self) -> None:
        """Unreadable from now on; contents can still be changed by `missed`."""
        raise NotImplementedError

    def mend(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        """Readable again, with these changes made in the gap."""
        raise NotImplementedError

    def close(self) -> None:
        self.source.close()


class EtcdRig(Rig):
    def __init__(self, folder: Path, program: str) -> None:
        self.etcd = PrivateEtcd(folder, program=program).start()
        for key, value in START.items():
            self.etcd.put(key, value)
        self.etcd.put("/apple", "not ours")
        self.etcd.put("/app-x", "not ours")
        options = SourceOptions(nodes=(self.etcd.endpoint,), probe_interval_s=0.5)
        self.source = open_source("etcd", options)

    def write(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.etcd.txn(list(puts.items()), deletes)

    def break_down(self) -> None:
        self.etcd.kill()

    def mend(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.etcd.start()
        self.write(puts, deletes)

    def close(self) -> None:
        super().close()
        self.etcd.close()


class FakeRig(Rig):
    def __init__(self) -> None:
        self.fake = FakeSource({**START, "/apple": "not ours", "/app-x": "not ours"})
        self.source = self.fake

    def write(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.fake.txn(puts, deletes)

    def break_down(self) -> None:
        self.fake.lose()

    def mend(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.write(puts, deletes)
        self.fake.recover()


class JsonRig(Rig):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.json"
        self.held: dict[str, str] = {key: value.decode() for key, value in START.items()}
        self.held |= {"/apple": "not ours", "/app-x": "not ours"}
        self._save()
        options = SourceOptions(files=(str(self.path),), interval_s=0.02)
        self.source = open_source("file", options)

    def _save(self) -> None:
        """As editors save: a new file renamed into place."""
        tree: dict[str, Any] = {}
        for key, value in self.held.items():
            *folders, last = key.strip("/").split("/")
            node = tree
            for name in folders:
                node = node.setdefault(name, {})
            node[last] = value
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(tree))
        beside.rename(self.path)

    def write(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.held = {k: v for k, v in {**self.held, **puts}.items() if k not in deletes}
        self._save()

    def break_down(self) -> None:
        self.path.write_text('{"app": {')

    def mend(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.write(puts, deletes)


class FolderRig(Rig):
    """Plain files behind a link that is swapped, as in a mounted config map."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.store.mkdir()
        self.link = folder / "mounted"
        self.held: dict[str, str] = {key: value.decode() for key, value in START.items()}
        self.held |= {"/apple": "not ours", "/app-x": "not ours"}
        self.count = 0
        self._save()
        options = SourceOptions(files=(str(self.link),), interval_s=0.02)
        self.source = open_source("file", options)

    def _save(self) -> None:
        self.count += 1
        target = self.store / f"v{self.count}"
        for key, value in self.held.items():
            path = target / key.strip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value + "\n")
        fresh = self.link.with_suffix(".new")
        fresh.symlink_to(target)
        os.replace(fresh, self.link)

    def write(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.held = {k: v for k, v in {**self.held, **puts}.items() if k not in deletes}
        self._save()

    def break_down(self) -> None:
        self.link.unlink()

    def mend(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.write(puts, deletes)


class EnvRig(Rig):
    def __init__(self) -> None:
        self.environ = {"APP_A": "1", "APP_SUB_B": "2", "WEB": "3", "APPLE": "not ours"}
        self.source = open_source("env", SourceOptions(environ=self.environ))

    def write(self, puts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        def name(key: str) -> str:
            return key.strip("/").replace("/", "_").upper()

        fresh = {**self.environ, **{name(key): value for key, value in puts.items()}}
        for key in deletes:
            fresh.pop(name(key))
        self.environ.clear()
        self.environ.update(fresh)


def _etcd_rigs() -> list[Any]:
    integration = pytest.mark.integration
    return [
        pytest.param(program, marks=integration, id="etcd-" + server_id(program))
        for program in servers()
    ]


BREAKABLE = [*_etcd_rigs(), "fake", "json", "folder"]


def _open_rig(kind: str, tmp_path: Path) -> Iterator[Rig]:
    kinds = {
        "fake": FakeRig,
        "json": lambda: JsonRig(tmp_path),
        "folder": lambda: FolderRig(tmp_path),
        "env": EnvRig,
    }
    made = kinds.get(kind, lambda: EtcdRig(tmp_path, kind))()
    yield made
    made.close()


@pytest.fixture(params=[*BREAKABLE, "env"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every source."""
    yield from _open_rig(request.param, tmp_path)


@pytest.fixture(params=BREAKABLE)
def frail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every source that can change or be away; the environment does neither."""
    yield from _open_rig(request.param, tmp_path)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def test_a_list_holds_each_prefix_on_path_boundaries(rig: Rig) -> None:
    """/app is its key and everything below, never /apple or /app-x; and a prefix may be a key."""
    listed = rig.source.list(["/app", "/web"], timeout_s=5)
    assert {each.key: each.value for each in listed.keys} == START
    assert {each.key for each in rig.source.list(["/app/sub"], timeout_s=5).keys} == {"/app/sub/b"}
    assert rig.source.list(["/nothing/here"], timeout_s=5).keys == ()


def test_the_root_prefix_is_the_whole_store(rig: Rig) -> None:
    """ "/" holds every key."""
    keys = {each.key for each in rig.source.list(["/"], timeout_s=5).keys}
    assert keys >= {*START, "/apple"}


def test_the_first_message_is_a_list_marked_start(rig: Rig, inbox: Inbox) -> None:
    """A follower holds everything before it hears of changes."""
    watch = rig.source.watch(("/app", "/web"), inbox.put)
    inbox.wait_mirror(START)
    watch.stop()
    first = inbox.messages[0]
    assert isinstance(first, Listed)
    assert first.reason == "start"
    assert first.source == rig.source.name


def test_changes_and_deletions_are_followed(frail: Rig, inbox: Inbox) -> None:
    """Put, overwritten, deleted: each is seen, and siblings are not."""
    watch = frail.source.watch(("/app",), inbox.put)
    inbox.wait_mirror({"/app/a": b"1", "/app/sub/b": b"2"})
    frail.write({"/app/a": "9", "/app/new": "n", "/apple": "still not ours"})
    inbox.wait_mirror({"/app/a": b"9", "/app/new": b"n", "/app/sub/b": b"2"})
    frail.write({}, ("/app/new",))
    inbox.wait_mirror({"/app/a": b"9", "/app/sub/b": b"2"})
    watch.stop()


def test_what_is_written_together_arrives_together(frail: Rig, inbox: Inbox) -> None:
    """No message leaves a pair that was written at once half old and half new."""
    watch = frail.source.watch(("/app", "/other"), inbox.put)
    inbox.wait(lambda box: box.of(Listed))
    seen: list[tuple[bytes | None, bytes | None]] = []
    real_put = inbox._apply

    def apply(message: Any) -> None:
        real_put(message)
        seen.append((inbox.mirror.get("/app/pair"), inbox.mirror.get("/other/pair")))

    inbox._apply = apply  # type: ignore[method-assign]
    for number in range(20):
        frail.write({"/app/pair": str(number), "/other/pair": str(number)})
    inbox.wait(lambda box: box.mirror.get("/other/pair") == b"19")
    watch.stop()
    assert all(one == other for one, other in seen), seen


def test_deletions_during_a_gap_are_seen(frail: Rig, inbox: Inbox) -> None:
    """The outage is told, and what was changed and deleted meanwhile is found afterwards."""
    watch = frail.source.watch(("/app",), inbox.put)
    inbox.wait_mirror({"/app/a": b"1", "/app/sub/b": b"2"})
    frail.break_down()
    inbox.wait(lambda box: box.of(Lost), what="the outage is told")
    assert inbox.mirror == {"/app/a": b"1", "/app/sub/b": b"2"}, "the last good contents stay"
    frail.mend({"/app/late": "l"}, ("/app/a",))
    inbox.wait_mirror({"/app/late": b"l", "/app/sub/b": b"2"})
    watch.stop()
    assert len(inbox.of(Lost)) <= 2, "told once, and again only when the cause changes"


def test_an_outage_ends_with_a_word_even_when_nothing_changed(frail: Rig, inbox: Inbox) -> None:
    """Lost is always followed by something that ends it."""
    watch = frail.source.watch(("/app",), inbox.put)
    inbox.wait(lambda box: box.of(Listed))
    frail.break_down()
    inbox.wait(lambda box: box.lost_now())
    frail.mend({})
    inbox.wait(lambda box: isinstance(box.messages[-1], Listed | Changed | Progressed))
    watch.stop()


def test_a_source_that_is_away_at_the_start_is_told_and_then_listed(
    frail: Rig, inbox: Inbox
) -> None:
    """Following may begin before the store is there."""
    frail.break_down()
    watch = frail.source.watch(("/app",), inbox.put)
    inbox.wait(lambda box: box.of(Lost))
    frail.mend({"/app/a": "2"})
    inbox.wait_mirror({"/app/a": b"2", "/app/sub/b": b"2"})
    watch.stop()
    assert next(type(each) for each in inbox.messages if not isinstance(each, Progressed)) is Lost
    assert inbox.of(Listed)[0].reason == "start"  # type: ignore[union-attr]


def test_a_list_from_a_source_that_is_away_is_an_error_in_time(frail: Rig) -> None:
    """No hang, and an error of our tree."""
    frail.break_down()
    took = Stopwatch()
    with pytest.raises(SourceError):
        frail.source.list(["/app"], timeout_s=1)
    assert took.within(3.0), took


def test_an_equal_store_causes_no_changes(frail: Rig, inbox: Inbox) -> None:
    """Signs of life apart, silence when nothing happens to what is watched."""
    watch = frail.source.watch(("/app",), inbox.put)
    inbox.wait(lambda box: box.of(Listed))
    frail.write({"/other": "x"})
    frail.write({"/app/end": "e"})
    inbox.wait(lambda box: "/app/end" in box.mirror)
    watch.stop()
    told = [each.key for message in inbox.of(Changed) for each in message.changes]  # type: ignore[union-attr]
    assert set(told) <= {"/app/end"}


def test_stop_is_prompt_and_final(rig: Rig, inbox: Inbox) -> None:
    """Below a second, with the thread gone, and nothing is put afterwards."""
    before = threading.active_count()
    watch = rig.source.watch(("/app",), inbox.put)
    inbox.wait(lambda box: box.of(Listed))
    took = Stopwatch()
    watch.stop()
    prompt, said = took.within(1.0), str(took)
    count = len(inbox.messages)
    rig.write({"/app/a": "after"})
    watch.stop()
    assert prompt, said
    assert len(inbox.messages) == count
    assert threading.active_count() <= before + (1 if "etcd" in rig.source.name else 0)


def test_several_watches_of_one_source_do_not_disturb_each_other(frail: Rig) -> None:
    """Each has its own prefixes; stopping one leaves the other."""
    one, two = Inbox(), Inbox()
    first = frail.source.watch(("/app",), one.put)
    second = frail.source.watch(("/web",), two.put)
    one.wait_mirror({"/app/a": b"1", "/app/sub/b": b"2"})
    two.wait_mirror({"/web": b"3"})
    first.stop()
    frail.write({"/web": "4", "/app/a": "4"})
    two.wait_mirror({"/web": b"4"})
    second.stop()
    assert one.mirror == {"/app/a": b"1", "/app/sub/b": b"2"}
