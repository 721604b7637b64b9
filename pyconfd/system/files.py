"""
Files: reads what is at a path, and puts new content there completely or not at all. Shell.

Nothing here decides whether a file should be written; journals and groups are elsewhere.

A staged file is in the folder of its destination, because a rename is atomic only within a file
system. Its name is `.<base>.<owner>.pyconfd~`: the leading dot hides it from the globs of include
statements, and the tilde from patterns with a suffix such as `*.conf`. `<owner>` names the process
that made it, so files left by a killed run can be distinguished from those of a running one.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from pyconfd.model.steps import LiveFile
from pyconfd.model.values import dataclass

SUFFIX = ".pyconfd~"
#: Longest part of the base name that a staged name repeats; names end at 255 bytes on Linux.
_BASE_BYTES = 160
#: As the kernel: more links than this in a row are a loop.
_MOST_LINKS = 40
#: A staged file made in another pid namespace (a container that shares the folder) is a stray
#: only after this long: whether its maker lives cannot be seen from here.
_FOREIGN_AGE_S = 3600.0

#: The access control list (acl(5)); without it, the group bits of the mode are its mask, and would
#: give the owning group what was meant for others.
_ACL = "system.posix_acl_access"
#: Extended attributes that are true of one content only.
_OF_CONTENT = ("security.ima", "security.evm", "security.capability")

_WRITABLE = "other users may write to it"
#: Of a file whose owner is not known in this user namespace (user_namespaces(7)).
_OVERFLOW_UID = 65534

_counter = itertools.count()
_owner_of: dict[int, str] = {}


class ForeignLink(PermissionError):
    """A link that others may have made or moved; it is not followed."""


def follow(dest: str) -> str:
    """
    The path at the end of the chain of symlinks at `dest`, whether or not it exists.

    Links among the folders of the path stay: a rename concerns only the last name.
    Raises OSError: ELOOP for links that lead nowhere but in circles, EINVAL for an open file of a
    process (`/dev/stdout`), whose link is no path, ForeignLink for a link in a folder in which
    others may write: it may be theirs, and lead wherever they like.
    """
    path = dest
    for _ in range(_MOST_LINKS):
        try:
            link = os.readlink(path)
        except OSError:  # not a link, or nothing there
            return path
        if os.path.realpath(os.path.dirname(path)).startswith("/proc/"):
            raise OSError(errno.EINVAL, "not a regular file", path)
        _refuse_link(path)
        path = os.path.join(os.path.dirname(path), link)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), dest)


def _refuse_link(path: str) -> None:
    folder, link = os.stat(os.path.dirname(path) or "."), os.lstat(path)
    open_to_all = folder.st_mode & (stat.S_IWOTH | stat.S_ISVTX)
    if open_to_all or (folder.st_mode & stat.S_IWGRP and link.st_uid not in _trusted()):
        raise ForeignLink(errno.EPERM, "a link in a folder that others may write in", path)
    if folder.st_uid not in _trusted():
        raise ForeignLink(errno.EPERM, f"a link in a folder of user {folder.st_uid}", path)


def _trusted() -> tuple[int, int]:
    """The trusted users: root and the user of this process."""
    return 0, os.geteuid()


@dataclass(frozen=True, slots=True)
class Exposure:
    """path: the file or folder that others can change, or read; why: in words."""

    path: str
    why: str


def exposed(path: str, *, secret: bool = False) -> Exposure | None:
    """
    How others could change the file or folder, or read it if it is a secret; None if they cannot. A
    folder above it counts too, if they could replace it there.
    """
    return _exposed_itself(path, secret=secret) or next(_exposed_above(path), None)


def _exposed_itself(path: str, *, secret: bool = False) -> Exposure | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    if facts.st_uid not in _trusted():
        return Exposure(path, f"user {facts.st_uid} owns it")
    if facts.st_mode & 0o022:
        is_folder = stat.S_ISDIR(facts.st_mode)
        return Exposure(path, "other users may write in it" if is_folder else _WRITABLE)
    if secret and facts.st_mode & stat.S_IROTH:
        return Exposure(path, "other users may read it")
    return None


def _exposed_above(path: str) -> Iterator[Exposure]:
    """
    Exposure by the folders above it, including those that links lead through. With the sticky bit,
    only the owner of the folder can rename other users' files there.
    """
    for folder in dict.fromkeys((*_above(os.path.abspath(path)), *_above(os.path.realpath(path)))):
        try:
            facts = os.stat(folder)
        except OSError:
            continue
        if facts.st_uid not in _trusted() and not _is_unmapped(facts.st_uid):
            yield Exposure(folder, f"user {facts.st_uid} owns this folder above {path}")
        elif not facts.st_mode & stat.S_ISVTX and facts.st_mode & _writers(facts.st_gid):
            yield Exposure(folder, f"other users may write in this folder above {path}")


def _above(path: str) -> Iterator[str]:
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder


def _writers(group: int) -> int:
    """
    The mode bits that let others write in a folder of this group. The group of a single user counts
    as
    that user: on such systems home folders are writable by it.
    """
    return stat.S_IWOTH if os.geteuid() and group == os.getegid() else 0o022


def _is_unmapped(uid: int) -> bool:
    """Whether the number stands for all users that are not mapped into this user namespace."""
    if uid != _OVERFLOW_UID:
        return False
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def read(path: str) -> tuple[bytes, os.stat_result]:
    """
    Content and facts of the regular file at `path`, which must not be a symlink.

    Raises OSError: FileNotFoundError, IsADirectoryError, EINVAL for a device, socket or FIFO,
    ELOOP for a symlink.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW  # a FIFO must not block us
    fd = os.open(path, flags)
    try:
        facts = os.fstat(fd)
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return _read_all(fd, facts.st_size), facts
    finally:
        os.close(fd)


