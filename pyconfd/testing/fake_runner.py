"""A runner of commands that runs none: it gives prepared answers and records the calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pyconfd.model.steps import CommandReport, Ending

#: What a fake answers: an exit status, or a whole report made from the command's text.
Answer = int | Callable[[str], CommandReport]


class FakeRunner:
    """
    Answers each command with the first answer whose key is part of its text, else with `default`.

    commands: the texts that were asked for, in order; timeouts_s: their deadlines.
    """

    def __init__(self, answers: dict[str, Answer] | None = None, *, default: Answer = 0) -> None:
        self.answers = dict(answers or {})
        self.default = default
        self.commands: list[str] = []
        self.timeouts_s: list[float] = []

    def __call__(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
    ) -> CommandReport:
        """As the Runner protocol has it. References to `env` are replaced as a shell would."""
        text = command if isinstance(command, str) else " ".join(command)
        for name, value in (env or {}).items():
            text = text.replace(f'"${{{name}}}"', value).replace(f"${{{name}}}", value)
        self.commands.append(text)
        self.timeouts_s.append(timeout_s)
        found = [answer for part, answer in self.answers.items() if part in text]
        answer = found[0] if found else self.default
        if callable(answer):
            return answer(text)
        return CommandReport(text, answer, 0.0)


def problem(what: str, ending: Ending = Ending.TIMED_OUT) -> Callable[[str], CommandReport]:
    """An answer for a command that did not exit by itself, such as "timed out after 30 s"."""
    return lambda text: CommandReport(text, None, 0.0, ending=ending, problem=what)


def said(output: str, exit_status: int = 1) -> Callable[[str], CommandReport]:
    """An answer with words."""
    return lambda text: CommandReport(text, exit_status, 0.0, output)
