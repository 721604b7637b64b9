"""Notices as log lines: one for each change that matters to a person. Values are never logged."""

from __future__ import annotations

from pyconfd.observe import log
from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.member import MemberPhase
from pyconfd.registration.registrar.notices import (
    MemberChanged,
    MemberStatus,
    Notice,
    RegistrarDied,
    StoreState,
)


class NoticeLog:
    """Logs changes; remembers what it last logged about each member."""

    def __init__(self) -> None:
        self._logged: dict[str, tuple[bool, str]] = {}
        self._away = False

    def __call__(self, notice: Notice) -> None:
        """Log a notice. Called from the registrar's thread."""
        match notice:
            case MemberChanged(status, _):
                self._changed(status)
            case StoreState(problem):
                self._store(problem)
            case RegistrarDied(problem):
                log.error(f"the registrar failed and is started again: {problem}")

    def _changed(self, status: MemberStatus) -> None:
        if status.phase in (
            MemberPhase.CLAIMING,
            MemberPhase.PREPARING,
            MemberPhase.WITHDRAWING,
            MemberPhase.CLEANING,
        ):
            log.debug(str(status.phase), service=status.service, id=status.member_id)
            return
        if status.reason is Reason.CHECKING:
            return
        now = (status.registered, "" if status.registered else status.why)
        before = self._logged.get(status.key, (False, ""))
        if now == before:
            return
        self._logged[status.key] = now
        fields = {"service": status.service, "id": status.member_id}
        if status.registered:
            log.info("registered", **fields, key=status.key, lease=f"{status.lease:x}")
        elif status.reason.intended:
            log.info(f"withdrawn: {status.why}" if before[0] else "not registered", **fields)
        else:
            what = "withdrawn" if before[0] else "not registered"
            log.warn(f"{what}: {status.why}", **fields, key=status.key)

    def _store(self, problem: str) -> None:
        if problem:
            log.warn(f"the store does not answer: {problem}")
        elif self._away:
            log.info("the store answers again")
        self._away = bool(problem)
