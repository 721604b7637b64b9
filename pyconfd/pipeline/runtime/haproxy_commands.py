"""
What HAProxy has to be sent so that it runs what the file says; its state as it shows it. Pure.

Management guide, 9.3: "show servers state", "set server", "add server", "del server". Answers are
not read: HAProxy is asked for its state afterwards, and that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pyconfd.model.values import dataclass
from pyconfd.pipeline.runtime import hand_changes
from pyconfd.pipeline.runtime.haproxy_config import Config, Key, Server, normalized

#: Columns of "show servers state", version 1.
_BACKEND, _NAME, _IP, _ADMIN, _WEIGHT, _PORT = 1, 3, 4, 6, 7, 18
#: Bits of its column srv_admin_state: as set by a command. `disabled` in the file sets the first.
_MAINT, _DRAIN = 0x01, 0x08
#: Options that "add server" does not know: the address is one already.
_NOT_ADDED = frozenset(("init-addr",))

#: An address of no host (RFC 5737), and ports to take in turns.
_NOWHERE = "192.0.2.1"
_NOWHERE_PORTS = (1, 2)


@dataclass(frozen=True, slots=True)
class State:
    """
    A server as HAProxy runs it.

    weight: 0 to 256.
    maint: in maintenance.
    drain: no new sessions, by a command; the file has a weight of 0 for that.
    address: IP and port, "" for one that is not compared.
    """

    weight: int
    maint: bool
    drain: bool
    address: str

    @property
    def mode(self) -> str:
        """As "set server ... state" calls it."""
        return "maint" if self.maint else "drain" if self.drain else "ready"

    def differs(self, other: State) -> str:
        """What of this one is otherwise than in the other, in words; "" for nothing."""
        words = []
        if self.weight != other.weight:
            words.append(f"weight {self.weight}")
        if self.mode != other.mode:
            words.append(f"state {self.mode}")
        if self.address and other.address and self.address != other.address:
            words.append("another address")
        return ", ".join(words)


States = Mapping[Key, State]


def states(text: str) -> dict[Key, State]:
    """What "show servers state" says, whatever stands around it. Raises ValueError."""
    head, _, table = text.partition("# be_id be_name srv_id srv_name srv_addr ")
    if not table or not head.strip().endswith("1"):
        raise ValueError("the answer is no list of servers")
    found: dict[Key, State] = {}
    for line in table.splitlines()[1:]:
        cells = line.split(" ")
        if len(cells) <= _PORT:
            break
        admin = int(cells[_ADMIN])
        found[cells[_BACKEND], cells[_NAME]] = State(
            int(cells[_WEIGHT]),
            bool(admin & _MAINT),
            bool(admin & _DRAIN),
            normalized(cells[_IP], cells[_PORT]),
        )
    return found


def wanted(config: Config) -> dict[Key, State]:
    """The servers of a file as they should run."""
    return {key: _as_state(server) for key, server in config.servers.items()}


def _as_state(server: Server) -> State:
    return State(server.weight, server.disabled, False, server.address)


def by_hand(running: States, versions: Sequence[Config]) -> dict[Key, State]:
    """The servers that were changed by hand. versions: of the file, since the last reload."""
    return hand_changes.by_hand(running, [wanted(one) for one in versions])


def adopted(hand: States, versions: Sequence[Config]) -> dict[Key, State]:
    """The servers of the last version, with those changes."""
    return hand_changes.adopted(hand, [wanted(one) for one in versions], _settings)


def _settings(state: State) -> list[tuple[str, ...]]:
    address = [("address",)] if state.address else []
    return [("weight",), ("maint", "drain"), *address]


def unlike(running: States, target: States, backends: Iterable[str]) -> str:
    """The first server that does not run as it should, in words; "" when all do."""
    for key, state in target.items():
        if key not in running:
            return f"there is no server {'/'.join(key)}"
        if words := running[key].differs(state):
            return f"server {'/'.join(key)} runs with {words}"
    known = frozenset(backends)
    for key in running:
        if key[0] in known and key not in target:
            return f"there still is a server {'/'.join(key)}"
    return ""


def commands(running: States, target: States, versions: Sequence[Config]) -> list[str]:
    """
    What makes these states of those. A server that runs and is in no version is left alone, one
    that is in all of them and does not run is not added: `unlike` sees both.
    """
    first, last = versions[0].servers, versions[-1].servers
    lines: list[str] = []
    for key in target:
        if key not in running and key not in first:
            lines += _add("/".join(key), last[key], target[key])
    for key, state in target.items():
        if key in running:
            lines += set_server("/".join(key), running[key], state)
    return lines + removals(running, target, versions)


def removals(running: States, target: States, versions: Sequence[Config]) -> list[str]:
    """
    What deletes the servers that are no more. HAProxy refuses it while one has a connection, also
    an idle one, which it keeps for 5 s; it closes those of a server whenever its address changes.
    A request under way leaves its connection idle when it ends, so each try is another address.
    """
    return [
        line
        for key, state in running.items()
        if key not in target and _in_one(key, versions)
        for line in _remove("/".join(key), state.address)
    ]


def _remove(name: str, address: str) -> Iterator[str]:
    first, second = _NOWHERE_PORTS
    yield f"set server {name} state maint"
    port = second if address == f"{_NOWHERE} {first}" else first
    yield f"set server {name} addr {_NOWHERE} port {port}"
    yield f"del server {name}"


def _in_one(key: Key, versions: Sequence[Config]) -> bool:
    return any(key in one.servers for one in versions)


def _add(name: str, server: Server, state: State) -> Iterator[str]:
    options = " ".join(_added_options(server.options))
    yield f"add server {name} {server.at} weight {state.weight} {options}".rstrip()
    if "check" in server.options:
        yield f"enable health {name}"
    if not state.maint:
        yield f"enable server {name}"


def _added_options(options: Iterable[str]) -> Iterator[str]:
    left = iter(options)
    for word in left:
        if word in _NOT_ADDED:
            next(left, "")
        else:
            yield word


def set_server(name: str, running: State, target: State) -> Iterator[str]:
    """Out of service before, into service after it is changed."""
    mode = f"set server {name} state {target.mode}"
    if running.mode != target.mode == "maint":
        yield mode
    if target.address and running.address != target.address:
        ip, _, port = target.address.partition(" ")
        yield f"set server {name} addr {ip} port {port}"
    if running.weight != target.weight:
        yield f"set server {name} weight {target.weight}"
    if running.mode != target.mode != "maint":
        yield mode
