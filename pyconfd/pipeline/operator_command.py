"""An operator's command line, run with its paths in the environment. Shell."""

from __future__ import annotations

from dataclasses import replace

from pyconfd.model.command_line import environment, fill, reference
from pyconfd.model.steps import CommandReport
from pyconfd.system.proc import Runner


def run_on(run: Runner, text: str, *, src: str, dest: str, timeout_s: float) -> CommandReport:
    """
    Run the command line with `src` and `dest` for its placeholders. The report's command shows
    the paths in place. Raises ValueError for a text that `refusal` refuses.
    """
    env = environment(src=src, dest=dest)
    report = run(reference(text), timeout_s=timeout_s, env=env)
    return replace(report, command=fill(text, src=src, dest=dest))
