"""
The format of what outlives a run: one number for a whole state folder, and one inside each file
that stands elsewhere. Shell. Why: decision 0014.

    1   of pyconfd 0.1.0, without a number
    2   as written now; all of 1 is read

It is raised when an older pyconfd would misread what is written. The newest and the one before
are read.
"""

from __future__ import annotations

import os

from pyconfd import __version__
from pyconfd.errors import StateError
from pyconfd.system.json_file import read_json, write_json

FORMAT = 2
_WITHOUT_NUMBER = 1
_FILE = "format.json"


def check_folder(folder: str) -> None:
    """Raises StateError for one that a newer pyconfd has written."""
    _format_of(folder)


def claim_folder(folder: str) -> None:
    """
    Note that this pyconfd writes there. The folder is locked. Raises StateError for one that a
    newer pyconfd has written, and OSError when the note cannot be written.
    """
    if _format_of(folder) < FORMAT:
        # synced: a power cut must not leave newer files without it
        write_json(os.path.join(folder, _FILE), marked({}), sync=True)


def marked(fields: dict[str, object]) -> dict[str, object]:
    """With the number, and the version of pyconfd that is the first to write it here."""
    return {"format": FORMAT, "pyconfd": __version__, **fields}


def format_of(found: object, *, where: str, lost: str) -> int:
    """
    The number in what a file holds, 1 for none. lost: what goes with the file. Raises StateError
    for a newer one.
    """
    fields = found if isinstance(found, dict) else {}
    number = fields.get("format")
    if not isinstance(number, int):
        return _WITHOUT_NUMBER
    if number > FORMAT:
        maker = fields.get("pyconfd", "a later version")
        raise StateError(
            f"pyconfd {maker} has written this in format {number}; "
            f"pyconfd {__version__} reads up to {FORMAT}",
            where=where,
            kept="nothing was changed",
            hint=f"start pyconfd {maker} again; or move it away, which forgets {lost}",
        )
    return number


def _format_of(folder: str) -> int:
    return format_of(
        read_json(os.path.join(folder, _FILE)),
        where=folder,
        lost="pending reloads, refused and held versions, and which files were made",
    )
