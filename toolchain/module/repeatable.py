"""Says when a module computes something else from run to run: nothing can be proven equal to it."""

from __future__ import annotations

import contextlib
import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from toolchain.errors import ToolchainError
from toolchain.graph.randomness import explain_randomness, find_difference

Outputs = Mapping[str, NDArray[Any]]

# Runs of a module that draws random numbers: one that shows them in every second run is missed once in 256 times.
_RUNS_WHERE_DRAWN = 8


def check_repeatable(run: Callable[[], Outputs]) -> Outputs:
    """Run a module again on the same samples and return its outputs.

    Raises ToolchainError (exit 2) where an output differs from run to run by more than rounding; the message names the
    line that draws random numbers, where there is one.
    """
    with _states_kept():
        before = _read_states()
        first = run()
        for _ in range(_RUNS_WHERE_DRAWN if _read_states() != before else 1):
            difference = find_difference(first, run())
            if difference is not None:
                where, found = difference
                place = _find_draw(run)
                raise explain_randomness(where if place is None else f"{where}, {place}", found)
    return first


class _DrawWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the first line that calls an operator which may draw random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place: str | None = None

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.place is None and torch.Tag.nondeterministic_seeded in operator.tags:
            before = torch.get_rng_state()
            result = operator(*args, **(kwargs or {}))
            if not torch.equal(before, torch.get_rng_state()):  # many may draw, and do not in evaluation
                self.place = _find_caller(str(operator.overloadpacket))
            return result
        return operator(*args, **(kwargs or {}))


def _find_draw(run: Callable[[], Outputs]) -> str | None:
    """Return the line that draws random numbers first; None where no operator of torch's does."""
    watch = _DrawWatch()
    with contextlib.suppress(ToolchainError), watch:
        run()
    return watch.place


def _find_caller(operator: str) -> str:
    """Return FILE:LINE of the innermost frame of the model's own, and the operator."""
    frames = traceback.extract_stack()
    above = max(index for index, frame in enumerate(frames) if frame.name == check_repeatable.__name__)
    others = (Path(torch.__file__).parent, Path(__file__).parent.parent)
    own = [frame for frame in frames[above:] if not any(folder in Path(frame.filename).parents for folder in others)]
    return f"{own[-1].filename}:{own[-1].lineno}, operator {operator}" if own else f"operator {operator}"


def _read_states() -> tuple[bytes, str, str]:
    """Return the states of the generators that a module may draw from."""
    return bytes(torch.get_rng_state().numpy()), repr(random.getstate()), repr(np.random.get_state())  # noqa: NPY002


@contextlib.contextmanager
def _states_kept() -> Iterator[None]:
    """Leave the generators as they were: a check changes nothing."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
