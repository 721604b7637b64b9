"""
The configuration in force: conf.d and the templates, as they were read.

Both are read as one set, at the start and on SIGHUP, and kept in between. So no file is made from
half of an edit, and an edit with a fault changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pyconfd.errors import ConfigError, PyconfdError, RenderError
from pyconfd.model.resources import Resource, ResourceSet
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.status.summary import ConfigFaults


class ActiveConfig:
    """
    The set in force. Main thread only.

    load: reads conf.d; raises ConfigError when it has no usable resource.
    found: what it returned at the start; faulty tables are left out and the others are used.
    renderer: its templates.
    at: when they were read, in seconds since 1970.
    """

    def __init__(
        self, load: Callable[[], ResourceSet], found: ResourceSet, renderer: Renderer, at: float
    ) -> None:
        self._load = load
        self.resources = found.resources
        self.renderer = renderer
        self.faulty = _faulty(found.faults, at, taken=True)
        self.edited: tuple[str, ...] = ()

    def reload(self, at: float) -> tuple[PyconfdError, ...]:
        """Use what is declared now if it has no fault; otherwise return every fault."""
        faults: tuple[PyconfdError, ...]
        try:
            found = self._load()
        except ConfigError as error:
            faults = error.faults
        else:
            renderer = self.renderer.refreshed()
            faults = (*found.faults, *_uncompilable(renderer, found.resources))
        self.faulty = _faulty(faults, at, taken=False)
        if not faults:
            self.resources, self.renderer, self.edited = found.resources, renderer, ()
        return faults

    def newly_edited(self) -> tuple[str, ...]:
        """The templates edited since they were read, if there are more than at the last call."""
        before, self.edited = self.edited, self.renderer.edited()
        return self.edited if set(self.edited) - set(before) else ()


def _faulty(faults: Iterable[PyconfdError], at: float, *, taken: bool) -> ConfigFaults | None:
    texts = tuple(dict.fromkeys(str(fault) for fault in faults))
    return ConfigFaults(texts, at, taken) if texts else None


def _uncompilable(renderer: Renderer, resources: Iterable[Resource]) -> Iterator[RenderError]:
    """The faults of templates that can be found without keys."""
    for resource in {(one.src, one.format): one for one in resources}.values():
        yield from renderer.faults(resource)
