"""The curves of bench.growth as a picture: log of the cost over log of the size. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _LEFT, _ROW = 760, 420, 60, 18
_COLORS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#16707a", "#7f4f24", "#555")

#: (size, CPU milliseconds), sizes rising.
Points = Sequence[tuple[int, float]]


def svg(curves: Mapping[str, Points]) -> str:
    """One line for each name, with a legend."""
    sizes = [size for points in curves.values() for size, _ in points]
    costs = [max(cost, 0.1) for points in curves.values() for _, cost in points]
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    first, last = math.log(min(sizes)), math.log(max(sizes))

    def x(size: int) -> float:
        return _LEFT + (math.log(size) - first) / max(last - first, 1e-9) * (_WIDTH - 2 * _LEFT)

    def y(cost: float) -> float:
        share = (math.log10(max(cost, 0.1)) - low) / max(high - low, 1)
        return _HEIGHT - 40 - share * (_HEIGHT - 60)

    parts = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{y(10.0**n):.0f}" y2="{y(10.0**n):.0f}"'
        f' stroke="#ddd"/><text x="4" y="{y(10.0**n) + 4:.0f}">{10.0**n:g} ms</text>'
        for n in range(low, high + 1)
    ]
    parts += [
        f'<text x="{x(size):.0f}" y="{_HEIGHT - 16}">{size:,}</text>' for size in sorted(set(sizes))
    ]
    for number, (name, points) in enumerate(curves.items()):
        color = _COLORS[number % len(_COLORS)]
        path = " ".join(f"{x(size):.0f},{y(cost):.0f}" for size, cost in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        legend = _HEIGHT + 10 + number * _ROW
        parts.append(f'<text x="{_LEFT}" y="{legend}" fill="{color}">{name}</text>')
    height = _HEIGHT + 20 + len(curves) * _ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
    body = "\n".join(parts)
    return f'{head} font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'
