"""
Every error that pyconfd raises, and what each means for the running services. Pure.

    PyconfdError
      ConfigError            what the operator wrote: file, line, key, hint
        SettingsError        options, environment, config file
        ResourceError        conf.d
        RecipeError          a recipe, or the folder it is to be written to
      SourceError            a store could not be read
        SourceUnavailable    no answer: retry
          StoreFull          it takes no writes until space is freed
        SourceRefused        credentials, permission, TLS: retry slowly, report it
        RevisionCompacted    the history is gone: list again
        ResponseTooLarge     too large for one message: ask for less at a time
      RenderError            resource, template, line
        MissingKey           the template asked for a key that does not exist
        TemplateFault        syntax, undefined name, bad value, failing function
      RenderFailed           a test of a template: it did not render
      HeldBack               a guard finds the change too suspicious to act on
      LeftOut                another member of its group failed
      StageError             path and reason; nothing live has changed
      CheckBroken            the checker gave no verdict: missing, timed out
      SwapError
        SwapReverted         the originals are back
        SwapTorn             they are not: needs a person
      ReloadError            the reload could not be run at all
      RegistrationError
        LeaseLost            the lease ended too early
        KeyTaken             another member has the same key
      StateError             lock held, journal unreadable

An error says *what* happened, *where*, what was *kept*, and what to do *next*. The last two are
optional, because most steps keep everything and the reader can see what to fix.
"""

from __future__ import annotations

from enum import Enum, auto


class PyconfdError(Exception):
    """
    Base of the tree.

    what: one sentence without a final full stop.
    where: `file:line`, a path, a key or an address; empty when there is no place.
    kept: what still runs unchanged; empty when nothing could have changed.
    hint: what to do next; empty if `what` makes it clear.
    """

    def __init__(self, what: str, *, where: str = "", kept: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.kept = kept
        self.hint = hint
        super().__init__(what)

    @property
    def place(self) -> tuple[str, int]:
        """The file and line that `where` names; "" and 0 where it is something else."""
        file, _, rest = self.where.partition(":")
        if file.startswith("-") or not ("/" in file or file.endswith(".toml")):
            return "", 0
        number = rest.partition(":")[0]
        return file, int(number) if number.isdecimal() else 0

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.kept:
            text += f"; {self.kept}"
        if self.hint:
            text += f" ({self.hint})"
        return text


def forget_frames(error: BaseException) -> None:
    """
    For an error that is kept: drop the frames of it and its causes, which would keep everything
    that was known there, such as every key of the store.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__


class ConfigError(PyconfdError):
    """
    Something the operator wrote is wrong. `faults` holds every fault found, not only the first:
    each is a ConfigError of its own with `where` as `file:line`. Nothing was done.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        kept: str = "",
        hint: str = "",
        faults: tuple[ConfigError, ...] = (),
    ) -> None:
        super().__init__(what, where=where, kept=kept, hint=hint)
        self.faults = faults or (self,)


class SettingsError(ConfigError):
    """An option, an environment variable or the config file."""


class ResourceError(ConfigError):
    """A file below conf.d."""


class RecipeError(ConfigError):
    """A recipe, or the folder that one is to be written to."""


class SourceCause(Enum):
    """The causes that decisions depend on; the text is in `what`."""

    OTHER = auto()
    #: This user may not read or write the key.
    NO_PERMISSION = auto()
    #: Another program listens at that address.
    NOT_ETCD = auto()
    #: A certificate or key cannot be read or used.
    TLS_FILES = auto()
    NO_ANSWER = auto()
    CONNECTION_REFUSED = auto()
    UNKNOWN_HOST = auto()
    #: It holds more than `listing_limit`.
    TOO_MUCH = auto()


class SourceError(PyconfdError):
    """A store could not be read or watched. The last snapshot stays valid."""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        kept: str = "",
        hint: str = "",
        cause: SourceCause = SourceCause.OTHER,
    ) -> None:
        super().__init__(what, where=where, kept=kept, hint=hint)
        self.cause = cause


class SourceUnavailable(SourceError):
    """No answer. Retry."""


class StoreFull(SourceUnavailable):
    """The store is full and accepts no writes. Single reads go on."""


class SourceRefused(SourceError):
    """The store refused: credentials, permission, TLS, version. Retry slowly and report it."""


