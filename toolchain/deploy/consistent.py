"""Whether a record agrees with itself and with its manifest: what was derived on the board is derived here again."""

from __future__ import annotations

import math
from collections.abc import Iterator

from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.by_class import CLASSES_MAX
from toolchain.agent.measure.conditions import is_throttled
from toolchain.agent.measure.drift import OutputDrift
from toolchain.agent.measure.footprint.figures import Footprint
from toolchain.agent.measure.layer_times import KERNELS_MAX, LayerTimes
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.parity import OutputParity
from toolchain.agent.measure.quantiles import Latency, Ratio
from toolchain.agent.measure.record import CandidateRecord, Evaluation, MetricResult, Record
from toolchain.agent.measure.sqnr import SQNR_DB_LIMIT
from toolchain.agent.measure.validity import Validity, find_disturbances, has_tail
from toolchain.agent.measure.verify import LATENCY_SCOPE
from toolchain.agent.measure.worst import SAMPLES_MAX, TEXT_MAX
from toolchain.deploy.words import contradict

# Two ways to add up the same numbers differ in their last digits.
_ROUNDING = 1e-9
# A Python that has imported numpy has 25 MB; a megabyte is none that runs anything.
_LEAST_BYTES = 1_000_000
# The kernel counts the time without a CPU by a clock of its own.
_TICK = 1.01


def check_consistent(record: Record, manifest: Manifest) -> None:
    """Refuse (exit 20) a record of which one part cannot be where the other is."""
    _check_measurement(record, manifest)
    if manifest.emulated:
        _check_unmeasured(record)
    for where, latency in _list_latencies(record):
        _check_latency(latency, where, is_emulated=manifest.emulated)
    for name, candidate in zip(record.names, record.candidates, strict=True):
        if candidate.footprint is not None:
            _check_footprint(name, candidate.footprint, candidate, record, manifest)
        if candidate.layer_times is not None:
            _check_layer_times(name, candidate, candidate.layer_times, is_emulated=manifest.emulated)
        if candidate.evaluation is not None and candidate.evaluation.mismatch is None:
            _check_evaluation(name, candidate.evaluation, manifest)


def _list_latencies(record: Record) -> Iterator[tuple[str, Latency]]:
    for reference in record.references:
        yield reference.payload.path, reference.latency
    for name, candidate in zip(record.names, record.candidates, strict=True):
        yield name, candidate.latency


def _check_measurement(record: Record, manifest: Manifest) -> None:
    if record.latency_scope != LATENCY_SCOPE or record.batch < 1:
        raise contradict("latency_scope", LATENCY_SCOPE, f"{record.latency_scope}, batch {record.batch}")
    if not 0 <= record.latency_sample <= manifest.golden.samples - record.batch:
        raise contradict("latency_sample", f"one of {manifest.golden.samples}", str(record.latency_sample))
    for reference in record.references:
        is_original = reference.payload.path == manifest.original.path
        if reference.is_original != is_original:
            raise contradict(reference.payload.path, f"is_original {is_original}", str(reference.is_original))
    medians_ms = [reference.latency.p50_ms for reference in record.references]
    known_ms = [median_ms for median_ms in medians_ms if median_ms is not None]
    if known_ms and medians_ms[record.fastest] != min(known_ms):
        raise contradict(
            "fastest", f"the reference of {min(known_ms):g} ms", f"that of {medians_ms[record.fastest]} ms"
        )
    if len(record.conditions) != (0 if manifest.emulated else 2):
        raise contradict("conditions", "those before and after the measurement", str(len(record.conditions)))
    throttled = is_throttled(*record.conditions) if record.conditions else None
    if record.throttled != throttled:
        raise contradict("throttled", str(throttled), str(record.throttled))
    found = list(find_disturbances(*record.conditions)) if record.conditions else []
    found += [
        f"{name}: a tenth of the runs takes twice the median"
        for name, item in _list_latencies(record)
        if has_tail(item)
    ]
    if found and not record.validity.problems:
        raise contradict("validity", "; ".join(found), "no problem")


def _check_unmeasured(record: Record) -> None:
    """Refuse speedups of an emulated board, and what would speak against their measurement."""
    ratios = [candidate.over_reference for candidate in record.candidates]
    ratios += [ratio for candidate in record.candidates for ratio in candidate.over_later.values()]
    if record.validity != Validity() or any(ratio != Ratio(None, None, None) for ratio in ratios):
        raise contradict("latency", "no ratio and no problem, on an emulated board", f"{ratios}, {record.validity}")


