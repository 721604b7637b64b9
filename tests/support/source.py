"""What tests of sources share: an inbox for a watch's messages, and the mirror they add up to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pyconfd.model.keys import Changed, Listed, Lost, SourceMessage
from tests.support.waiting import PATIENCE_S


class Inbox:
    """Collects what a watch puts; `mirror` is what a program that believes it would hold."""

    def __init__(self) -> None:
        self.messages: list[SourceMessage] = []
        self.mirror: dict[str, bytes] = {}
        self.revision = -1
        self._news = threading.Condition()

    def put(self, message: SourceMessage) -> None:
        with self._news:
            self.messages.append(message)
            self._apply(message)
            self._news.notify_all()

    def _apply(self, message: SourceMessage) -> None:
        if isinstance(message, Listed):
            self.mirror = {each.key: each.value for each in message.keys}
            self.revision = message.revision
        elif isinstance(message, Changed):
            assert message.revision > self.revision, "a replay was put"
            for change in message.changes:
                assert change.mod_revision <= message.revision
                if change.value is None:
                    self.mirror.pop(change.key, None)
                else:
                    self.mirror[change.key] = change.value
            self.revision = message.revision

    def wait(
        self, true: Callable[[Inbox], object], timeout_s: float = PATIENCE_S, what: str = ""
    ) -> None:
        """Until `true`, looked at after each message; AssertionError with the last messages."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while not true(self):
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"not within {timeout_s} s: {what}; last: {self.messages[-5:]}"
                self._news.wait(left_s)

    def wait_mirror(self, expected: dict[str, bytes], timeout_s: float = PATIENCE_S) -> None:
        """Until the mirror is as expected."""
        self.wait(lambda box: box.mirror == expected, timeout_s, f"{expected} != {self.mirror}")

    def of(self, kind: type) -> list[SourceMessage]:
        """All messages of one kind so far."""
        with self._news:
            return [each for each in self.messages if isinstance(each, kind)]

    def lost_now(self) -> bool:
        """Whether the last word was Lost."""
        return bool(self.messages) and isinstance(self.messages[-1], Lost)
