"""What a process that is confined knows of itself: which step it is at, for the one that watches it, and its limits.

It is one for the process, because what opens and runs models does so anywhere: in threads, in passes of others.
"""

from __future__ import annotations

import mmap
import os
import resource
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolchain.run.confine.limits import Limits  # they change no result, so that they are no part of a key


# Steps begun, steps ended, seconds for one, bytes of memory, and how long the name of the last one is.
_HEADER = struct.Struct("<QQdQH")
_NAME_MAX_BYTES = 200

# Address space that is reserved and never touched: libraries (350 MB with onnxsim and numba), and for each thread its
# stack (8 MB) and its heap (64 MB: glibc, malloc/arena.c).
_RESERVED_BYTES = 512 * 2**20
_RESERVED_PER_CPU_BYTES = 72 * 2**20
_STACK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Steps:
    """How far the steps of a confined process are."""

    begun: int
    ended: int
    limit_s: float
    memory_limit_bytes: int
    name: str
    """Of the step that began last."""


class StepBoard:
    """A page that a confined process writes its steps on, and the one that watches it reads."""

    def __init__(self) -> None:
        """Take a page that a fork shares."""
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._lock = threading.Lock()
        self._begun = self._ended = 0
        self._name = b""

    def begin(self, name: str) -> None:
        with self._lock:
            self._begun += 1
            self._name = name.encode("utf-8", "replace")[:_NAME_MAX_BYTES]
            self._write_steps()

    def end(self) -> None:
        with self._lock:
            self._ended += 1
            self._write_steps()

    def set_limits(self, limits: Limits) -> None:
        struct.pack_into("<dQ", self._page, 16, limits.step_limit_s, limits.memory_limit_bytes)

    def read(self) -> Steps:
        begun, ended, limit_s, memory_limit_bytes, length = _HEADER.unpack_from(self._page)
        name = self._page[_HEADER.size : _HEADER.size + min(length, _NAME_MAX_BYTES)]
        return Steps(begun, ended, limit_s, memory_limit_bytes, name.decode("utf-8", "replace"))

    def close(self) -> None:
        self._page.close()

    def _write_steps(self) -> None:
        struct.pack_into("<QQ", self._page, 0, self._begun, self._ended)
        struct.pack_into("<H", self._page, _HEADER.size - 2, len(self._name))
        self._page[_HEADER.size : _HEADER.size + len(self._name)] = self._name


class _Confinement:
    """This process's own limits and steps; none where it is not confined."""

    board: StepBoard | None = None
    limits: Limits | None = None
    started_bytes: tuple[int, int] = (0, 0)


_own = _Confinement()


def is_confined() -> bool:
    """Return whether this process runs under limits of its own."""
    return _own.board is not None


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say that the block is one step on a model, which the limit for one is for: an opening, a run, a pass.

    Outside of a confined process it does nothing.
    """
    board = _own.board
    if board is None:
        yield
        return
    board.begin(name)
    try:
        yield
    finally:
        board.end()


def grow_limits(*, model_bytes: int = 0, sample_bytes: int = 0) -> None:
    """Allow what a model needs that turned out to have more bytes on the disk, or samples of so many; see Limits.grow."""
    if _own.board is not None and _own.limits is not None:
        _apply(_own.board, _own.limits.grow(model_bytes=model_bytes, sample_bytes=sample_bytes))


@contextmanager
def limit_memory(size_bytes: int) -> Iterator[None]:
    """Allow the block so many bytes of memory beyond what this process has; outside of a confined process, any number."""
    if _own.board is None:
        yield
        return
    before, _ = resource.getrlimit(resource.RLIMIT_DATA)
    _, written = _read_mapped_bytes()
    _lower(
        resource.RLIMIT_DATA,
        written + size_bytes if before == resource.RLIM_INFINITY else min(before, written + size_bytes),
    )
    try:
        yield
    finally:
        _lower(resource.RLIMIT_DATA, before)


def free_memory() -> None:
    """Lift the limits on memory: a GPU's driver reserves address space without measure. Steps stay limited."""
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (hard, hard))


def enter(board: StepBoard, limits: Limits) -> None:
    """Confine this process from now on: memory, CPU time and core files, whatever it starts included."""
    _own.started_bytes = _read_mapped_bytes()
    cpu_s = int(limits.total_limit_s * (_count_cpus() + 1)) + 1
    # The one that watches ends the process long before, unless it is stopped itself.
    _lower(resource.RLIMIT_CPU, cpu_s)
    _lower(resource.RLIMIT_CORE, 0)
    _apply(board, limits)


def _apply(board: StepBoard, limits: Limits) -> None:
    _own.board, _own.limits = board, limits
    board.set_limits(limits)
    mapped, written = _own.started_bytes
    memory = limits.memory_limit_bytes
    cpus = _count_cpus()
    # What is written to (Linux 4.7) is what memory is taken by; the address space holds reserves and files as well.
    _lower(resource.RLIMIT_DATA, written + memory + _STACK_BYTES * cpus)
    _lower(resource.RLIMIT_AS, mapped + memory + _RESERVED_BYTES + _RESERVED_PER_CPU_BYTES * cpus)


def _lower(kind: int, value: int) -> None:
    """Set a soft limit, under the hard one: a model that turns out larger gets more."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _read_mapped_bytes() -> tuple[int, int]:
    """Return the bytes of address space that this process has, and those of them that it may write to."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(pages[0]) * mmap.PAGESIZE, int(pages[5]) * mmap.PAGESIZE


def _count_cpus() -> int:
    return os.cpu_count() or 1