def _check_latency(latency: Latency, where: str, *, is_emulated: bool) -> None:
    pairs = (
        (latency.p50_ms, latency.p50_upper_ms),
        (latency.p90_ms, latency.p90_upper_ms),
        (latency.p99_ms, latency.p99_upper_ms),
    )
    for value, upper in pairs:
        if (value is None) != (upper is None) or (value is not None and upper is not None and value > upper):
            raise contradict(f"{where}: latency", "quantiles, each under its upper bound", f"{value}, {upper}")
    values = [value for value, _ in pairs if value is not None]
    if values != sorted(values) or [value is None for value, _ in pairs] != sorted(value is None for value, _ in pairs):
        raise contradict(f"{where}: latency", "p50 ≤ p90 ≤ p99", str([value for value, _ in pairs]))
    if (latency.samples > 0) == is_emulated or (latency.mean_ms is None) != (latency.samples == 0):
        expected = "none, on an emulated board" if is_emulated else "samples, and their mean"
        raise contradict(f"{where}: latency", expected, f"{latency.samples} samples, mean {latency.mean_ms}")


def _check_footprint(
    name: str, footprint: Footprint, candidate: CandidateRecord, record: Record, manifest: Manifest
) -> None:
    """Refuse processes of no time or of no memory, and those of what was not run."""
    where = f"{name}: footprint"
    if candidate.evaluation is None or (manifest.emulated and len(footprint.runs) > 1):
        raise contradict(where, "none, where nothing is evaluated or timed", f"{len(footprint.runs)} processes")
    if footprint.batch != record.batch or footprint.largest_batch < footprint.batch:
        found = f"batch {footprint.batch} to {footprint.largest_batch}"
        raise contradict(where, f"batch {record.batch}, or more at the most", found)
    for run in footprint.runs:
        waited_ms = 0.0 if run.waited_ms is None else run.waited_ms
        if not 0 < run.load_ms < run.start_ms or run.runs < 1 or not 0 <= waited_ms <= run.start_ms * _TICK:
            found = f"{run.load_ms:g} ms of {run.start_ms:g} ms, {run.runs} runs, {waited_ms:g} ms without a CPU"
            raise contradict(where, "a start, and within it what loads the payload and runs it", found)
        resident = [peak for peak in (run.peak_bytes, run.largest_peak_bytes) if peak is not None]
        device = [peak for peak in (run.device_peak_bytes, run.largest_device_peak_bytes) if peak is not None]
        # The batch grows from the first to the second, and a peak never falls.
        if resident != sorted(resident) or device != sorted(device) or min([*resident, _LEAST_BYTES]) < _LEAST_BYTES:
            raise contradict(
                where, f"peaks of {_LEAST_BYTES} bytes and more, none below the one before", f"{resident}, {device}"
            )
        if min(device, default=0) < 0 or (run.peak_bytes is None and not run.unknown):
            raise contradict(where, "a peak, or why there is none", f"{resident}, {device}")


def _check_layer_times(name: str, candidate: CandidateRecord, times: LayerTimes, *, is_emulated: bool) -> None:
    """Refuse the times of another payload's layers, and times that no run has; no gate reads them, but people do."""
    where = f"{name}: layer_times"
    if is_emulated:
        raise contradict(where, "none, on an emulated board", f"those of {len(times.kernels)} kernels")
    if times.sha256 != candidate.payload.sha256:
        raise contradict(where, f"those of the payload {candidate.payload.sha256}", f"those of {times.sha256}")
    numbers = [times.run_us, times.left_out_us, *(kernel.median_us for kernel in times.kernels)]
    if times.peaks is not None:
        numbers += times.peaks.list_speeds()
    if min(numbers) < 0 or min(times.runs, times.left_out) < 0:
        raise contradict(where, "times and speeds of 0 or more", f"{min(numbers):g}")
    if len(times.kernels) > KERNELS_MAX or bool(times.kernels) != (times.problem is None):
        found = f"{len(times.kernels)} kernels, problem {times.problem}"
        raise contradict(where, f"1 to {KERNELS_MAX} kernels, or why there are none", found)
    if times.peaks is not None and times.peaks_problem is not None:
        raise contradict(where, "peaks, or why there are none", f"both: {times.peaks_problem}")
    told = [name for kernel in times.kernels for name in kernel.layers]
    strange = sorted(set(told).difference(layer.name for layer in candidate.placement.layers))
    if strange or len(set(told)) != len(told):
        found = f"{strange[0]}, which is none" if strange else "one of them in two kernels"
        raise contradict(where, "layers of the placement, each in one kernel", found)


