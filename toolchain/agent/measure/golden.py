"""The golden arrays of a bundle, read batch by batch, and what they say of a payload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest, TensorSpec
from .bootstrap import estimate_drop
from .by_class import list_class_scores
from .drift import Drift
from .levels import LevelArray, find_levels_path
from .metrics import Targets, list_metrics
from .npy import map_npy
from .parity import Parity
from .record import Evaluation, MetricResult
from .scoring import Scoring, ScoringTally, find_scoring
from .session import Session, ShapeRange
from .shapes import EVALUATION_BATCH, find_fixed_batch
from .targets import TargetArray, join_targets, slice_target
from .worst import WorstSamples

_Array = Union[NDArray[Any], LevelArray]


@dataclass(frozen=True)
class GoldenArrays:
    """The evaluation set: arrays mapped from files, first axis = samples.

    Inputs of few values lie there as the numbers of these (levels.py), and are read as what they stand for.
    """

    samples: int
    stacked: bool
    """array[i] is the whole tensor of run i; elsewhere the first axis is the tensor's batch axis."""
    inputs: Mapping[str, _Array]
    outputs: Mapping[str, NDArray[Any]]
    originals: Mapping[str, NDArray[Any]]
    """Of the user's uncompressed model; `outputs` itself where nothing was compressed."""
    targets: Mapping[str, TargetArray]
    """What the metric compares with; nothing where there is none."""

    def read_inputs(self, start: int, stop: int) -> Dict[str, NDArray[Any]]:
        """Return the inputs of some samples, in memory; stacked ones come one by one."""
        return {name: self._read(array, start, stop) for name, array in self.inputs.items()}

    def read_outputs(self, start: int, stop: int) -> Dict[str, NDArray[Any]]:
        """Return the reference outputs of some samples, in memory; stacked ones come one by one."""
        return {name: self._read(array, start, stop) for name, array in self.outputs.items()}

    def read_originals(self, start: int, stop: int) -> Dict[str, NDArray[Any]]:
        """Return what the user's model returned for some samples, as read_outputs does."""
        return {name: self._read(array, start, stop) for name, array in self.originals.items()}

    def read_targets(self, start: int, stop: int) -> Targets:
        """Return the targets of some samples."""
        return {name: slice_target(target, start, stop) for name, target in self.targets.items()}

    def find_batch(self, inputs: Sequence[TensorSpec]) -> Optional[int]:
        """Return how many samples a run must take: one where they are stacked, else what find_fixed_batch says."""
        return 1 if self.stacked else find_fixed_batch(inputs)

    def find_shapes(self, inputs: Sequence[TensorSpec]) -> Dict[str, ShapeRange]:
        """Return the shapes that these inputs of a payload are fed with: single samples, up to whole batches."""
        if self.stacked:
            rows = {name: array.shape[1:] for name, array in self.inputs.items()}
            return {name: ShapeRange(least=row, usual=row, most=row) for name, row in rows.items()}
        fixed = find_fixed_batch(inputs)
        least, most = (fixed, fixed) if fixed else (1, min(EVALUATION_BATCH, self.samples))
        shapes = {}
        for name, array in self.inputs.items():
            single = (least, *array.shape[1:])
            shapes[name] = ShapeRange(least=single, usual=single, most=(most, *array.shape[1:]))
        return shapes

    def _read(self, array: _Array, start: int, stop: int) -> NDArray[Any]:
        return np.array(array[start] if self.stacked else array[start:stop])


def load_array(bundle_dir: Path, path: str) -> NDArray[Any]:
    """Return an array of a bundle, mapped from its file; raises ToolchainError (exit 23) where it cannot be read."""
    try:
        return map_npy(bundle_dir / path)
    except (ValueError, OSError) as error:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "a golden array cannot be read",
            where=path,
            expected="a .npy file without pickles",
            found=str(error),
            fix="write the bundle again",
        ) from error


def _map_array(bundle_dir: Path, path: str, samples: int, spec: TensorSpec, *, stacked: bool) -> NDArray[Any]:
    array = load_array(bundle_dir, path)
    _check_array(array, path, samples, spec, stacked=stacked)
    return array


def _map_input(bundle_dir: Path, manifest: Manifest, spec: TensorSpec) -> _Array:
    golden = manifest.golden
    path = golden.inputs[spec.name]
    levels_path = find_levels_path(path)
    array: _Array = load_array(bundle_dir, path)
    if any(entry.path == levels_path for entry in manifest.files):
        array = LevelArray(array, np.array(load_array(bundle_dir, levels_path)), path)  # type: ignore[arg-type]
    _check_array(array, path, golden.samples, spec, stacked=golden.stacked)
    return array


def _check_array(array: _Array, path: str, samples: int, spec: TensorSpec, *, stacked: bool) -> None:
    row = spec.shape if stacked else spec.shape[1:]
    fits = array.ndim == 1 + len(row) and array.shape[0] == samples
    fits = fits and all(size in (None, array.shape[axis]) for axis, size in enumerate(row, start=1))
    if not fits:
        expected = str((samples, *("any" if size is None else size for size in row)))
        raise ToolchainError(
            ExitCode.MALFORMED,
            "a golden array has the wrong shape",
            where=path,
            expected=expected,
            found=str(array.shape),
            fix="write the bundle again",
        )
    if array.dtype != np.dtype(spec.dtype):
        raise ToolchainError(
            ExitCode.MALFORMED,
            "a golden array has the wrong type",
            where=path,
            expected=spec.dtype,
            found=str(array.dtype),
            fix="write the bundle again",
        )


