"""Task metrics: what a model is for, as one number. One a file, under the name that recipes give it.

A metric gets *named outputs* and *named targets*, batch by batch:

- outputs: name to array, as the session of a payload returns them, such as `(n, classes)`, or as a decoder made them
  (../decoders/), such as the boxes of each picture, which are Ragged too;
- targets: name to array `(n, ...)`, or to rows that every sample has another number of (Ragged, ../targets.py).

Class numbers `(n,)` are the target "labels". The same sums are used on the board, in training, in search and in
compression, so that a metric is written once; it has numpy and nothing else.

A metric that is not the same for all models has a frozen dataclass `Options`, and `start(options)`; what recipes give is
read into it strictly (../options.py).
"""

from __future__ import annotations

import difflib
import sys
from typing import Any, Mapping, Optional, Protocol, Sequence, Tuple, Union, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import ExitCode, ToolchainError
from ..checked_metric import CheckedMetric
from ..guard import guard_call
from ..members import import_member, list_members
from ..scale import Scale
from ..targets import Ragged, TargetArray

Outputs = Mapping[str, TargetArray]
Targets = Mapping[str, TargetArray]


class Tally(Protocol):
    """What was added of a metric so far."""

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add a batch; one that the metric cannot read is a ToolchainError (exit 23)."""

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the metric of all samples, whatever their order and batches; raises refuse_empty without any.

        counts: how often sample i, in the order in which they were added, counts; None is once each. The interval of a
        drop is made of it (../bootstrap.py); a metric from outside may do without, and then there is no interval.
        Raises refuse_unproven where these samples prove nothing.
        """


class Metric(Protocol):
    """A module of this folder."""

    SCALE: Scale
    """Its unit, and from where to where it goes."""
    OUTPUTS: Tuple[str, ...]
    """The outputs that it reads; none is the first, whatever its name. The others are gated by their drift."""
    TARGETS: Tuple[str, ...]
    """The targets that it reads. OPTIONAL_TARGETS, where a metric has it, are those that it reads where there are any."""

    def start(self) -> Tally:
        """Return a tally of nothing."""


def list_metrics() -> Sequence[str]:
    """Return the names of all metrics, sorted."""
    return list_members(sys.modules[__name__])


def find_metric(name: str, options: Optional[Mapping[str, object]] = None) -> CheckedMetric:
    """Return the metric of this name with its options, whose tallies hold what the protocol promises.

    Without options, those that it needs are asked for as a tally starts. Raises ToolchainError (exit 2) for an unknown
    metric or option, and for a metric that breaks as it is imported or defines something else.
    """
    check_metric(name, "metric")
    from ..functions import find_metric_in  # it has a tally, which reads this package

    try:
        with guard_call("metric", name):
            module = cast("Metric", find_metric_in(import_member(sys.modules[__name__], name), name))
        scale, outputs, targets = module.SCALE, module.OUTPUTS, module.TARGETS
    except ToolchainError:
        raise
    except Exception as error:
        raise _refuse_metric(name, "a module that needs numpy and the agent alone", error) from error
    if not isinstance(scale, Scale) or not scale.has_direction:
        raise _refuse_metric(name, "SCALE, a Scale of two bounds", scale)
    optional = getattr(module, "OPTIONAL_TARGETS", ())
    for constant, names in (("OUTPUTS", outputs), ("TARGETS", targets), ("OPTIONAL_TARGETS", optional)):
        # A text alone would be read letter by letter.
        if not isinstance(names, tuple) or not all(isinstance(item, str) for item in names):
            raise _refuse_metric(name, f"{constant}, a tuple of names", names)
    return CheckedMetric(name, module, options)


def _refuse_metric(name: str, expected: str, found: object) -> ToolchainError:
    text = f"{type(found).__name__}: {found}" if isinstance(found, Exception) else repr(found)
    what, fix = f"{name} is no metric", f"correct {name}.py"
    return ToolchainError(ExitCode.USAGE, what, where="metric", expected=expected, found=text, fix=fix)


def check_metric(name: str, where: str) -> None:
    """Refuse (exit 2) a name that no metric has; where: what says it. Nothing is imported."""
    known = list_metrics()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ToolchainError(
            ExitCode.USAGE,
            f"there is no metric {name!r}",
            where=where,
            expected=f"one of {', '.join(known)}",
            found=repr(name),
            fix=f"write {near[0]}" if near else "correct the name",
        )


def list_read_outputs(metric: Union[Metric, CheckedMetric], outputs: Sequence[str]) -> Sequence[str]:
    """Return those of the outputs, in the model's order, that a metric reads."""
    return [name for name in outputs if name in metric.OUTPUTS] if metric.OUTPUTS else outputs[:1]


def take_first(name: str, outputs: Outputs) -> NDArray[Any]:
    """Return the first output, for the metric of this name; raises ToolchainError (exit 23) where there is none."""
    for array in outputs.values():
        if isinstance(array, Ragged):
            raise ToolchainError(
                ExitCode.MALFORMED,
                f"{name} cannot read the first output",
                where="outputs",
                expected="an array",
                found="rows of another number for each sample",
                fix="choose the decoder and the metric of one task",
            )
        return array
    raise ToolchainError(
        ExitCode.MALFORMED,
        f"{name} has no output to read",
        expected="at least one",
        found="none",
        fix="return the outputs of the model",
    )


def take_output(name: str, outputs: Outputs, output: str, decoders: str) -> TargetArray:
    """Return an output by its name, for the metric of this name; raises ToolchainError (exit 23) where there is none.

    decoders: those that make it.
    """
    if output not in outputs:
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} has no output {output} to read",
            where="outputs",
            expected=output,
            found=", ".join(outputs) or "none",
            fix=f"choose a decoder that makes it, such as {decoders}, or name the output of the model {output}",
        )
    return outputs[output]


def take_target(name: str, targets: Targets, target: str) -> TargetArray:
    """Return a target, for the metric of this name; raises ToolchainError (exit 23) where there is none."""
    if target not in targets:
        raise ToolchainError(
            ExitCode.MALFORMED,
            f"{name} has no {target} to compare with",
            where="targets",
            expected=target,
            found=", ".join(targets) or "none",
            fix=f'add the target {target} to the data, or set data.metric = "none"',
        )
    return targets[target]


def refuse_empty(name: str) -> ToolchainError:
    """Return the error (exit 20) of a metric, by its name, that is asked before anything was added."""
    return ToolchainError(
        ExitCode.INVALID,
        f"{name} was measured on nothing",
        expected="at least one sample",
        found="none",
        fix="give evaluation samples",
    )


def refuse_unproven(name: str, *, expected: str, found: str) -> ToolchainError:
    """Return the error (exit 20) of a metric, by its name, on samples that every model would have the same value on."""
    return ToolchainError(
        ExitCode.INVALID,
        f"{name} was measured on samples that prove nothing",
        where="targets",
        expected=expected,
        found=found,
        fix="give evaluation samples that a wrong model fails on",
    )
