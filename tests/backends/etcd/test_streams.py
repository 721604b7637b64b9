"""Streams that do not stay open: told, and not tried as fast as the machine can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.registry import open_source
from pyconfd.model.keys import Changed, Listed, Lost, Progressed
from tests.backends.etcd.test_scripted import Script, empty, event, said, scripted
from tests.support.source import Inbox

pytestmark = pytest.mark.integration


def ends(requests: Iterator[Any]) -> Iterator[Any]:
    """A proxy that knows no streams."""
    next(requests)
    yield from ()


def fails(requests: Iterator[Any]) -> Iterator[Any]:
    """With an error of grpc's."""
    next(requests)
    raise RuntimeError("no streams here")


def opens_and_ends(requests: Iterator[Any]) -> Iterator[Any]:
    """The watch is confirmed each time."""
    next(requests)
    yield said(watch_id=1, created=True)


@pytest.mark.parametrize("broken", [ends, fails, opens_and_ends])
def test_streams_that_end_at_once_are_told_and_tried_again_slowly(
    broken: Callable[[Iterator[Any]], Iterator[Any]],
) -> None:
    """Reads answer all the while, so nothing else would tell that no change arrives."""
    opened: list[int] = []
    good = 6

    def watch(requests: Iterator[Any]) -> Iterator[Any]:
        opened.append(1)
        if len(opened) < good:
            yield from broken(requests)
            return
        next(requests)
        yield said(watch_id=1, created=True)
        yield event(1, "/app/a", 11)
        yield from (said(revision=11, watch_id=-1) for _ in requests)

    with followed(watch) as inbox:
        inbox.wait(lambda box: box.of(Lost))
        lost = inbox.of(Lost)
        inbox.wait_mirror({"/app/a": b"new"})
        assert len(inbox.of(Lost)) == len(lost) == 1, "said once"
        assert "no watch stays open" in str(lost[0].cause)  # type: ignore[union-attr]
        after = inbox.messages[inbox.messages.index(lost[0]) :]
        assert [type(each) for each in after[:2]] == [Lost, Changed], "not ended by a mere opening"
        inbox.wait(lambda box: isinstance(box.messages[-1], Progressed))


def test_a_server_that_ends_streams_is_not_stormed() -> None:
    """Hundreds of connections a second, and a whole core, was what it cost."""
    opened: list[int] = []

    def watch(requests: Iterator[Any]) -> Iterator[Any]:
        opened.append(1)
        yield from ends(requests)

    with followed(watch) as inbox:
        inbox.wait(lambda box: box.of(Lost))
        before = len(opened)
        with pytest.raises(AssertionError):
            inbox.wait(lambda _: len(opened) > before + 40, 3)


def test_a_stream_that_stays_silent_while_the_store_moves_on_is_left() -> None:
    """It was confirmed and is alive, and brings nothing; a read beside it tells."""
    opened: list[int] = []
    moved: list[int] = []

    def watch(requests: Iterator[Any]) -> Iterator[Any]:
        opened.append(1)
        create = next(requests).create_request
        yield said(watch_id=1, created=True)
        if len(opened) > 1:
            assert create.start_revision == 11
            yield event(1, "/app/a", 11)
        for _ in requests:  # how far it is, it does not say either
            pass

    def ranged(request: Any, context: Any) -> Any:
        answer = empty(request, context)
        answer.header.revision = 11 if moved else 10
        return answer

    with followed(watch, ranged) as inbox:
        inbox.wait(lambda box: box.of(Progressed))
        moved.append(1)
        inbox.wait_mirror({"/app/a": b"new"}, 40)
        assert len(inbox.of(Listed)) == 1, "resumed, not listed"


@contextmanager
def followed(script: Script, ranged: Callable[[Any, Any], Any] = empty) -> Iterator[Inbox]:
    """A watch of /app on a server that follows the scripts."""
    with scripted(script, ranged) as endpoint:
        options = SourceOptions(nodes=(endpoint,), probe_interval_s=1.0)
        source, inbox = open_source("etcd", options), Inbox()
        watch = source.watch(["/app"], inbox.put)
        try:
            yield inbox
        finally:
            watch.stop()
            source.close()
