"""What a board answered, read strictly and judged again: the host believes what was measured, and no board's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolchain.agent.candidates import Opening
from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.facts import check_compatible
from toolchain.agent.measure.judge import Judgement, judge_record
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.quantiles import Ratio
from toolchain.agent.measure.record import CandidateRecord, MetricResult, Record, ReferenceRecord, read_record
from toolchain.agent.measure.references import list_references
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.deploy.consistent import check_consistent
from toolchain.deploy.series import check_series
from toolchain.deploy.transport import Measured
from toolchain.deploy.words import check_recorded, check_same_board, contradict
from toolchain.errors import ExitCode, ToolchainError, malformed

_Row = tuple[str, str, int, bool, str, int, str]
"""What is said of a payload: precision or role, runtime, threads, whether these are pinned, path, size, hash."""

_FIX = "look at the board: its agent, or something in its place, does not say what it measured"


@dataclass(frozen=True)
class Answer:
    """What was measured, and the host's own verdict on it."""

    record: Record
    judgement: Judgement


def judge_answer(
    measured: Measured,
    manifest: Manifest,
    bundle_id: str,
    *,
    is_signed: bool,
    pinned: str | None = None,
    settings: MeasureSettings | None = None,
) -> Answer:
    """Return what was measured of a bundle and the host's verdict on it, where nothing that the board says contradicts it.

    `settings` are those that were asked for. Raises ToolchainError as read_answer does: exit 11 too where the board answers
    for another bundle, and 20 where it contradicts itself: what was derived is not what its samples and conditions say
    (consistent.py, series.py), it is another board than before or none that the bundle is for, it recorded another payload than it proved, or names a
    signer of what nobody signed.
    """
    try:
        answer = read_answer(measured.document, manifest, bundle_id, pinned=pinned)
    except ToolchainError as error:
        if error.code != ExitCode.INCOMPATIBLE:
            raise
        # An agent refuses a bundle that is not for its board before it measures: exit 12 is its own to say.
        raise contradict(f"device: {error.where}", str(error.expected), str(error.found)) from error
    check_consistent(answer.record, manifest)
    check_series(measured.samples_ms, answer.record, manifest, settings)
    for runtime, device in answer.record.devices.items():
        check_same_board(measured.facts.get(runtime), device)
    check_recorded(measured, answer.judgement, manifest, bundle_id)
    check_signer(is_signed=is_signed, signer=measured.signer)
    return answer


def read_answer(
    document: Mapping[str, Any], manifest: Manifest, bundle_id: str, *, pinned: str | None = None
) -> Answer:
    """Return what a board measured of this bundle, and the verdict on it.

    Raises ToolchainError: exit 11 where it is about another bundle, 12 where the board is none that the bundle is for, 20
    where the board's verdict is not what its measurements say, 23 where it cannot be read.
    """
    record = read_record(document.get("record"))
    if record.bundle_id != bundle_id:
        what = "the board measured another bundle than the one that was sent"
        raise ToolchainError(
            ExitCode.CONTENT, what, where="bundle_id", expected=bundle_id, found=record.bundle_id, fix=_FIX
        )
    _check_payloads(record, manifest)
    _check_plausible(record, manifest)
    if record.pinned != pinned:
        raise _refuse("pinned", str(pinned), str(record.pinned))
    for device in record.devices.values():
        check_compatible(manifest.compatible, device)
    judgement = judge_record(record, manifest)
    _compare_verdicts(document, judgement)
    return Answer(record=record, judgement=judgement)


def _check_payloads(record: Record, manifest: Manifest) -> None:
    """Refuse (exit 23) measurements of other payloads than those of the bundle, opened otherwise, in another order, or of fewer."""
    files = {entry.path: entry for entry in manifest.files}

    def describe(name: str, opening: Opening) -> _Row:
        entry = files[opening.path]
        way = (opening.runtime, opening.threads, opening.pins_threads)
        return (name, *way, entry.path, entry.size_bytes, entry.sha256)

    def read(name: str, item: CandidateRecord | ReferenceRecord) -> _Row:
        payload = item.payload
        way = (item.runtime, item.threads, item.pins_threads)
        return (name, *way, payload.path, payload.size_bytes, payload.sha256)

    closed = {(item.path, item.runtime) for item in record.unopened}
    references = list_references(manifest)
    expected = [describe(candidate.precision, candidate.opening) for candidate in manifest.candidates]
    expected += [
        describe("reference", opening) for opening in references if (opening.path, opening.runtime) not in closed
    ]
    found = [read(candidate.precision, candidate) for candidate in record.candidates]
    found += [read("reference", reference) for reference in record.references]
    if found != expected:
        raise _refuse("payloads", _join(expected), _join(found))
    _check_unopened(closed, references, manifest)
    told = {name: device.runtime for name, device in record.devices.items()}
    if told != {name: name for name in manifest.runtimes} or {*record.environments} - {*told}:
        raise _refuse("runtime", ", ".join(manifest.runtimes), f"{told}, {', '.join(record.environments)}")


