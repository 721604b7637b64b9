"""
Swap: puts checked files in the places of the live ones. Shell.

A single file takes one rename, which is atomic. A set is journalled; its old versions are kept as
hard links beside the live files until it is live, and put back on any failure. `Journal.recover`
completes or undoes what a kill leaves half-done. reload.py notifies the service.

A file that is itself a mount point (a single file that a container mounts) cannot be replaced by a
rename. It is written in place, and its staged file stays until that is done. For a set this is
found out before; for a single file the rename itself fails (EBUSY), so all others need no look-up.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Sequence

from pyconfd.errors import StateError, SwapReverted, SwapTorn
from pyconfd.model.resources import Resource
from pyconfd.model.steps import Checked, Staged, Swapped
from pyconfd.pipeline import stage
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.journal_entries import Intent, JournalEntry, Progress
from pyconfd.pipeline.recovery import carry_out, restore
from pyconfd.system import files

_ONE_KEPT = "the live file is unchanged"
_SET_KEPT = "all live files of the set are as before"


def swap(checked: Checked, *, journal: Journal | None, unsynced: set[str] | None = None) -> Swapped:
    """
    Make one checked file live. journal: None when no reload will follow (--sync-only). unsynced:
    collects the folder of the file, which the caller has to `sync`; None syncs it at once.

    Raises SwapReverted; then the live file is as before and the staged one is discarded. SwapTorn
    when it was written in place and the old content could not be written back.
    """
    staged = checked.staged
    resource = staged.rendered.resource
    beside = os.path.dirname(staged.path) == os.path.dirname(staged.live.path)
    entry = _entry(staged, in_place=False if beside else None)
    try:
        number = _put_live(staged, entry, journal)
    except _IsMounted:
        entry = _entry(staged, in_place=True)
        number = _put_live(staged, entry, journal)
    if unsynced is None:
        files.sync_folder(staged.live.path)
    else:
        unsynced.add(os.path.dirname(staged.live.path))
    if journal is not None and number is not None and resource.reload is None:
        with contextlib.suppress(StateError):  # then a recovery sees that it is whole
            journal.swapped(number)
    return Swapped(checked, entry.in_place)


class _IsMounted(Exception):
    """A rename found a mount point; the journal has no trace of it."""


def _put_live(staged: Staged, entry: JournalEntry, journal: Journal | None) -> int | None:
    """
    Returns the number of the intent, None for none. Raises _IsMounted, and the errors of `swap`.
    """
    resource = staged.rendered.resource
    number: int | None = None
    try:
        _still_leads_there(staged)
        if journal is not None and (resource.reload is not None or entry.in_place):
            number = _intend(journal, resource, [entry])
        carry_out(entry)
    except (OSError, StateError) as error:
        if entry.in_place:
            _raise_if_half_written(entry, error)
        undone = number is None or journal is None or _undo(journal, number)
        if undone and not entry.in_place and _found_a_mount(entry, error):
            raise _IsMounted from error
        if undone:
            stage.discard(staged)
        raise _reverted(error, resource.dest, _ONE_KEPT) from error
    return number


def _found_a_mount(entry: JournalEntry, error: OSError | StateError) -> bool:
    busy = isinstance(error, OSError) and error.errno == errno.EBUSY
    return busy and files.is_mount_point(entry.path)


def sync(unsynced: set[str]) -> None:
    """Sync the renames in these folders to disk; each folder once, however many files are new."""
    for folder in unsynced:
        files.sync_folder(os.path.join(folder, ""))
    unsynced.clear()


def _raise_if_half_written(entry: JournalEntry, error: OSError | StateError) -> None:
    with contextlib.suppress(OSError):
        if files.live(entry.path).digest == entry.was:
            return
    raise SwapTorn(
        f"it was being written in place, and neither version could be written whole: {error}",
        where=entry.dest,
        kept=f"the new version is {entry.staged}",
        hint="remove the cause and restart pyconfd, which writes it again",
    ) from error


def swap_all(
    permits: Sequence[Checked],
    *,
    journal: Journal,
    removals: Sequence[Resource] = (),
    keep_old: bool = False,
) -> tuple[Swapped, ...]:
    """
    Make a set of checked files of one service live, in the given order, all or none.

    removals: resources whose destinations are then removed, as part of the set; the check must have
    left them out. A link is removed, its target stays. keep_old: the old versions stay until the
    reload is settled, so that `revert` can put them back.
    A reader that opens files between two renames may see a mix, which no file system can prevent;
    nothing but renames happens in that time.
    Raises SwapReverted: all live files are as before, and the staged ones are discarded. Raises
    SwapTorn: some could not be put back; staged files, originals and the journal stay for the next
    start.
    """
    staged = [permit.staged for permit in permits]
    resources = [*(each.rendered.resource for each in staged), *removals]
    keep_old = keep_old and resources[0].reload is not None
    entries: list[JournalEntry] = []
    try:
        for each in staged:
            _still_leads_there(each)
            entries.append(_with_original(each))
        entries.extend(_removal(each) for each in removals)
        _sync_folders(entries)
        number = _intend(journal, resources[0], entries, keep=keep_old)
    except (OSError, StateError) as error:
        _clear(staged, entries)
        at = resources[min(len(entries), len(resources) - 1)]
        raise _reverted(error, at.dest, _SET_KEPT) from error
    _rename_all(staged, entries, journal, number)
    _sync_folders(entries)
    # Without this line a recovery still sees that no rename is missing: the set is whole. It needs
    # the originals for that.
    with contextlib.suppress(StateError):
        journal.swapped(number)
        if not keep_old:
            _clear((), entries)
    in_place = {entry.staged for entry in entries if entry.in_place}
    return tuple(Swapped(permit, permit.staged.path in in_place) for permit in permits)


def revert(service: str, *, journal: Journal) -> tuple[JournalEntry, ...]:
    """
    Put back the old versions of what this run, or one before it, swapped with `keep_old` and did
    not settle. The reload stays pending in the journal until the service has taken them.

    Returns what was put back, newest first; nothing when no old version was kept. Raises SwapTorn
    when a file cannot be put back, and StateError like the journal.
    """
    reverted: list[JournalEntry] = []
    stays: set[str] = set()
    for intent in reversed(journal.unsettled(service)):
        if intent.progress is Progress.REVERTED:
            continue
        if stays & intent.paths or not _can_be_restored(intent):
            stays |= intent.paths  # older versions of these would end between two others
            continue
        journal.reverting(intent.id)
        _put_back(intent.files, None)
        journal.reverted(intent.id)
        reverted.extend(reversed(intent.files))
    return tuple(reverted)


def _can_be_restored(intent: Intent) -> bool:
    if intent.progress is Progress.REVERTING:
        return True  # what is back already has no second name any more
    return intent.keep and all(
        entry.was is None or os.path.lexists(entry.original) for entry in intent.files
    )


def _rename_all(
    staged: Sequence[Staged], entries: Sequence[JournalEntry], journal: Journal, number: int
) -> None:
    for done, entry in enumerate(entries):
        try:
            carry_out(entry)
        except OSError as error:
            _put_back(entries[: done + entry.in_place], error)
            if _undo(journal, number):
                _clear(staged, entries)
            raise _reverted(error, entry.dest, _SET_KEPT) from error


def _put_back(entries: Sequence[JournalEntry], cause: OSError | None) -> None:
    """
    Put the old versions back. Raises SwapTorn, and leaves everything as it is, when one cannot be.
    """
    why = f"the swap failed because of: {cause.strerror or cause}; " if cause else ""
    for entry in reversed(entries):
        try:
            restore(entry)
        except OSError as error:
            raise SwapTorn(
                f"the set is half swapped and cannot be put back: {error.strerror or error}",
                where=entry.dest,
                kept=f"the old version is {entry.original}" if entry.original else "",
                hint=f"{why}put the file back by hand, or remove the cause and restart pyconfd",
            ) from error


def _intend(
    journal: Journal, resource: Resource, entries: Sequence[JournalEntry], *, keep: bool = False
) -> int:
    command = resource.reload
    if command is None:
        return journal.intend(resource.service_name, "", entries)
    return journal.intend(resource.service_name, command.text, entries, keep=keep)


def _undo(journal: Journal, number: int) -> bool:
    """
    Note that a swap did not happen. False when the journal cannot be written. The staged files must
    then stay: for a recovery they prove that the renames did not happen.
    """
    try:
        journal.undone(number)
    except StateError:
        return False
    return True


def _entry(staged: Staged, original: str = "", *, in_place: bool | None = None) -> JournalEntry:
    """in_place: whether to write it in place, if that is known."""
    if in_place is None:
        in_place = staged.live.digest is not None and files.is_mount_point(staged.live.path)
    return JournalEntry(
        dest=staged.rendered.resource.dest,
        path=staged.live.path,
        staged=staged.path,
        original=original,
        was=staged.live.digest,
        digest=staged.rendered.digest,
        in_place=in_place,
    )


def _with_original(staged: Staged) -> JournalEntry:
    """Keep the old version under a second name. Raises OSError."""
    if staged.live.digest is None:
        return _entry(staged)
    base = os.path.basename(staged.live.path)
    original = files.staged_name(os.path.join(os.path.dirname(staged.path), base))
    entry = _entry(staged, original)
    if entry.in_place:
        files.copy(staged.live.path, original)
    else:
        files.link_or_copy(staged.live.path, original)
    return entry


def _still_leads_there(staged: Staged) -> None:
    """
    Raises OSError (ESTALE) if the destination's links now lead elsewhere than the file was checked
    for.
    """
    if files.follow(staged.rendered.resource.dest) != staged.live.path:
        raise OSError(errno.ESTALE, "the destination leads elsewhere than when it was staged")


def _removal(resource: Resource) -> JournalEntry:
    """Raises OSError (ENOENT) for a destination that is already gone."""
    os.lstat(resource.dest)
    return JournalEntry(
        dest=resource.dest,
        path=resource.dest,
        staged="",
        original=files.staged_name(resource.dest),
        was="",
        digest="",
    )


def _sync_folders(entries: Iterable[JournalEntry]) -> None:
    sync({os.path.dirname(each.path) for each in entries})


def _clear(staged: Iterable[Staged], entries: Iterable[JournalEntry]) -> None:
    for each in staged:
        stage.discard(each)
    for entry in entries:
        if entry.original:
            files.remove(entry.original)


def _reverted(error: OSError | StateError, dest: str, kept: str) -> SwapReverted:
    if isinstance(error, StateError):
        return SwapReverted(f"not swapped: {error.what}", where=dest, kept=kept, hint=error.hint)
    what, hint = _MEANINGS.get(
        error.errno or 0, (f"cannot put the new file in place: {error.strerror or error}", "")
    )
    return SwapReverted(what, where=dest, kept=kept, hint=hint)


_MOUNTED = (
    "the destination is a mount point of its own and cannot be removed or renamed",
    "mount its folder instead of the single file",
)
_LOCKED = ("no permission to replace the file", "see its folder's rights and lsattr")
_MEANINGS = {
    errno.EBUSY: _MOUNTED,
    errno.EXDEV: _MOUNTED,
    errno.EPERM: _LOCKED,
    errno.EACCES: _LOCKED,
    errno.EISDIR: ("the destination has become a folder", ""),
    errno.EROFS: ("the file, or its file system, is read-only", "mount it for writing"),
    errno.ENOSPC: ("no space is left for the new version", ""),
    errno.EDQUOT: ("the disk quota is used up", ""),
    errno.ENOENT: ("the staged file or the folder has vanished", "it is staged again"),
    errno.ESTALE: ("the destination leads elsewhere than when it was staged", "it is staged again"),
}
