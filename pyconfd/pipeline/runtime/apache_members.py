"""
What Apache's balancer manager has to be sent so that it runs what the file says. Pure.

The manager (mod_proxy_balancer) shows its balancers as XML to `?xml=1`, each with its nonce, and
takes a form for each member. Its answers are not believed: it is asked again afterwards.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyconfd.model.values import dataclass
from pyconfd.pipeline.runtime import hand_changes
from pyconfd.pipeline.runtime.apache_config import FLAGS, OUT, ApacheConfig, Key, named

_TAG = re.compile(r"<httpd:(name|nonce|loadfactor|status|route)>([^<]*)</httpd:")
_HEAD = "<httpd:manager"
_BALANCER = "balancer://"
#: Words of `status` -> letters of FLAGS; the rest is the health of a member.
_LETTERS = {"Ign": "I", "Drn": "N", "Dis": "D", "Stop": "S", "Stby": "H", "Spar": "R"}
_MOST_SHARE = 1e6
#: Fields of a state that are changed each by itself.
_SETTINGS = (("load",), ("flags",), ("route",))
#: Letters in words, for people.
_CALLED = {
    "I": "ignoring errors",
    "N": "draining",
    "D": "disabled",
    "S": "stopped",
    "H": "standby",
    "R": "spare",
}


@dataclass(frozen=True, slots=True)
class MemberState:
    """
    A member as Apache runs it.

    load: its share in hundredths.
    flags: letters of FLAGS.
    route: what a session remembers; "" for none.
    """

    load: int
    flags: frozenset[str]
    route: str

    def differs(self, other: MemberState) -> str:
        """What of this one is otherwise than in the other, in words; "" for nothing."""
        words = []
        if self.load != other.load:
            words.append(f"loadfactor {self.load / 100:g}")
        if self.flags != other.flags:
            words.append(", ".join(_CALLED[one] for one in sorted(self.flags)) or "no state")
        if self.route != other.route:
            words.append("another route")
        return ", ".join(words)


MemberStates = Mapping[Key, MemberState]


@dataclass(frozen=True, slots=True)
class MemberChange:
    """
    A form for the manager.

    key: the member.
    fields: names and values of the form that change it.
    text: the same for people: "set member NAME ...".
    """

    key: Key
    fields: tuple[tuple[str, str], ...]
    text: str


def shown(site: str, text: str) -> tuple[dict[Key, MemberState], dict[tuple[str, str], str]]:
    """
    The members of a site, and the nonce of each of its balancers, as the manager shows them.
    Raises ValueError.
    """
    if _HEAD not in text[:200]:
        raise ValueError("the answer is no list of balancers")
    members: dict[Key, MemberState] = {}
    nonces: dict[tuple[str, str], str] = {}
    balancer, key = "", None
    for match in _TAG.finditer(text):
        tag, value = match[1], html.unescape(match[2])
        if tag == "name" and value.startswith(_BALANCER):
            balancer, key = value[len(_BALANCER) :], None
        elif tag == "name":
            key = (site, balancer, value)
            members[key] = MemberState(0, frozenset(), "")
        elif tag == "nonce":
            nonces[site, balancer] = value
        elif key:
            members[key] = _with(members[key], tag, value)
    return members, nonces


def _with(state: MemberState, tag: str, value: str) -> MemberState:
    if tag == "loadfactor":
        if not 0 <= (share := float(value)) <= _MOST_SHARE:
            raise ValueError(f"a loadfactor is {share}")
        return replace(state, load=round(share * 100))
    if tag == "route":
        return replace(state, route=value)
    letters = frozenset(_LETTERS[word] for word in value.split() if word in _LETTERS)
    return replace(state, flags=letters)


def wanted(config: ApacheConfig) -> dict[Key, MemberState]:
    """The members of a file as they should run."""
    return {key: MemberState(one.load, one.flags, one.route) for key, one in config.members.items()}


def by_hand(running: MemberStates, versions: Sequence[ApacheConfig]) -> dict[Key, MemberState]:
    """The members that were changed by hand. versions: of the file, since the last reload."""
    return hand_changes.by_hand(running, [wanted(one) for one in versions])


def adopted(hand: MemberStates, versions: Sequence[ApacheConfig]) -> dict[Key, MemberState]:
    """The members of the last version, with those changes."""
    return hand_changes.adopted(hand, [wanted(one) for one in versions], lambda _: _SETTINGS)


def unlike(
    running: MemberStates, target: MemberStates, balancers: Iterable[tuple[str, str]]
) -> str:
    """
    The first member that does not run as it should, in words; "" when all do. balancers: those
    that have no other members.
    """
    for key, state in target.items():
        if key not in running:
            return f"the manager of {key[0]} shows no member {named(key)}"
        if words := running[key].differs(state):
            return f"member {named(key)} runs with {words}"
    known = frozenset(balancers)
    for key in running:
        if key[:2] in known and key not in target:
            return f"there is another member {named(key)}"
    return ""


def changes(running: MemberStates, target: MemberStates) -> list[MemberChange]:
    """
    What makes these states of those. Members come into service before others leave it, so that a
    balancer is not without any in between.
    """
    pairs = [(key, running[key], state) for key, state in target.items() if key in running]
    pairs.sort(key=lambda pair: bool(pair[2].flags & OUT))
    return [_change(*pair) for pair in pairs if pair[1] != pair[2]]


def _change(key: Key, running: MemberState, target: MemberState) -> MemberChange:
    fields = []
    if running.load != target.load:
        fields.append(("w_lf", f"{target.load / 100:.2f}"))
    for letter in FLAGS:
        if (letter in running.flags) != (letter in target.flags):
            fields.append((f"w_status_{letter}", str(int(letter in target.flags))))
    if running.route != target.route:
        fields.append(("w_wr", target.route))
    return MemberChange(key, tuple(fields), f"set member {named(key)} {target.differs(running)}")
