"""
Which pyconfd is measured: the one beside PYCONFD_BENCH_PYTHON, which `make bench` installs from the
wheel into an environment of its own; without that, the one of the environment that runs the bench.
"""

from __future__ import annotations

import os
import sys

PYTHON = os.environ.get("PYCONFD_BENCH_PYTHON") or sys.executable
PROGRAM = os.path.join(os.path.dirname(PYTHON), "pyconfd")
