"""The pieces of a render's output, up to a limit. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, compress, islice, takewhile, tee
from types import GeneratorType

from pyconfd.errors import RenderTimeout
from pyconfd.pipeline.render.function_errors import FunctionFault

#: Pieces that become one text: a list of many small ones takes more memory than their texts.
_MERGED = 1_000_000


class OutputTooLong(FunctionFault):
    """The output of a template has more bytes than output_limit allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the output has more than output_limit = {limit} bytes")
        self.hint = "see what this line makes of its keys, or raise output_limit"


def collected(stream: Iterator[str], limit: int, *, merge: bool) -> list[str]:
    """
    The pieces of an output.

    limit: in characters, each of at least one byte. merge: pieces may be joined, because their
    places do not matter. Raises OutputTooLong, at the template's line that exceeds the limit.
    """
    assert isinstance(stream, GeneratorType)  # noqa: S101 - says so to the type checker
    try:
        return _collected(stream, limit, merge)
    except RenderTimeout as error:
        if stream.gi_frame is not None:  # it came between two pieces, at no line of the template
            stream.throw(error)
        raise


def _collected(stream: GeneratorType[str, None, None], limit: int, merge: bool) -> list[str]:
    pieces: list[str] = []
    room = limit
    while True:
        some = _within(stream, room)
        if stream.gi_frame is None:  # it has ended
            return pieces + some
        if len(some) < _MERGED:
            stream.throw(OutputTooLong(limit))
        room -= sum(map(len, some))
        pieces += ["".join(some)] if merge else some


def _within(stream: Iterator[str], room: int) -> list[str]:
    """
    The next pieces, until one exceeds the room. It takes no step of Python itself: that would cost
    as much as the pieces, and a render that takes too long would end there, outside of any line.
    """
    kept, counted = tee(islice(stream, _MERGED))
    sizes = islice(accumulate(map(len, counted), initial=1), 1, None)
    return list(compress(kept, takewhile((room + 1).__ge__, sizes)))