class RevisionCompacted(SourceError):
    """
    The history before `revision` is gone: list again and replace the contents. future: the store
    has not reached that revision.
    """

    def __init__(
        self, what: str, *, revision: int, where: str = "", future: bool = False, hint: str = ""
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.revision = revision
        self.future = future


class ResponseTooLarge(SourceError):
    """The answer is larger than one message may be. Ask for less at a time."""


class RenderError(PyconfdError):
    """
    A template did not render; its destination was not touched.

    resource: name; template: path below the templates folder; line: 1-based, 0 if unknown.
    read_keys, read_trees: what it had read until then, as in model.reads; None if it never started.
    Only a change of one of these, or of the template, can make it succeed.
    keys: those that the error concerns or comes from, as far as known.
    """

    keys: tuple[str, ...] = ()
    read_keys: frozenset[str] | None = None
    read_trees: frozenset[str] = frozenset()

    def __init__(
        self, what: str, *, resource: str, template: str, line: int = 0, hint: str = ""
    ) -> None:
        where = f"{template}:{line}" if line else template
        super().__init__(what, where=where, kept="the live file is unchanged", hint=hint)
        self.resource = resource
        self.template = template
        self.line = line

    def within(self, folder: str) -> None:
        """Name the template by its whole path, so that the printed path can be opened."""
        if not self.where.startswith("/"):
            self.where = f"{folder.rstrip('/')}/{self.where}"

    def __str__(self) -> str:
        text = f"{self.where}: {self.what} (resource {self.resource}); {self.kept}"
        return f"{text} ({self.hint})" if self.hint else text


class MissingKey(RenderError):
    """The template asked for `key`, which the store does not have."""

    def __init__(
        self, *, key: str, resource: str, template: str, line: int = 0, hint: str = ""
    ) -> None:
        super().__init__(
            f"key does not exist: {key}",
            resource=resource,
            template=template,
            line=line,
            hint=hint or "put the key, or give getv a default",
        )
        self.key = key
        self.keys = (key,)


class TemplateFault(RenderError):
    """Syntax, an undefined name, a value that cannot be text, or a function that failed."""


class RenderFailed(PyconfdError):
    """
    The exception of `pyconfd.render`: a template of a test does not render, or does not exist.

    file, line: of the template, or of the TOML file that is wrong; "" and 0 for no place.
    keys: those that it is about or comes from, as far as they are known.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str = "",
        line: int = 0,
        keys: tuple[str, ...] = (),
        hint: str = "",
    ) -> None:
        super().__init__(what, where=f"{file}:{line}" if line else file, hint=hint)
        self.file = file
        self.line = line
        self.keys = keys


class HeldBack(PyconfdError):
    """
    A guard holds a change of the keys back. The last good files stay. The hold ends when the keys
    return, when an operator releases the change, or after the guard's timeout.

    until_s: when the timeout is over, monotonic; None without a timeout.
    """

    #: Which guard objects: its key in a resource file.
    guard: str = ""
    until_s: float | None = None


class LeftOut(PyconfdError):
    """A group is swapped as a whole or not at all, and another of its members cannot be swapped."""


class StageError(PyconfdError):
    """A staged file could not be written. Nothing live has changed and no stray file is left."""


class CheckBroken(PyconfdError):
    """
    The checker gave no verdict: it is missing, hung or crashed. Treated as a refusal.

    about: the destination that it concerns, if known. hopeless: no set of files would get another
    verdict, because there is no checker, or the live files are already refused.
    """

    about: str = ""
    hopeless: bool = False


class LiveRefused(CheckBroken):
    """
    The live files are already refused, whatever is new.

    reason: in the checker's words. blamed: the live files that it concerns, if they can be found;
    real paths.
    """

    reason: str = ""
    blamed: tuple[str, ...] = ()
    hopeless = True


class SwapError(PyconfdError):
    """The staged files could not all be put in place."""


class SwapReverted(SwapError):
    """The originals are back in place."""


class SwapTorn(SwapError):
    """Some files are new and some old, and the originals could not be put back."""


class ReloadError(PyconfdError):
    """
    The reload command could not be run at all (a non-zero exit is a value, not an error).

    absent: the service provably does not run, so it will read its files when it starts.
    """

    absent: bool = False


class RegistrationError(PyconfdError):
    """A backend could not be published."""


class LeaseLost(RegistrationError):
    """The lease ended; its keys are gone. Grant a new one and put the keys again."""


class KeyTaken(RegistrationError):
    """The key exists and belongs to another registration."""


class StateError(PyconfdError):
    """The state folder: lock held by another process, journal unreadable."""


class RenderTimeout(BaseException):
    """
    Raised in the rendering thread. Not an Exception, so that template code does not catch it.

    stopped: it was ended because pyconfd stops.
    """

    stopped = False


class RenderStopped(RenderTimeout):
    """Ended because pyconfd stops."""

    stopped = True
