"""The Pareto front: what nothing else beats in everything."""

from __future__ import annotations

from collections.abc import Sequence


def find_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points, each smaller is better, that no other point dominates.

    One dominates another where it is nowhere worse and somewhere better; of equal points all stay.
    """
    # In ascending order, a point can be dominated by one before it alone, and then by one of the front.
    order = sorted(range(len(points)), key=lambda index: tuple(points[index]))
    front: list[int] = []
    for index in order:
        point = tuple(points[index])
        if not any(_dominates(points[other], point) for other in front):
            front.append(index)
    return sorted(front)


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)
