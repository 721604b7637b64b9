"""Small state that outlives a run: one JSON value in a file, replaced as a whole. Shell."""

from __future__ import annotations

import json
import os
from typing import Any

from pyconfd.system import files


def read_json(path: str) -> Any:
    """The value in the file; None when there is no file, or it is not JSON."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def write_json(path: str, value: Any, *, sync: bool = False) -> None:
    """
    Replace the file by a rename: a reader finds the old or the new value. sync: the new one also
    survives a power cut. Raises OSError.
    """
    new = f"{path}.new"
    with open(new, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(json.dumps(value) + "\n")  # one text: json.dump makes it in Python, in pieces
        if sync:
            stream.flush()
            os.fsync(stream.fileno())
    os.replace(new, path)
    if sync:
        files.sync_folder(path)
