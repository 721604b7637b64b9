"""The weight that follows the load. Pure; the load is measured elsewhere."""

from __future__ import annotations

# A change of less than this share of the full weight is not worth a key event and a reload.
HYSTERESIS = 0.1
TOP_WEIGHT = 100


def next_weight(current: int | None, load: float, top: int = TOP_WEIGHT) -> int:
    """
    The weight for a load: `top` when idle, falling evenly to 1 at one process per processor.

    load: runnable processes per processor. current: what is published now, None for nothing; it
    stays unless the new one differs by a tenth of `top`, or is an end of the range.
    """
    wanted = max(1, min(top, round(top * (1.0 - load))))
    if current is None or wanted == current:
        return wanted
    at_an_end = wanted in (1, top)
    return wanted if at_an_end or abs(wanted - current) >= top * HYSTERESIS else current
