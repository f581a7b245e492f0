"""Work on each of many samples, several at a time: as many runs of one thread each take less time than one run after the other."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_Made = TypeVar("_Made")


def count_cpus() -> int:
    """Return how many may be worked on at a time."""
    return os.cpu_count() or 1


def do_each(work: Callable[..., _Made], *items: Iterable[Any], workers: int) -> Generator[_Made, None, None]:
    """Yield what the work makes of each of the items, in their order, several at a time; few of them are in memory."""
    if workers == 1:
        yield from map(work, *items)
        return
    with ThreadPoolExecutor(workers) as executor:
        pending: deque[Future[_Made]] = deque()
        for arguments in zip(*items, strict=True):
            pending.append(executor.submit(work, *arguments))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def take_each(items: list[_Made]) -> Iterator[_Made]:
    """Yield each of the items, and let go of it: what is made of them need not stand beside all of them in memory."""
    items.reverse()
    while items:
        yield items.pop()
