"""
`pyconfd demo`: the main job for real, on a private etcd, a private nginx and small backends.

Everything runs below a temporary folder on random free ports of 127.0.0.1 and is ended by its own
process id, on success, failure, Ctrl-C and SIGTERM alike. The demo is a test: a step that does
not happen within its deadline, or a request that fails, is exit status 1.

Reading order: story (what happens), stage (where it happens), traffic (who asks), told (what is
printed), backend (who answers).
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence

USAGE = """\
usage: pyconfd demo [--keep]

Runs the main job on a private etcd, a private nginx and small backends, and prints it as a
timeline. Needs the programs etcd and nginx. Nothing that runs on this machine is touched.

  --keep   stay up afterwards and print the addresses; Ctrl-C ends it

Exit status: 0 everything happened in time; 1 something did not; 2 wrong usage.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the demo; returns the exit status."""
    if "--help" in argv or "-h" in argv:
        print(USAGE, end="")
        return 0
    unknown = [word for word in argv if word not in ("--keep", "-keep")]
    if unknown:
        print(
            f"pyconfd: error: demo has no option {unknown[0]}\n\n{USAGE}", end="", file=sys.stderr
        )
        return 2
    return _run(bool(argv), environ)


def _run(keep: bool, environ: Mapping[str, str]) -> int:
    from pyconfd.app.demo.stage import Missing, Stage
    from pyconfd.app.demo.story import NotInTime, tell
    from pyconfd.app.demo.told import Told

    told = Told(environ)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pyconfd-demo-") as folder,
            Stage(folder, environ) as stage,
        ):
            tell(stage, told)
            if keep:
                told.addresses(stage)
                signal.pause()
        told.cleaned()
    except Missing as error:
        print(f"pyconfd: error: {error}", file=sys.stderr)
        return 1
    except NotInTime as error:
        told.failed(str(error))
        return 1
    except KeyboardInterrupt:
        told.interrupted()
        return 0 if keep and told.ended else 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    """SIGTERM ends the demo on the same path as Ctrl-C, so everything is cleaned up once."""
    raise KeyboardInterrupt
