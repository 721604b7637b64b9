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
    Write missing files, and with `force` those that differ. Before anything is written, raises
    RecipeError with every file that differs or is in the way. Raises StageError when no file can be
    written in the folder.
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
    """
    The content of a file; None if there is none; b"" for anything that is not a file, since no
    recipe file is empty.
    """
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
