"""
Stage: writes the new version of a destination beside it, if it differs from the live file. Shell.

Content, mode and owner are first compared with the live file; if all three match, nothing is
written. Extended attributes and the access control list are those of the live file. check.py finds
out whether the new version is valid.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TypeVar

from pyconfd.errors import StageError
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LiveFile, Rendered, Staged
from pyconfd.pipeline import exhausted
from pyconfd.system import files

DEFAULT_MODE = 0o644

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)

T = TypeVar("T")

_FILE = "dest must be the path of a file; --noop --diff shows what would be written"
_UNTOUCHED = "the live file is unchanged"


def compare(rendered: Rendered) -> tuple[LiveFile, tuple[str, ...]]:
    """
    The destination as it is, and how it differs from `rendered`: "missing", or any of "content",
    "mode", "owner"; empty when it does not. Nothing is written.

    Raises StageError when the destination cannot be read or is no regular file.
    """
    resource = rendered.resource
    try:
        live = files.live(resource.dest)
    except OSError as error:
        raise _stage_error(error, resource, reading=True) from error
    if live.digest is None:
        return live, ("missing",)
    differs = []
    if live.digest != rendered.digest:
        differs.append("content")
    if live.mode != _or(resource.mode, live.mode):
        differs.append("mode")
    if (live.uid, live.gid) != (_or(resource.uid, live.uid), _or(resource.gid, live.gid)):
        differs.append("owner")
    return live, tuple(differs)


def stage(rendered: Rendered, *, keep: bool = False, elsewhere: str = "") -> Staged | None:
    """
    The new version, complete beside the live file; None when the live file needs no change.

    keep: if it is refused, it stays for the operator as `.<base>.kept.pyconfd~`. elsewhere: folder
    for the new version of a file that is mounted by itself in a read-only folder; created if
    missing. Raises StageError; then nothing live has changed and no staged file is left.
    """
    live, differs = compare(rendered)
    if not differs:
        return None
    resource = rendered.resource
    mode = _or(_or(resource.mode, live.mode), DEFAULT_MODE)
    try:
        if resource.make_dirs:
            files.make_folders(os.path.dirname(live.path), 0o755)
        path = files.staged_name(live.path)
        try:
            uid, gid = _write(path, rendered, live, mode)
        except OSError as error:
            if error.errno not in _NOT_WRITABLE or not elsewhere:
                raise
            if not files.is_mount_point(live.path):
                raise
            files.make_folders(elsewhere, 0o700)
            path = files.staged_name(os.path.join(elsewhere, os.path.basename(live.path)))
            # Written in place later, where the live file keeps its attributes.
            uid, gid = _write(path, rendered, live, mode, keep_attributes=False)
    except OSError as error:
        raise _stage_error(error, resource) from error
    return Staged(rendered, path, live, mode, uid, gid, differs, keep)


def _write(
    path: str, rendered: Rendered, live: LiveFile, mode: int, *, keep_attributes: bool = True
) -> tuple[int, int]:
    """
    A configured owner must be set. One that is only inherited from the live file is set if
    permitted: a pyconfd that is not root can still replace root's file in a folder of its own, as
    rename allows.
    """
    resource = rendered.resource
    uid, gid = _or(resource.uid, live.uid), _or(resource.gid, live.gid)
    kept = files.attributes(live.path) if keep_attributes and live.digest is not None else None
    try:
        return files.write_new(path, rendered.content, mode=mode, uid=uid, gid=gid, attributes=kept)
    except PermissionError as error:
        if error.errno != errno.EPERM or (resource.uid, resource.gid) == (uid, gid):
            raise
    return files.write_new(
        path, rendered.content, mode=mode, uid=resource.uid, gid=resource.gid, attributes=kept
    )


def discard(staged: Staged) -> None:
    """
    Remove the staged file; one to be kept is moved to its name beside the destination.
    """
    if staged.keep:
        with contextlib.suppress(OSError):
            os.rename(staged.path, files.kept_name(staged.live.path))
    files.remove(staged.path)


def diff(rendered: Rendered, live: LiveFile) -> str:
    """
    What `stage` would change, as a unified diff that ends in a newline; "" for nothing.

    Mode changes are shown as git shows them. Content that is not UTF-8 text is not shown.
    Raises StageError when the live file can no longer be read.
    """
    dest = rendered.resource.dest
    try:
        old = files.read(live.path)[0] if live.digest is not None else b""
    except OSError as error:
        raise _stage_error(error, rendered.resource, reading=True) from error
    return _mode_diff(rendered.resource, live) + content_diff(
        old, rendered.content, "/dev/null" if live.digest is None else dest, dest
    )


def _mode_diff(resource: Resource, live: LiveFile) -> str:
    text = ""
    if live.mode is not None and resource.mode not in (None, live.mode):
        text += f"old mode {live.mode:04o}\nnew mode {resource.mode:04o}\n"
    old = (live.uid, live.gid)
    new = (_or(resource.uid, live.uid), _or(resource.gid, live.gid))
    if live.digest is not None and old != new:
        text += f"old owner {old[0]}:{old[1]}\nnew owner {new[0]}:{new[1]}\n"
    return text and f"{resource.dest}\n{text}"


def content_diff(old: bytes, new: bytes, old_name: str, new_name: str) -> str:
    """A unified diff of two contents, which ends in a newline; "" if they are equal."""
    if old == new and old_name == new_name:
        return ""
    try:
        old_text, new_text = old.decode(), new.decode()
        binary = b"\0" in old + new
    except UnicodeDecodeError:
        binary = True
    if binary:
        return f"Binary files {old_name} and {new_name} differ ({len(old)} -> {len(new)} bytes)\n"
    from difflib import unified_diff  # only `--noop --diff` needs it

    lines = unified_diff(
        _lines(old_text), _lines(new_text), fromfile=old_name, tofile=new_name, lineterm="\n"
    )
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    """Lines with their ends; only "\\n" ends one (str.splitlines knows a dozen others)."""
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _or(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value


def _stage_error(error: OSError, resource: Resource, *, reading: bool = False) -> StageError:
    """The error for an answer of the operating system, with this destination."""
    if isinstance(error, files.CannotKeep):
        what = f"its extended attribute {error.name} cannot be kept: {error.strerror}"
        hint = f"run as a user who may set it, or remove it: setfattr -x {error.name}"
        return StageError(what, where=resource.dest, kept=_UNTOUCHED, hint=hint)
    if isinstance(error, files.ForeignLink):
        what = f"the destination is {error.strerror}"
        hint = "name the file that it leads to in dest, or chmod go-w its folder"
        return StageError(what, where=resource.dest, kept=_UNTOUCHED, hint=hint)
    if error.errno in (errno.EINVAL, errno.ENXIO):
        what = f"the destination is {files.kind(resource.dest)}"
        return StageError(what, where=resource.dest, kept=_UNTOUCHED, hint=_FILE)
    folder = os.path.dirname(error.filename if isinstance(error.filename, str) else resource.dest)
    verb = "read" if reading else "write"
    what, hint = {
        errno.ENOENT: (
            f"the folder {folder} does not exist",
            "create it, or set make_dirs = true",
        ),
        errno.ENOTDIR: (f"a part of {folder} is not a folder", ""),
        errno.EISDIR: ("the destination is a folder", "dest must be the path of a file"),
        errno.ELOOP: ("the destination is a loop of symbolic links", ""),
        errno.EROFS: (f"the file system of {folder} is read-only", "mount it for writing"),
        errno.ENOSPC: (f"no space is left in {folder}", ""),
        errno.EDQUOT: (f"the disk quota for {folder} is used up", ""),
        errno.EFBIG: ("the new file is larger than the limit on file sizes", "see ulimit -f"),
        errno.ENAMETOOLONG: ("the file name is too long", ""),
        errno.EPERM: (
            f"no permission to set its owner or mode ({_wanted(resource)})",
            "run as root or leave uid, gid, owner and group out",
        ),
        errno.EACCES: (f"no permission to {verb} in {folder}", "run as a user who has it"),
    }.get(error.errno or 0, (f"cannot {verb} it: {error.strerror or error}", _limit(error)))
    return StageError(what, where=resource.dest, kept=_UNTOUCHED, hint=hint)


def _limit(error: OSError) -> str:
    limit = exhausted.by_number(error.errno)
    return limit.hint if limit else ""


def _wanted(resource: Resource) -> str:
    uid = "kept" if resource.uid is None else resource.uid
    gid = "kept" if resource.gid is None else resource.gid
    mode = "kept" if resource.mode is None else f"{resource.mode:04o}"
    return f"uid {uid}, gid {gid}, mode {mode}"
