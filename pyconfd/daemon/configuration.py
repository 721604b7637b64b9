"""
The configuration in force: conf.d and the templates, as they were read.

Both are read as one set, at the start and on SIGHUP, and stay as they were read until then: what
goes live is never made from half of an edit, and an edit with a fault changes nothing.
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

    load: reads conf.d; raises ConfigError when there is nothing in it that could be done.
    found: what it gave at the start, where faulty tables are left out and the others are used.
    renderer: its templates.
    at: when that was, in seconds since 1970.
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
        """Use what is declared now if all of it is right; else returns every fault of it."""
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
        """The templates that were edited since they were read, if there are more than before."""
        before, self.edited = self.edited, self.renderer.edited()
        return self.edited if set(self.edited) - set(before) else ()


def _faulty(faults: Iterable[PyconfdError], at: float, *, taken: bool) -> ConfigFaults | None:
    texts = tuple(dict.fromkeys(str(fault) for fault in faults))
    return ConfigFaults(texts, at, taken) if texts else None


def _uncompilable(renderer: Renderer, resources: Iterable[Resource]) -> Iterator[RenderError]:
    """The faults of templates that need no key to be found."""
    for resource in {(one.src, one.format): one for one in resources}.values():
        yield from renderer.faults(resource)