def _map_targets(bundle_dir: Path, manifest: Manifest) -> Dict[str, TargetArray]:
    """Return the targets of the manifest's metric; refuse (exit 23) a metric that is unknown, or lacks one of them."""
    golden, name = manifest.golden, manifest.metric.name
    arrays = {target: load_array(bundle_dir, path) for target, path in golden.targets.items()}
    targets = join_targets(arrays, golden.samples, "golden.targets")
    if name is None:
        return targets
    if name not in list_metrics():
        what = f"the bundle's metric {name!r} is unknown"
        fix = "name its file with --member metrics:NAME=FILE.py, or write the bundle again, with this agent in it"
        raise ToolchainError(
            ExitCode.MALFORMED,
            what,
            where="metric.name",
            expected=f"one of {', '.join(list_metrics())}",
            found=name,
            fix=fix,
        )
    scoring = find_scoring(manifest.metric)
    missing = [] if scoring is None else [target for target in scoring.targets if target not in targets]
    if missing:
        what, found = f"the metric {name} lacks a target", ", ".join(targets) or "none"
        raise ToolchainError(
            ExitCode.MALFORMED,
            what,
            where="golden.targets",
            expected=missing[0],
            found=found,
            fix="write the bundle again",
        )
    return targets


def _map_outputs(bundle_dir: Path, manifest: Manifest, paths: Mapping[str, str]) -> Dict[str, NDArray[Any]]:
    golden = manifest.golden
    return {
        spec.name: _map_array(bundle_dir, paths[spec.name], golden.samples, spec, stacked=golden.stacked)
        for spec in manifest.outputs
    }


def open_golden(bundle_dir: Path, manifest: Manifest) -> GoldenArrays:
    """Map the golden arrays of a bundle; raises ToolchainError (exit 23) where one is not what the manifest says."""
    golden = manifest.golden
    outputs = _map_outputs(bundle_dir, manifest, golden.outputs)
    is_same = golden.originals == golden.outputs
    return GoldenArrays(
        samples=golden.samples,
        stacked=golden.stacked,
        inputs={spec.name: _map_input(bundle_dir, manifest, spec) for spec in manifest.inputs},
        outputs=outputs,
        originals=outputs if is_same else _map_outputs(bundle_dir, manifest, golden.originals),
        targets=_map_targets(bundle_dir, manifest),
    )


def evaluate_session(
    session: Session, golden: GoldenArrays, manifest: Manifest, on_progress: Callable[[int, int], None]
) -> Evaluation:
    """Run a payload over the whole evaluation set; return its parity, its drift and its task metric.

    Outputs that are missing, extra or of another dtype or shape are the evaluation's mismatch. Raises ToolchainError
    (exit 23) for a set that is no multiple of the payload's fixed batch.
    """
    fixed = golden.find_batch(session.inputs)
    batch = fixed or EVALUATION_BATCH
    if fixed and golden.samples % batch:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the evaluation set does not fill the payload's batches",
            where="golden.samples",
            expected=f"a multiple of {batch}",
            found=str(golden.samples),
            fix="export the model with a dynamic batch axis, or change evaluation_samples",
        )
    # Where nothing was compressed, the user's model is what was lowered: one comparison is both.
    is_same = golden.originals is golden.outputs
    parity = Parity()
    drift = Drift(parity if is_same else None)
    scoring = find_scoring(manifest.metric)
    tallies = None if scoring is None else (scoring.start(), scoring.start())
    worst = WorstSamples(scoring)
    done = 0
    try:
        for start in range(0, golden.samples, batch):
            stop = min(start + batch, golden.samples)
            inputs = golden.read_inputs(start, stop)
            outputs = session.run(inputs)
            expected = golden.read_outputs(start, stop)
            parity.add(expected, outputs)
            originals = expected if is_same else golden.read_originals(start, stop)
            drift.add(originals, outputs, stacked=golden.stacked)
            worst.add(start, originals, outputs, inputs, golden.read_targets(start, stop), stacked=golden.stacked)
            if tallies is not None:
                for tally, found in ((tallies[0], originals), (tallies[1], outputs)):
                    named = {spec.name: found[spec.name] for spec in manifest.outputs}  # the first is the manifest's
                    tally.add(named, golden.read_targets(start, stop), inputs)
            done = stop
            on_progress(stop, golden.samples)
    except ToolchainError as error:
        if error.code != ExitCode.PARITY:
            raise
        mismatch = f"{error.what}: {error.where}, expected {error.expected}, found {error.found}"
        return Evaluation(mismatch=mismatch, parity=(), drift=(), metric=None, samples=done)
    return Evaluation(
        mismatch=None,
        parity=parity.summarize(),
        drift=drift.summarize(),
        metric=None if scoring is None or tallies is None else _compare_metric(scoring, *tallies, manifest),
        samples=done,
        by_class=() if tallies is None else list_class_scores(tallies[0].metric, tallies[1].metric),
        worst=worst.list_samples(),
    )


def _compare_metric(
    scoring: Scoring, original: ScoringTally, tally: ScoringTally, manifest: Manifest
) -> Optional[MetricResult]:
    reference = manifest.metric.reference
    if reference is None:
        return None
    try:
        deployed = tally.compute()
    except ToolchainError as error:
        if error.code != ExitCode.METRIC:
            raise
        return None  # no number, such as a correlation with an output that stands still: the gate refuses the candidate
    bounds = estimate_drop(original.metric, tally.metric, scoring.scale)
    return MetricResult(
        name=scoring.name,
        reference=reference,
        deployed=deployed,
        drop=scoring.scale.measure_drop(reference, deployed),
        samples=tally.metric.samples,
        drop_lower=bounds.lower,
        drop_upper=bounds.upper,
    )