def _read_all(fd: int, size: int) -> bytes:
    parts = []
    while part := os.read(fd, max(size + 1, 65536)):
        parts.append(part)
        if len(part) == size:
            break  # all that fstat promised: spare the read that only says "end"
    return b"".join(parts)


def live(dest: str) -> LiveFile:
    """
    The file at `dest` now, links followed. Raises OSError like `read`, except when it is absent.
    """
    path = follow(dest)
    try:
        content, facts = read(path)
    except FileNotFoundError:
        return LiveFile(path)
    return LiveFile(
        path,
        digest=digest(content),
        mode=stat.S_IMODE(facts.st_mode),
        uid=facts.st_uid,
        gid=facts.st_gid,
    )


def digest(content: bytes) -> str:
    """sha-256 in hex."""
    return sha256(content).hexdigest()


class CannotKeep(OSError):
    """An extended attribute, such as an access control list, cannot be set. name: of it."""

    def __init__(self, error: OSError, name: str) -> None:
        super().__init__(error.errno, error.strerror)
        self.name = name


def attributes(path: str) -> dict[str, bytes]:
    """
    The extended attributes that a replacement of the file must keep, such as its access control
    list; not those that describe its content.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in names
            if name not in _OF_CONTENT
        }
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOENT, errno.ENODATA):
            return {}
        raise


def write_new(
    path: str,
    content: bytes,
    *,
    mode: int,
    uid: int | None,
    gid: int | None,
    attributes: Mapping[str, bytes] | None = None,
) -> tuple[int, int]:
    """
    Create the file at `path`, which must not exist, complete and synced to disk.

    Owner, attributes and mode are set before the content is written, so that they protect it from
    the start. uid, gid: None takes the default of the file system. attributes: extended ones; None
    takes the folder's defaults, such as its default access control list. Returns its (uid, gid).
    Raises OSError, and CannotKeep for an attribute; then no file is left.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            owner = _own(fd, uid, gid)
            if attributes is not None:
                _set_attributes(fd, attributes)
            # After chown, which clears set-id bits, and the list, of which it is the mask.
            os.fchmod(fd, mode)
            _write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        remove(path)
        raise
    return owner


