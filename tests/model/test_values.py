"""The frozen slotted classes of the package behave as those of the standard library."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

from pyconfd.model import values

Decorator = Callable[..., Callable[[type], Any]]
MAKERS: list[Any] = [dataclasses.dataclass, values.dataclass]


def _point(make: Decorator) -> Any:
    @make(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list, compare=False)
        secret: str = field(default="hidden", repr=False, compare=False)

        @property
        def both(self) -> int:
            return self.x + self.y

    return Point


def _named(make: Decorator) -> Any:
    @make(frozen=True, slots=True, kw_only=True)
    class Named:
        first: str = "a"
        second: str

        def __post_init__(self) -> None:
            if not self.second:
                raise ValueError("empty")

        def __repr__(self) -> str:
            return "its own"

    return Named


@pytest.mark.parametrize("make", MAKERS)
def test_values_are_made_shown_and_compared(make: Decorator) -> None:
    """Fields by position and by name, defaults, what is left out of text and comparison."""
    point = _point(make)
    one = point(1, tags=["t"])
    assert (one.x, one.y, one.tags, one.secret, one.both) == (1, 2, ["t"], "hidden", 3)
    assert repr(one).endswith("Point(x=1, y=2, tags=['t'])")
    assert one == point(1, 2) != point(1, 3)
    assert hash(one) == hash(point(1, secret="s")) != hash(point(2))
    assert point(1).tags is not point(1).tags
    assert one != (1, 2)
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "tags", "secret"]
    assert dataclasses.replace(one, y=7).y == 7
    assert point.__match_args__ == ("x", "y", "tags", "secret")


@pytest.mark.parametrize("make", MAKERS)
def test_values_cannot_change(make: Decorator) -> None:
    """Not a field, not another attribute; and there is no dictionary behind it."""
    one = _point(make)(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.x
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        one.other = 2
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize("make", MAKERS)
def test_wrong_arguments_are_refused_each_time(make: Decorator) -> None:
    """The first object is no different from the ones after it."""
    point = _point(make)
    for _ in range(2):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
            point()
        with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
            point(1, z=2)


@pytest.mark.parametrize("make", MAKERS)
def test_what_a_class_defines_itself_is_kept(make: Decorator) -> None:
    """Its text and its checks; fields that are named may follow those with defaults."""
    named = _named(make)
    assert (named(second="b").first, named(first="c", second="b").first) == ("a", "c")
    assert repr(named(second="b")) == "its own"
    with pytest.raises(ValueError, match="empty"):
        named(second="")
    with pytest.raises(TypeError):
        named("a", "b")


@pytest.mark.parametrize("make", MAKERS)
def test_a_class_below_another_has_the_fields_of_both(make: Decorator) -> None:
    """In the order of their definition."""
    point = _point(make)

    @make(frozen=True, slots=True)
    class Space(point):  # type: ignore[misc, valid-type]
        z: int = 3

    assert Space(1, 5, z=4) == Space(1, 5, z=4) != Space(1, 5)
    assert "x=1, y=5, tags=[], z=4" in repr(Space(1, 5, z=4))
    assert Space(1) != point(1)


def test_only_frozen_slotted_classes_are_made_this_way() -> None:
    """Others are the standard library's."""
    with pytest.raises(TypeError, match="frozen slotted"):
        values.dataclass(frozen=True, slots=False)