def _check_evaluation(name: str, evaluation: Evaluation, manifest: Manifest) -> None:
    metric = evaluation.metric
    if len(evaluation.by_class) > CLASSES_MAX or len(evaluation.worst) > SAMPLES_MAX:
        found = f"{len(evaluation.by_class)} and {len(evaluation.worst)}"
        raise contradict(name, f"at most {CLASSES_MAX} classes and {SAMPLES_MAX} worst samples", found)
    for sample in evaluation.worst:
        if not 0 <= sample.index < evaluation.samples:
            raise contradict(f"{name}: worst", f"one of {evaluation.samples} samples", str(sample.index))
        longest = max(len(text or "") for text in (sample.text, sample.reference.text, sample.deployed.text))
        if longest > TEXT_MAX:
            raise contradict(f"{name}: worst", f"texts of at most {TEXT_MAX} characters", str(longest))
    for parity in evaluation.parity:
        _check_parity(parity, f"{name}: parity {parity.output}")
    for drift in evaluation.drift:
        _check_drift(drift, f"{name}: drift {drift.output}", None if manifest.golden.stacked else evaluation.samples)
    if manifest.golden.originals == manifest.golden.outputs:  # nothing was compressed: one comparison is both
        own = [(item.output, item.max_abs, item.sqnr_db, item.nonfinite) for item in evaluation.parity]
        told = [(item.output, item.max_abs, item.sqnr_db, item.nonfinite) for item in evaluation.drift]
        if own != told:
            raise contradict(f"{name}: drift", str(own), str(told))
    if metric is not None:
        _check_metric(metric, evaluation, manifest, f"{name}: metric")


def _check_metric(metric: MetricResult, evaluation: Evaluation, manifest: Manifest, where: str) -> None:
    if metric.reference != manifest.metric.reference:
        raise contradict(where, str(manifest.metric.reference), str(metric.reference))
    drop = find_metric(metric.name).SCALE.measure_drop(metric.reference, metric.deployed)
    if not math.isclose(drop, metric.drop, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
        raise contradict(where, f"a drop of {drop:g}", f"{metric.drop:g}")
    bounds = [bound for bound in (metric.drop_lower, metric.drop_upper) if bound is not None]
    if len(bounds) == 1 or bounds != sorted(bounds):
        raise contradict(where, "two bounds around the drop, or none", f"{metric.drop_lower}, {metric.drop_upper}")
    if metric.samples != evaluation.samples:
        raise contradict(where, f"{evaluation.samples} samples", str(metric.samples))


def _check_parity(parity: OutputParity, where: str) -> None:
    _check_error(where, max_abs=parity.max_abs, sqnr_db=parity.sqnr_db, nonfinite=parity.nonfinite)
    if not 0 <= parity.p99_abs <= parity.max_abs or abs(parity.cosine) > 1.0:
        found = f"p99 {parity.p99_abs:g}, largest {parity.max_abs:g}, cosine {parity.cosine:g}"
        raise contradict(where, "0 ≤ p99 ≤ the largest error, a cosine of -1 to 1", found)


def _check_drift(drift: OutputDrift, where: str, rows: int | None) -> None:
    _check_error(where, max_abs=drift.max_abs, sqnr_db=drift.sqnr_db, nonfinite=drift.nonfinite)
    varying = drift.varying
    if not 0 <= varying.lost <= varying.channels or not 0 <= varying.constant <= varying.channels:
        raise contradict(where, f"of {varying.channels} channels", f"{varying.constant} constant, {varying.lost} lost")
    if (varying.varying_db is None) != (varying.constant == varying.channels):
        found = f"{varying.varying_db} dB, {varying.constant} of {varying.channels} channels constant"
        raise contradict(where, "a variation unless every channel is constant", found)
    if rows and drift.agreement is not None:
        answers = drift.agreement * rows
        if abs(answers - round(answers)) > _ROUNDING * rows:
            raise contradict(where, f"a number of {rows} answers", f"{drift.agreement} of them")


def _check_error(where: str, *, max_abs: float, sqnr_db: float, nonfinite: int) -> None:
    if max_abs < 0 or nonfinite < 0 or abs(sqnr_db) > SQNR_DB_LIMIT:
        expected = f"an error of 0 or more, and ±{SQNR_DB_LIMIT:g} dB"
        raise contradict(where, expected, f"{max_abs:g}, {sqnr_db:g} dB, {nonfinite} not finite")
    if nonfinite and sqnr_db != -SQNR_DB_LIMIT:
        raise contradict(where, f"{-SQNR_DB_LIMIT:g} dB, as {nonfinite} values are not finite", f"{sqnr_db:g} dB")
    if not nonfinite and max_abs == 0 and sqnr_db != SQNR_DB_LIMIT:
        raise contradict(where, f"{SQNR_DB_LIMIT:g} dB, as nothing differs", f"{sqnr_db:g} dB")
