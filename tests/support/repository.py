"""Where the repository is: tests read its pages, units and data, and run programs from it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
