"""Values and child processes for the tests of the file steps."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pyconfd.model.reads import Reads
from pyconfd.model.resources import Command, Origin, Resource, Service
from pyconfd.model.steps import Rendered
from pyconfd.system.files import SUFFIX, digest
from tests.support.waiting import PATIENCE_S

RELOAD = Command("service x reload", 5.0)
_OF_SERVICE = ("reload", "confirm", "on_reload_failure", "min_reload_interval_s")


def a_resource(dest: Path | str, **fields: object) -> Resource:
    """A resource for `dest` that is reloaded by RELOAD; any field can be given."""
    given = with_service({"reload": RELOAD, **fields})
    return Resource(name="x", origin=Origin("x.toml"), src="x.j2", dest=str(dest), **given)  # type: ignore[arg-type]


def with_service(fields: Mapping[str, object]) -> dict[str, object]:
    """Fields of a resource, where those of its service are put into one."""
    own = {key: fields[key] for key in _OF_SERVICE if key in fields}
    rest = {key: value for key, value in fields.items() if key not in own}
    return {"service": Service(**own), **rest}  # type: ignore[arg-type]


def rendered(dest: Path | str, content: bytes, **fields: object) -> Rendered:
    """What a render of `dest` would have made."""
    return Rendered(a_resource(dest, **fields), content, digest(content), Reads(), 1)


def strays_in(folder: Path) -> list[str]:
    """Names of staged files, links to old versions and kept files."""
    return sorted(each.name for each in folder.rglob("*") if each.name.endswith(SUFFIX))


def in_child(work: Callable[[], object], *, timeout_s: float = PATIENCE_S) -> int:
    """
    Run `work` in a forked child. Returns 0, 1 for an exception (its traceback is printed), or
    minus the signal that ended it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; the child here uses none of what they hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        # A channel that an earlier test has left in the garbage waits for ever for grpc's threads,
        # which are not in the child: what was there before the fork is never collected here.
        gc.freeze()
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the top of the child
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return _status(pid, timeout_s)


def _status(pid: int, timeout_s: float) -> int:
    deadline = time.monotonic() + timeout_s
    fd = os.pidfd_open(pid)
    try:
        import select

        if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def private_mounts() -> None:
    """
    Give this process (a child of the test) a mount table of its own. Raises OSError when that is
    not allowed; root in most containers lacks CAP_SYS_ADMIN.
    """
    new_mount_namespace, recursive_private = 0x20000, 0x4000 | 0x40000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(new_mount_namespace):
        raise OSError(ctypes.get_errno(), "unshare")
    if libc.mount(b"none", b"/", None, recursive_private, None):
        raise OSError(ctypes.get_errno(), "mount")


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    args = (source.encode(), str(target).encode(), kind.encode(), flags, options.encode())
    if libc.mount(*args):
        raise OSError(ctypes.get_errno(), f"mount {target}")


def may_mount() -> bool:
    """Whether a child of this test can have mounts of its own."""
    return in_child(_quietly_private) == 0


def _quietly_private() -> None:
    try:
        private_mounts()
    except OSError:
        os._exit(1)


def among_mounts(work: Callable[[], object], *, timeout_s: float = PATIENCE_S) -> None:
    """Run it in a child with mounts of its own, or skip the test where that is not allowed."""
    if not may_mount():
        import pytest  # a third of what a process holds that only forks

        pytest.skip("mounts of one's own need CAP_SYS_ADMIN")

    def in_private() -> None:
        private_mounts()
        work()

    assert in_child(in_private, timeout_s=timeout_s) == 0


@contextlib.contextmanager
def before_call(name: str, nth: int, action: Callable[[], object]) -> Iterator[None]:
    """
    Do something right before the n-th call (from 1) of an `os` function: what another process
    could have done at that moment.
    """
    seen = 0

    def profile(_frame: object, event: str, function: object) -> None:
        nonlocal seen
        if event == "c_call" and getattr(function, "__name__", "") == name:
            seen += 1
            if seen == nth:
                action()

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