def _check_unopened(closed: set[tuple[str, str]], references: Sequence[Opening], manifest: Manifest) -> None:
    """Refuse float models that are said not to open, where each opens somewhere, and what is a candidate everywhere."""
    candidates = {(candidate.path, candidate.runtime) for candidate in manifest.candidates}
    optional = {(opening.path, opening.runtime) for opening in references} - candidates
    lost = [
        path
        for path in {opening.path for opening in references}
        if all((path, runtime) in closed for runtime in manifest.runtimes)
    ]
    if closed - optional or lost:
        raise _refuse("unopened", "float models that another runtime opens", ", ".join(map(str, sorted(closed))))


def _check_plausible(record: Record, manifest: Manifest) -> None:
    """Refuse (exit 23) numbers that nothing has: a share above 1, a count or a time below 0, an interval upside down."""
    names = record.names
    for index, candidate in enumerate(record.candidates):
        name, later = names[index], names[index + 1 :]
        if sorted(candidate.over_later) != sorted(later):
            found = ", ".join(candidate.over_later) or "none"
            raise _refuse(f"{name}: over_later", f"a ratio of {', '.join(later) or 'none'}", found)
        _check_ratio(candidate.over_reference, f"{name}: over_reference")
        for other, ratio in candidate.over_later.items():
            _check_ratio(ratio, f"{name}: over_later {other}")
        for layer in candidate.placement.layers:
            if layer.macs is not None and layer.macs < 0:
                raise _refuse(f"{name}: {layer.name}", "0 MACs or more", str(layer.macs))
        evaluation = candidate.evaluation
        shares = [row.agreement for row in (() if evaluation is None else evaluation.drift)]
        if evaluation is not None and evaluation.metric is not None:
            _check_metric(evaluation.metric, manifest, name)
        wrong = [share for share in shares if share is not None and not 0.0 <= share <= 1.0]
        if wrong:
            raise _refuse(f"{name}: agreement", "fractions, 0 to 1", str(wrong[0]))
    latencies = [reference.latency for reference in record.references]
    latencies += [candidate.latency for candidate in record.candidates]
    for latency in latencies:
        times = [latency.p50_ms, latency.p50_upper_ms, latency.p90_ms, latency.p90_upper_ms, latency.p99_ms]
        times += [latency.p99_upper_ms, latency.mean_ms, latency.cv]
        wrong = [value for value in (*times, latency.samples) if value is not None and value < 0]
        if wrong:
            raise _refuse("latency", "0 or more", str(wrong[0]))


def _check_metric(metric: MetricResult, manifest: Manifest, candidate: str) -> None:
    name = manifest.metric.name
    if name is None or metric.name != name:
        raise _refuse(f"{candidate}: metric", name or "none", metric.name)
    scale = find_metric(name).SCALE
    for value in (metric.reference, metric.deployed):
        if not scale.contains(value):
            expected = f"{min(scale.worst, scale.best):g} to {max(scale.worst, scale.best):g}"
            raise _refuse(f"{candidate}: metric", f"{name}, {expected}", str(value))


def _check_ratio(ratio: Ratio, where: str) -> None:
    bounds = [value for value in (ratio.low, ratio.high) if value is not None]
    # Where a series wanders, its interval is stretched (episodes.py), and may begin below 0.
    if bounds != sorted(bounds) or (ratio.ratio is not None and ratio.ratio <= 0):
        raise _refuse(where, "low ≤ high, a ratio above 0", f"{ratio.low}, {ratio.ratio}, {ratio.high}")


def _join(rows: Sequence[_Row]) -> str:
    return (
        ", ".join(
            f"{name} {path} by {runtime}, {threads} {'pinned ' if pins_threads else ''}threads, {sha256[:12]}"
            for name, runtime, threads, pins_threads, path, _, sha256 in rows
        )
        or "none"
    )


def _compare_verdicts(document: Mapping[str, Any], judgement: Judgement) -> None:
    own = {
        "verdict": judgement.verdict,
        "exit_code": int(judgement.exit_code),
        "shipped": None if judgement.shipped is None else asdict(judgement.shipped),
    }
    claimed = {name: document.get(name) for name in own}
    if claimed != own:
        what = "the board's verdict is not what its measurements say"
        differing = next(name for name, value in own.items() if claimed[name] != value)
        expected, found = str(own[differing]), str(claimed[differing])
        raise ToolchainError(ExitCode.INVALID, what, where=differing, expected=expected, found=found, fix=_FIX)


def _refuse(where: str, expected: str, found: str) -> ToolchainError:
    return malformed(
        "the board measured something else than was sent", where=where, expected=expected, found=found, fix=_FIX
    )


def check_signer(*, is_signed: bool, signer: str | None) -> None:
    """Refuse (exit 20) a board that names a signer for a bundle that nobody signed."""
    if signer is not None and not is_signed:
        what = "the board names a signer of a bundle that is not signed"
        raise ToolchainError(ExitCode.INVALID, what, where="signer", expected="none", found=signer, fix=_FIX)
