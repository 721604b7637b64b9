"""The events that the fleet's threads put on the daemon's inbox. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from pyconfd.fleet.records import FleetPin
from pyconfd.model.values import dataclass
from pyconfd.pipeline.gated import GatedKeys
from pyconfd.reconcile.rollout import RolloutMessage
from pyconfd.reconcile.turns import TurnRecords


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """An event about a service's turn. service: "" for all."""

    service: str
    message: RolloutMessage


@dataclass(frozen=True, slots=True)
class RecordsRead:
    """
    The present records of some services.

    records: by service.
    pins: the orders to stay at a revision, by service; None for none.
    """

    records: Mapping[str, TurnRecords]
    pins: Mapping[str, FleetPin | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NameContested:
    """Another daemon uses this node's name. by: its host, "" when it is gone."""

    by: str


@dataclass(frozen=True, slots=True)
class KeysFetched:
    """
    The gated keys of a service at an earlier revision of the store.

    pin: they were requested for a pin.
    keys: None when they could not be read.
    problem: why not, in words.
    lasting: whether a retry cannot help.
    """

    service: str
    revision: int
    pin: bool
    keys: GatedKeys | None
    problem: str = ""
    lasting: bool = False


FleetMessage = FleetEvent | RecordsRead | NameContested | KeysFetched
