"""A large folder's children: the same as a sorted dictionary, and copies that share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyconfd.pipeline.chunked import CHUNK, ChunkedMap

_NAMES = st.text("ab0é\U0001f600", max_size=3)
_CHANGES = st.lists(st.tuples(_NAMES, st.none() | st.integers(0, 9)), max_size=60)


def _filled(count: int) -> dict[str, int]:
    return {f"{number:06}": number for number in range(count)}


def _apply(changes: list[tuple[str, int | None]], *maps: dict[str, int] | ChunkedMap[int]) -> None:
    for name, value in changes:
        for each in maps:
            if value is not None:
                each[name] = value
            elif name in each:
                del each[name]


@given(changes=_CHANGES, more=_CHANGES, size=st.sampled_from([0, 1, CHUNK, 3 * CHUNK + 1]))
def test_a_chunked_map_is_a_sorted_dictionary(
    changes: list[tuple[str, int | None]], more: list[tuple[str, int | None]], size: int
) -> None:
    """After any changes, and its copy changes on its own."""
    plain = _filled(size)
    chunked = ChunkedMap(plain)
    _apply(changes, plain, chunked)
    before = dict(sorted(plain.items()))
    copy = chunked.copy()
    _apply(more, plain, copy)
    assert list(chunked.items()) == list(before.items())
    assert list(copy.items()) == sorted(plain.items())
    assert (len(copy), len(chunked)) == (len(plain), len(before))
    assert all(copy.get(name) == plain.get(name) for name, _ in changes + more)


def test_many_new_names_between_the_others_split_chunks() -> None:
    """Names are found and stand in order however many come in one place."""
    plain = _filled(2 * CHUNK)
    chunked = ChunkedMap(plain)
    news = [(f"000100-{number * 7919 % 5000}", number) for number in range(5000)]
    _apply(list(news), plain, chunked)
    assert list(chunked) == sorted(plain)
    assert all(chunked[name] == value for name, value in plain.items())


def test_all_names_can_go_and_come_back() -> None:
    """Also the first chunk, whose names other names are looked for below."""
    plain = _filled(3 * CHUNK)
    chunked = ChunkedMap(plain)
    for name in plain:
        del chunked[name]
    assert not chunked
    assert chunked.get("000001") is None
    chunked["b"], chunked["a"] = 1, 2
    assert list(chunked.items()) == [("a", 2), ("b", 1)]
    assert list(chunked.values()) == [2, 1]


def test_a_copy_shares_what_did_not_change() -> None:
    """A change copies one chunk, not the folder."""
    chunked = ChunkedMap(_filled(10 * CHUNK))
    copy = chunked.copy()
    copy["000000"] = 7
    shared = {id(chunk) for chunk in chunked._chunks} & {id(chunk) for chunk in copy._chunks}
    assert len(shared) == 9
