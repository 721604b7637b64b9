"""
`pyconfd demo`: shows pyconfd at work on a private etcd, a private nginx and small backends.

Everything runs below a temporary folder on random free ports of 127.0.0.1 and is ended by its own
process id, on success, failure, Ctrl-C and SIGTERM alike. The demo is a test: a step that does
not happen within its deadline, or a request that fails, is exit status 1.

Reading order: scenario (what happens), sandbox (where it happens), load (sends requests), timeline
(what is printed), backend (answers requests).
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.main import DONE
from pyconfd.config.layers import raise_faults
from pyconfd.config.options import Option, from_environment, layered

DEMO_OPTIONS = (
    Option("keep", "flag", False, "stay up afterwards and print the addresses; Ctrl-C ends it",
           "Demo", in_file=False),
)  # fmt: skip
USAGE = """\
usage: pyconfd demo [--keep]

Runs the main job on a private etcd, a private nginx and small backends, and prints it as a
timeline. Needs the programs etcd and nginx. Nothing that runs on this machine is touched.

Exit status: 0 everything happened in time; 1 something did not; 2 wrong usage; 130 and 143
interrupted by Ctrl-C and SIGTERM.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the demo; returns the exit status."""
    arguments = read_command(argv, USAGE, DEMO_OPTIONS)
    if arguments is None:
        return DONE
    expect_words(arguments, 0)
    # the config file of this machine is none of the demo's business
    variables = from_environment(DEMO_OPTIONS, environ, arguments.faults)
    raise_faults(arguments.faults)
    return _run(bool(layered(DEMO_OPTIONS, arguments.given, variables)["keep"].value), environ)


def _run(keep: bool, environ: Mapping[str, str]) -> int:
    from pyconfd.cli.demo.sandbox import Missing, Sandbox
    from pyconfd.cli.demo.scenario import Interrupted, NotInTime, play
    from pyconfd.cli.demo.timeline import Timeline

    timeline = Timeline(environ)
    # Only noted: an exception out of a handler could come between a start and its record.
    asked: list[int] = []
    before = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in _STOP}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pyconfd-demo-") as folder,
            Sandbox(folder, environ, lambda: bool(asked)) as sandbox,
        ):
            play(sandbox, timeline)
            if keep:
                timeline.addresses(sandbox)
                while not asked:
                    time.sleep(0.05)
        timeline.cleaned()
    except Missing as error:
        print(f"pyconfd: error: {error}", file=sys.stderr)
        return 1
    except NotInTime as error:
        timeline.failed(str(error))
        return 1
    except Interrupted:
        timeline.interrupted()
        return 128 + asked[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


_STOP = (signal.SIGINT, signal.SIGTERM)
