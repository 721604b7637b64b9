"""
Whether another distribution has files in this package. Shell.

The index has an older, unrelated program whose distribution, package and command are called
pyconfd; the distribution of this program is pyconfd-etcd. pip installs both into one folder without
a warning, and removing one removes files of the other.
"""

from __future__ import annotations

import os

_OTHER = "pyconfd-"
_ENDS = (".dist-info", ".egg-info")


def clash(folder: str = "") -> str:
    """
    What is wrong and what to do, in one line; "" if there is no clash. folder: the one with the
    package. It is only listed, because importlib's metadata takes 20 ms to import.
    """
    folder = folder or os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    try:
        names = os.listdir(folder)
    except OSError:
        return ""
    for name in names:
        if name.startswith(_OTHER) and name.endswith(_ENDS):
            found = name.removeprefix(_OTHER).rsplit(".", 1)[0]
            return (
                f"another distribution, pyconfd {found}, has its files in {folder} too: "
                "pip uninstall pyconfd, then pip install --force-reinstall pyconfd-etcd"
            )
    return ""
