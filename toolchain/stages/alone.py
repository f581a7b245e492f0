"""The stages before a bundle alone, for commands that want an ONNX file: optimized, or lowered without a board."""

from __future__ import annotations

from toolchain.errors import usage
from toolchain.project.target import Target
from toolchain.run.cache import Entry
from toolchain.stages.compress import compress
from toolchain.stages.export import export
from toolchain.stages.input import put_input
from toolchain.stages.lower import lower
from toolchain.stages.optimize import optimize
from toolchain.stages.run import Run
from toolchain.stages.stand_in import read_stand_in
from toolchain.stages.train import train


def optimize_alone(run: Run) -> Entry:
    """Return the recipe's model, compressed where it says so, exported and optimized."""
    return optimize(run, put_input(run, export(run, compress(run, train(run)))))


def lower_alone(run: Run, target: Target) -> Entry:
    """Return the first precision of a target, lowered of the uncompressed model for what stands in for a board.

    Raises ToolchainError (exit 2) for a target of several runtimes: there is one payload.
    """
    if len(target.runtimes) > 1:
        raise usage(
            f"the target {target.name} lists several runtimes, and this makes the payload of one",
            where=f"{target.path}: runtime",
            expected="one runtime",
            found=", ".join(target.runtimes),
            fix="name a target with the runtime that you want, such as one that is copied from this",
        )
    exported = put_input(run, export(run, train(run)))
    optimized = optimize(run, exported)
    return lower(run, optimized, target, target.precision[0], read_stand_in(target), exported=exported)