def _set_attributes(fd: int, wanted: Mapping[str, bytes]) -> None:
    """Set these attributes, and remove an inherited access control list that is not among them."""
    try:
        has = {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    except OSError:
        has = {}
    if _ACL in has and _ACL not in wanted:
        os.removexattr(fd, _ACL)
    for name, value in wanted.items():
        if has.get(name) != value:
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                raise CannotKeep(error, name) from error


def _own(fd: int, uid: int | None, gid: int | None) -> tuple[int, int]:
    facts = os.fstat(fd)
    new_uid = facts.st_uid if uid is None else uid
    new_gid = facts.st_gid if gid is None else gid
    if (new_uid, new_gid) != (facts.st_uid, facts.st_gid):
        os.fchown(fd, new_uid, new_gid)
    return new_uid, new_gid


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def overwrite(path: str, source: str) -> None:
    """
    Write content, owner and mode of `source` into the file at `path`, synced to disk: for a file
    that cannot be replaced by a rename. A reader may see, and a kill may leave, a part of it. The
    order of the steps makes a full disk an error before anything has changed.

    Raises OSError; then the old content was written back if that was possible.
    """
    content, wanted = read(source)
    old, _ = read(path)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _reserve(fd, len(content))
        facts = os.fstat(fd)
        _own(fd, wanted.st_uid, wanted.st_gid)
        if stat.S_IMODE(facts.st_mode) != stat.S_IMODE(wanted.st_mode):
            os.fchmod(fd, stat.S_IMODE(wanted.st_mode))
        try:
            _replace_content(fd, content)
        except OSError:
            _replace_content(fd, old)
            raise
    finally:
        os.close(fd)


def _reserve(fd: int, size: int) -> None:
    """Raises OSError (ENOSPC) when there is no room for this many bytes."""
    old_size = os.fstat(fd).st_size
    if size <= old_size:
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        os.ftruncate(fd, old_size)
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _replace_content(fd: int, content: bytes) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    _write_all(fd, content)
    os.ftruncate(fd, len(content))
    os.fsync(fd)


def kind(path: str) -> str:
    """The kind of a file that is not regular: "a device", "a named pipe" ..."""
    try:
        follow(path)
        mode = os.stat(path).st_mode
    except OSError as error:
        return "an open file of a process" if error.errno == errno.EINVAL else "not a regular file"
    kinds = (
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
    )
    named = (name for is_kind, name in kinds if is_kind(mode))
    return next(named, "a device" if stat.S_ISBLK(mode) else "not a regular file")


def is_mount_point(path: str) -> bool:
    """Whether the file is mounted by itself, so that no rename can replace it."""
    try:
        return _mount_id(path) != _mount_id(os.path.dirname(path) or ".")
    except (OSError, ValueError, IndexError):  # not there, or no /proc
        return False


def _mount_id(path: str) -> int:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        info = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(info, 512).partition(b"mnt_id:")[2].split()[0])
        finally:
            os.close(info)
    finally:
        os.close(fd)


def link_or_copy(path: str, new: str) -> None:
    """
    Give the file a second name in its folder, or make a copy if the file system has no hard links
    or forbids them (protected_hardlinks: the file has another owner). Raises OSError.
    """
    try:
        os.link(path, new, follow_symlinks=False)
    except (PermissionError, NotImplementedError):
        copy(path, new)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        copy(path, new)


def copy(path: str, new: str) -> None:
    """A new file with the content, owner and mode of `path`. Raises OSError."""
    content, facts = read(path)
    mode = stat.S_IMODE(facts.st_mode)
    kept = attributes(path)
    write_new(new, content, mode=mode, uid=facts.st_uid, gid=facts.st_gid, attributes=kept)


