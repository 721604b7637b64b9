"""Writes the files of a recipe below a folder. Shell."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pyconfd.cli.recipe_collisions import collisions
from pyconfd.config.recipes import ConfdirFile
from pyconfd.errors import ConfigError, RecipeError, StageError
from pyconfd.system import files


def write_files(files: Sequence[ConfdirFile], folder: str, *, force: bool = False) -> None:
    """
    Write what is not there yet, and with `force` what differs. Raises RecipeError with every file
    that differs or is in the way before anything is written, StageError when the folder takes no
    file.
    """
    faults: list[ConfigError] = [] if force else [*collisions(files, folder)]
    wanted = []
    for file in files:
        path = os.path.join(folder, file.path)
        there = _content(path)
        if there == file.content:
            continue
        if there is not None and not force:
            faults.append(RecipeError("already exists and differs", where=path))
        wanted.append(file)
    if faults:
        raise RecipeError(
            "nothing was written",
            where=folder,
            hint="name another folder, remove what is in the way, or overwrite with --force",
            faults=tuple(faults),
        )
    for file in wanted:
        _write(os.path.join(folder, file.path), file)


def _content(path: str) -> bytes | None:
    """What is there; None when nothing is; b"" for what is not a file: no file of ours is empty."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None  # if the folder is unusable, writing reports it
    except OSError:
        return b""


def _write(path: str, file: ConfdirFile) -> None:
    try:
        files.make_folders(os.path.dirname(path), 0o755)
        with open(path, "wb") as stream:
            stream.write(file.content)
        os.chmod(path, file.mode)
    except OSError as error:
        raise StageError(f"cannot be written: {error.strerror}", where=path) from error
