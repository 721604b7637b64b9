"""The weight that follows the load, as a table."""

from __future__ import annotations

import pytest

from pyconfd.registration.registrar.health_monitor import next_weight


@pytest.mark.parametrize(
    ("current", "load", "top", "weight"),
    [
        (None, 0.25, 100, 75),
        (75, 0.34, 100, 75),  # less than a tenth of the top: not worth a key event
        (75, 0.35, 100, 65),
        (66, 0.25, 100, 66),
        (65, 0.25, 100, 75),
        (95, 0.0, 100, 100),  # the ends are reached from wherever
        (5, 1.0, 100, 1),
        (5, 7.5, 100, 1),  # an overloaded machine never has weight 0, which nginx refuses
        (None, 0.5, 20, 10),
        (10, 0.55, 20, 10),
    ],
)
def test_small_changes_of_the_load_change_nothing(
    current: int | None, load: float, top: int, weight: int
) -> None:
    """It moves by a tenth of the top or to an end of the range."""
    assert next_weight(current, load, top) == weight