def append(fd: int, line: bytes) -> None:
    """
    One write to a file opened for appending, which a kill does not tear; a partial write on a full
    disk is undone. Raises OSError.
    """
    written = os.write(fd, line)
    if written < len(line):
        os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def remove(path: str) -> bool:
    """Remove the file; False when it was not there or may not be removed."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def own_folder(path: str) -> None:
    """
    Make the folder, and those above it that are missing, with mode 0700 whatever the umask is.

    Raises OSError; PermissionError also when another user owns it or may write in it, because its
    contents could not be trusted.
    """
    make_folders(path, 0o700)
    if found := _exposed_itself(path):
        raise PermissionError(errno.EPERM, found.why, path)


def make_folders(path: str, mode: int) -> None:
    """The folder, and those above it that are missing, with this mode whatever the umask is."""
    missing = []
    above = os.path.abspath(path)
    while not os.path.isdir(above) and above != "/":
        missing.append(above)
        above = os.path.dirname(above)
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, mode & 0o700)  # until it has its own mode
            os.chmod(folder, mode)


def sync_folder(path: str) -> None:
    """
    Make the names in the folder of `path` durable.

    A file system that cannot (EINVAL) or a disk that fails is not an error here: the content is
    already on disk, and a name lost in a power cut is found by the comparison at the next start.
    """
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def staged_name(path: str) -> str:
    """A new name beside `path` that belongs to this process."""
    folder, base = os.path.split(path)
    return os.path.join(folder, f"{_stem(base)}{_me()}-{next(_counter):x}{SUFFIX}")


def kept_name(path: str) -> str:
    """The name beside `path` for a refused file that is kept for the operator."""
    folder, base = os.path.split(path)
    return os.path.join(folder, f"{_stem(base)}kept{SUFFIX}")


def _stem(base: str) -> str:
    return "." + os.fsdecode(os.fsencode(base)[:_BASE_BYTES]) + "."


def strays(dests: Iterable[str]) -> Iterator[str]:
    """
    Staged files beside `dests` whose process is dead. Unreadable folders have none.

    The start time distinguishes that process from a later one with the same id.
    """
    stems: dict[str, set[str]] = {}
    for dest in dests:
        try:
            folder, base = os.path.split(follow(dest))
        except OSError:  # links in a circle: nothing was ever staged for them
            continue
        stems.setdefault(folder, set()).add(_stem(base))
    for folder, wanted in stems.items():
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for name in names:
            stem, _, owner = name.removesuffix(SUFFIX).rpartition(".")
            if name.endswith(SUFFIX) and stem + "." in wanted:
                path = os.path.join(folder, name)
                if _abandoned(path, owner):
                    yield path


def _abandoned(path: str, owner: str) -> bool:
    namespace, _, rest = owner.partition("-")
    pid, _, rest = rest.partition("-")
    started, _, number = rest.partition("-")
    if not number:
        return False  # a kept file, or no name of ours
    if namespace == _pid_namespace():
        return _started(pid) != started
    try:
        return _age_s(path) > _FOREIGN_AGE_S
    except OSError:
        return False


def _age_s(path: str) -> float:
    import time

    return time.time() - os.lstat(path).st_mtime  # wall time, because the stamp is wall time


def _me() -> str:
    """This process as owner of staged files: pid namespace, pid and start time in one word."""
    pid = os.getpid()
    name = _owner_of.get(pid)
    if name is None:  # first use, or first after a fork
        name = f"{_pid_namespace()}-{pid}-{_started(str(pid))}"
        _owner_of.clear()
        _owner_of[pid] = name
    return name


def _pid_namespace() -> str:
    try:
        link = os.readlink("/proc/self/ns/pid")  # "pid:[4026531836]"
    except OSError:
        return "0"
    return link.strip("pid:[]")


def _started(pid: str) -> str:
    """Start time of a process in clock ticks since boot (proc(5), stat field 22); "" if none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            line = file.read(4096)
    except OSError:
        return ""
    return line.rpartition(b")")[2].split()[19].decode()
