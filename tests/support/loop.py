"""The daemon's loop on a thread, with a fake source and a runner that only remembers."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyconfd.apply.context import PassContext
from pyconfd.apply.drift import Drift
from pyconfd.apply.guard_state import GuardState
from pyconfd.apply.made_files import MadeFiles
from pyconfd.apply.orphaned_debts import OrphanedDebts
from pyconfd.apply.quarantine import Quarantine
from pyconfd.backends.base import Put, Watch
from pyconfd.daemon.configuration import ActiveConfig
from pyconfd.daemon.control_socket import ControlRequest
from pyconfd.daemon.lanes import Lanes
from pyconfd.daemon.loop import Loop, LoopDependencies, LoopTimes, Message
from pyconfd.daemon.version_log import VersionLog
from pyconfd.errors import ConfigError
from pyconfd.model.resources import Command, Origin, Resource, ResourceSet
from pyconfd.model.steps import CommandReport, Rendered
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile.service import Job
from pyconfd.system.proc import Commands
from pyconfd.system.sdnotify import Notifier
from pyconfd.testing.fake_runner import FakeRunner
from pyconfd.testing.fake_source import FakeSource
from tests.support.steps import with_service
from tests.support.waiting import PATIENCE_S, wait_until

LIST_ALL = "{% for key, value in gets(folder) %}\n{{ key }}={{ value }}\n{% endfor %}\n"


class Hand:
    """A follower whose messages the test puts by hand; `puts` are those of all watches so far."""

    def __init__(self) -> None:
        self.puts: list[Put] = []
        self.prefixes: list[tuple[str, ...]] = []

    def follow(self, prefixes: Sequence[str], put: Put) -> Watch:
        """As the source's own `watch`."""
        self.prefixes.append(tuple(prefixes))
        self.puts.append(put)
        return self

    def stop(self) -> None:
        """A watch that still talks after it was stopped is what the tests want."""


class NotedLanes(Lanes):
    """The lanes, and how many jobs they were given."""

    jobs = 0

    def submit(self, tools: PassContext, job: Job, *rest: Any) -> None:
        self.jobs += 1
        super().submit(tools, job, *rest)


class NotedRenderer(Renderer):
    """A renderer, and the names of the resources that it was given."""

    rendered: list[str]

    def render(self, resource: Resource, snapshot: Snapshot) -> Rendered:
        self.rendered.append(resource.name)
        return super().render(resource, snapshot)

    def afresh(self) -> Renderer:
        made = NotedRenderer(self._templates_dir, self._environ)
        made.rendered = self.rendered
        return made


class World:
    """A folder with templates, a fake source, a fake runner, and the loop on a thread."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.state = folder / "state"
        self.templates = folder / "templates"
        for path in (self.out, self.state, self.templates):
            path.mkdir()
        self.source = FakeSource({"/app/a": "1"})
        self.runner = FakeRunner()
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.journal = Journal(str(self.state))
        self.lanes = NotedLanes(self.inbox.put)
        self.resources: tuple[Resource, ...] = ()
        self.fault: ConfigError | None = None
        self.left_out: tuple[ConfigError, ...] = ()
        self.loop: Loop
        self.rendered: list[str] = []

    def resource(self, name: str = "app", keys: str = "/app", **fields: Any) -> Resource:
        """One that lists what is directly below `keys`, reloaded by `reload NAME`."""
        self.template(name, LIST_ALL.replace("folder", f"'{keys}/*'"))
        made = Resource(
            name=name,
            origin=Origin(f"{name}.toml"),
            src=f"{name}.j2",
            dest=str(self.out / name),
            keys=(keys,),
            **with_service({"reload": Command(f"reload {name}", 5.0), **fields}),  # type: ignore[arg-type]
        )
        self.resources = (*(one for one in self.resources if one.name != name), made)
        return made

    def template(self, name: str, text: str) -> None:
        (self.templates / f"{name}.j2").write_text(text)

    def live(self, name: str = "app") -> str | None:
        try:
            return (self.out / name).read_text()
        except FileNotFoundError:
            return None

    @property
    def reloads(self) -> list[str]:
        return list(self.runner.commands)

    @contextlib.contextmanager
    def running(
        self,
        *,
        follow: Any = None,
        pending: Sequence[str] = (),
        listing_limit: int = 0,
        **pace: float,
    ) -> Iterator[None]:
        """The loop, stopped by a SIGTERM on its inbox at the end."""
        self.journal.recover()
        renderer = NotedRenderer(str(self.templates), {})
        renderer.rendered = self.rendered
        tools = PassContext(
            renderer=renderer,
            journal=self.journal,
            run=self.runner,
            drift=Drift(),
            guards=GuardState(str(self.state / "keys.json")),
            made_files=MadeFiles(str(self.state / "made.json")),
            quarantine=Quarantine(str(self.state / "quarantine.json")),
            work_dir=str(self.state / "check"),
            stopping=lambda: self.loop.stopping,
        )
        deps = LoopDependencies(
            source=self.source,
            follow=follow or self.source.watch,
            active_config=ActiveConfig(self._load, self._load(), tools.renderer, 0.0),
            tools=tools,
            lanes=self.lanes,
            inbox=self.inbox,
            commands=Commands(),
            notify=Notifier({}),
            pace=LoopTimes(**{"resync_s": 0.0, **pace}),
            pending=frozenset(pending),
            orphaned_debts=OrphanedDebts(self.journal),
            versions=VersionLog(str(self.state)),
            listing_limit=listing_limit,
        )
        self.loop = Loop(deps)
        thread = threading.Thread(target=self.loop.run, name="loop under test")
        thread.start()
        try:
            yield
        finally:
            self.inbox.put(signal.SIGTERM)
            thread.join(10.0)
            self.journal.close()
        assert not thread.is_alive(), "the loop does not end"

    def _load(self) -> ResourceSet:
        if self.fault:
            raise self.fault
        return ResourceSet(self.resources, self.left_out)

    def status(self) -> Mapping[str, Any]:
        """The loop's own answer; everything that was on the inbox before it has been taken."""
        return self.ask("status")

    def ask(self, do: str, name: str = "") -> Mapping[str, Any]:
        """The loop's answer to a question."""
        said: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self.inbox.put(ControlRequest({"do": do, "name": name}, said.put))
        return said.get(timeout=PATIENCE_S)

    def settle(self) -> Mapping[str, Any]:
        """Until all that was said has been dealt with; what is put off for later stays put off."""
        self.status()  # a SIGHUP has been taken, so that its watch exists
        self.source.settle()
        self.status()  # taken in; the jobs that follow are handed out before the next message

        def quiet() -> bool:
            said = self.status()
            listed = said["source"]["listed"]
            return not any(
                one["running"]
                or (one["waiting"] and listed)
                or (one["pending_reload"] and not one["pending_reload"]["next_try_s"])
                for one in said["services"]
            )

        wait_until(quiet)
        return self.status()

    def until(self, true: Callable[[Mapping[str, Any]], object]) -> None:
        """Wait for a status like that."""
        wait_until(lambda: true(self.status()))

    def hup(self) -> None:
        self.inbox.put(signal.SIGHUP)


class Gate:
    """An answer of a command that waits until the test lets it go."""

    def __init__(self, exit_status: int = 0) -> None:
        self.exit_status = exit_status
        self.begun = threading.Event()
        self.go = threading.Event()
        self.waiting = 0

    def __call__(self, text: str) -> CommandReport:
        self.waiting += 1
        self.begun.set()
        assert self.go.wait(PATIENCE_S)
        self.waiting -= 1
        return CommandReport(text, self.exit_status, 0.0)
