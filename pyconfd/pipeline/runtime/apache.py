"""
Apache at its balancer manager, which shows each site its own balancers. Shell.

Each site is asked by its name at the address of `at`. What is wrong with the manager or its answer
is a text: the reload is done instead. Proxies of the environment are not used.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from pyconfd.model.resources import Runtime
from pyconfd.model.values import dataclass
from pyconfd.pipeline.runtime import apache_members as pure
from pyconfd.pipeline.runtime.apache_config import ApacheConfig, Key, named, read, reload_reason
from pyconfd.system.connect import Address, Response, connect, http_get, http_post

#: Some ms on an idle machine; a graceful restart lets a request wait for up to a second.
_ANSWER_S = 2.0
#: For all that is asked for one change.
_ALL_S = 20.0
_MOST_BYTES = 16 * 1024 * 1024
_SHOW = "xml=1"


class Shown(NamedTuple):
    """What the managers show: members, and the nonce of each balancer of each site."""

    members: Mapping[Key, pure.MemberState]
    nonces: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class ApacheSurvey:
    """
    What is to change, and what runs before.

    files: of each file its versions since the last reload, the oldest first, what is live last.
    reason: why a reload is needed whatever runs; "" when the commands may do.
    running: what the managers show; empty when they cannot be asked.
    problem: why they cannot be asked, "" when they can.
    """

    files: tuple[tuple[ApacheConfig, ...], ...]
    reason: str
    running: Shown
    problem: str

    @property
    def hand(self) -> dict[Key, pure.MemberState]:
        """What was changed by hand."""
        found: dict[Key, pure.MemberState] = {}
        for versions in self.files:
            found.update(pure.by_hand(self.running.members, versions))
        return found

    def by_hand(self) -> list[str]:
        """The same in words, a line for each member."""
        live = _merged(pure.wanted(versions[-1]) for versions in self.files)
        return [
            f"member {named(key)} of {key[0]} runs with {state.differs(live[key])}"
            for key, state in sorted(self.hand.items())
        ]


def compare(texts: Sequence[Sequence[str]]) -> tuple[tuple[tuple[ApacheConfig, ...], ...], str]:
    """The files taken apart, and why a reload is needed."""
    files = tuple(tuple(map(read, versions)) for versions in texts)
    pairs = ((old, versions[-1]) for versions in files for old in versions[:-1])
    return files, next(filter(None, (reload_reason(*pair) for pair in pairs)), "")


def survey(
    runtime: Runtime, files: tuple[tuple[ApacheConfig, ...], ...], reason: str
) -> ApacheSurvey:
    """Ask what runs, of the sites as they were loaded. files, reason: of `compare`."""
    manager = _Manager(runtime.at)
    try:
        return ApacheSurvey(files, reason, manager.show([one[0] for one in files]), "")
    except (OSError, ValueError) as error:
        return ApacheSurvey(files, reason, Shown({}, {}), manager.words(error))


def change(runtime: Runtime, found: ApacheSurvey) -> tuple[list[str], str]:
    """
    Send what makes it run as the files say, with `adopt` what was changed by hand apart. Returns
    what was sent, and why it does not run so; "" when it does.
    """
    hand = found.hand if runtime.adopt else {}
    target = _merged(pure.adopted(_of(hand, one[-1]), one) for one in found.files)
    live = [versions[-1] for versions in found.files]
    balancers = () if runtime.adopt else [pair for one in live for pair in one.balancers]
    return _make(_Manager(runtime.at), found.running, target, live, balancers)


def restore(runtime: Runtime, before: ApacheSurvey) -> str:
    """
    After a reload: send what was changed by hand before it. Returns why that failed, "" when not.
    """
    after = survey(runtime, tuple(versions[-1:] for versions in before.files), "")
    if after.problem:
        return after.problem
    hand = before.hand
    target = _merged(pure.adopted(_of(hand, one[-1]), one) for one in before.files)
    target = {key: state for key, state in target.items() if key in hand}
    live = [versions[-1] for versions in after.files]
    return _make(_Manager(runtime.at), after.running, target, live, ())[1]


def _make(
    manager: _Manager,
    running: Shown,
    target: pure.MemberStates,
    live: Sequence[ApacheConfig],
    balancers: Sequence[tuple[str, str]],
) -> tuple[list[str], str]:
    wanted = pure.changes(running.members, target)
    sent = []
    try:
        for one in wanted:
            sent.append(one.text)
            manager.send(one, running.nonces.get(one.key[:2], ""))
        after = manager.show(live) if wanted else running
    except (OSError, ValueError) as error:
        return sent, manager.words(error)
    # of the start of each configuration: another one may have begun without these changes
    if after.nonces != running.nonces:
        return sent, "it was reloaded by another program meanwhile"
    return sent, pure.unlike(after.members, target, balancers)


class _Manager:
    """The manager at this URL, for one change."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._deadline = time.monotonic() + _ALL_S
        secure = self._parts.scheme == "https"
        self._port = self._parts.port or (443 if secure else 80)
        name = self._parts.hostname or ""
        self._address = Address(name, self._port, tls=name if secure else "")

    def show(self, configs: Sequence[ApacheConfig]) -> Shown:
        """Ask for all sites of these files that have members. Raises OSError, ValueError."""
        members: dict[Key, pure.MemberState] = {}
        nonces: dict[tuple[str, str], str] = {}
        for site in sorted({key[0] for one in configs for key in one.members}):
            for one in configs:
                if site in one.addresses and not one.reached_at(site, self._port):
                    raise ValueError(f"the site {site} is not at port {self._port}")
            members_here, nonces_here = pure.shown(site, self._page(site))
            members.update(members_here)
            nonces.update(nonces_here)
        return Shown(members, nonces)

    def _page(self, site: str) -> str:
        host, until = self._host(site), self._until()
        referer, path = self._referer(host), f"{self._path}?{_SHOW}"
        with connect(self._address, until) as stream:
            answer = http_get(stream, path, host, until, referer=referer, most_body=_MOST_BYTES)
        return _good(site, answer).body.decode(errors="replace")

    def send(self, one: pure.MemberChange, nonce: str) -> None:
        """Raises OSError, ValueError."""
        site, balancer, member = one.key
        form = urlencode([("b", balancer), ("w", member), ("nonce", nonce), *one.fields])
        host, until = self._host(site), self._until()
        referer = self._referer(host)
        with connect(self._address, until) as stream:
            answer = http_post(stream, self._path, host, until, form=form, referer=referer)
        _good(site, answer)

    def _until(self) -> float:
        return min(self._deadline, time.monotonic() + _ANSWER_S)

    def _host(self, site: str) -> str:
        return f"{site}:{self._parts.port}" if self._parts.port else site

    @property
    def _path(self) -> str:
        return self._parts.path or "/"

    def _referer(self, host: str) -> str:
        """Apache takes orders from its own pages alone."""
        return f"{self._parts.scheme}://{host}{self._path}"

    def words(self, error: OSError | ValueError) -> str:
        words = (error.strerror if isinstance(error, OSError) else "") or str(error)
        return f"{self._url}: {words}"


def _good(site: str, answer: Response) -> Response:
    if answer.status != 200:
        raise ValueError(f"the answer for {site} is {answer.status} {answer.reason}".rstrip())
    return answer


def _merged(all_states: Iterable[pure.MemberStates]) -> dict[Key, pure.MemberState]:
    return {key: state for states in all_states for key, state in states.items()}


def _of(hand: Mapping[Key, pure.MemberState], config: ApacheConfig) -> dict[Key, pure.MemberState]:
    return {key: state for key, state in hand.items() if key in config.members}
