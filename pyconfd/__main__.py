"""Starts the command line and exits quickly: `python -m pyconfd` and the installed `pyconfd`."""

from __future__ import annotations

import gc
import os
import sys

#: New objects between two runs of the garbage collector, some MiB at most.
_COLLECT_AFTER = 50_000


def main() -> None:
    """
    Run the command line and end the process with its exit status.

    The process ends by `os._exit`: tearing down the interpreter with grpc loaded costs 50 ms of
    every one-shot run, and does nothing that the kernel does not do too. The commands finish what
    must be finished (locks, journals, children, threads) before they return.
    """
    # With the default, 700, the modules are searched for garbage again and again while they are
    # imported, and one change in a hundred takes twice as long: a render of ten thousand keys
    # makes as many objects and no cycles.
    gc.set_threshold(_COLLECT_AFTER)
    _open_streams()
    try:
        status = _run()
    except KeyboardInterrupt:  # while it was being imported; later ones are told by the commands
        sys.stderr.write("pyconfd: error: interrupted\n")
        status = 130
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the reader has gone, or it was closed at start
            status = status or 1
    os._exit(status)


def _run() -> int:
    from pyconfd.cli.main import main as command_line

    if sys.argv[1:2] != ["probe"]:  # it asks no etcd, and is started every second
        from pyconfd.backends.etcd.protobuf import own_this_process

        own_this_process()
    return command_line()


def _open_streams() -> None:
    """
    Open closed standard streams on /dev/null: Python has None for them, and otherwise the first
    file opened (a lock, a live configuration) would get their number and pyconfd's messages.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))


if __name__ == "__main__":
    main()
