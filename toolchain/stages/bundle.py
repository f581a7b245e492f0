"""Bundle: payloads, golden arrays, the agent and the manifest in one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.manifest import Gates
from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.agent.sensor import InputSpec, OutputSpec
from toolchain.bundle.agent_files import list_agent_files
from toolchain.data.dataset import find_text_reader
from toolchain.project.freshness import Freshness
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target
from toolchain.run.cache import Entry, hash_file
from toolchain.stages.prove_input import is_reframed, prove_sample
from toolchain.stages.run import Run
from toolchain.tasks.scoring import describe_metric

if TYPE_CHECKING:
    from toolchain.bundle import GoldenBatch
    from toolchain.bundle.texts import GoldenTexts

LoweredFor = tuple[str, str]
"""The precision and the runtime of a payload."""


def bundle(
    run: Run,
    target: Target,
    candidates: Mapping[LoweredFor, Entry],
    *,
    reference: Entry,
    original: Entry,
    golden: Entry,
    float_golden: Entry,
    freshness: Freshness,
) -> Entry:
    """Return an entry whose folder `bundle` holds everything that the board needs.

    candidates: payloads by precision and runtime, in order of preference. reference: the uncompressed float model, optimized.
    original: the same as the user's own file, or plainly exported. golden: of the model that was lowered. float_golden: of
    the uncompressed float model, for metric and drift to compare with.
    """
    inputs = {
        **run.identify_code(__name__, *run.metric_members),
        "agent": _hash_agent(run, target.runtimes),
        "candidates": [[*lowered_for, entry.sha256] for lowered_for, entry in candidates.items()],
        "reference": [reference.sha256, original.sha256],
        "golden": [golden.sha256, float_golden.sha256],
        "model": run.recipe.name,
        "target": [target.name, target.model_dump()],
        "count": run.count_evaluation(),
        "provenance": run.describe_inputs(),
        **run.identify_input(),
        "classes": run.data.classes,
        "freshness": [freshness.counter, freshness.expires],
    }

    def build(folder: Path) -> None:
        from toolchain.agent.measure.traits import find_traits
        from toolchain.bundle import BundleInputs, Lowered, write_bundle
        from toolchain.bundle.golden import read_golden_outputs
        from toolchain.graph.session import open_as_board

        # The inputs and outputs of an ONNX file; what the board runs it with need not be here.
        session = open_as_board(reference.folder / "model.onnx", threads=target.threads)
        own = read_golden_outputs(float_golden.folder)
        inputs = BundleInputs(
            model=run.recipe.name,
            target=target.name,
            emulated=target.emulated,
            signature=target.signature,
            compatible=target.describe_compatible(),
            build=BuildSpec(**target.build.model_dump()),
            candidates=[
                Lowered(
                    precision=precision,
                    runtime=runtime,
                    path=entry.folder / "model.onnx",
                    ways=target.list_ways(runtime),
                )
                for (precision, runtime), entry in candidates.items()
            ],
            reference=reference.folder / "model.onnx",
            original=original.folder / "model.onnx",
            # A runtime that builds engines builds a quarter of an hour; an emulated board measures no speed.
            is_original_measured=find_traits(target.runtime).engine is None and not target.emulated,
            inputs=session.inputs,
            outputs=session.outputs,
            golden=_read_golden(run, reference, golden, float_golden),
            golden_samples=run.count_evaluation(),
            is_compressed=golden.sha256 != float_golden.sha256,
            golden_stacked=run.recipe.model.onnx is not None,
            targets={**run.take_targets(), **own.answers},
            metric=replace(describe_metric(run.recipe), reference=own.metric),
            gates=replace(
                merge_gates(run.recipe, target, trained_for_int8=_is_trained_for_int8(candidates)),
                task_sqnr_db_min=_find_task_gates(candidates),
            ),
            provenance=run.describe_inputs(),
            sensor=_describe_sensor(run, reference),
            text=_take_texts(run),
            output=OutputSpec(classes=run.data.classes or ()),
            counter=freshness.counter,
            expires=freshness.expires,
        )
        write_bundle(inputs, folder / "bundle")
        run.check_evaluation(float_golden.folder)
        if golden is not float_golden and not is_reframed(run):
            run.check_evaluation(golden.folder)

    entry = run.stage("bundle", inputs, build)
    _tell_unpinned(run, target)
    return entry


def _tell_unpinned(run: Run, target: Target) -> None:
    """Tell which runtimes and thread counts are candidates without pinning alone, where the target lists it."""
    if True not in target.pinning:
        return
    for runtime in target.runtimes:
        left = [str(threads) for threads in target.thread_counts if (threads, True) not in target.list_ways(runtime)]
        if left:
            run.note(f"{runtime} pins no threads where it has {' or '.join(left)}: no such candidate is pinned")


def _describe_sensor(run: Run, reference: Entry) -> InputSpec | None:
    """Return what feeds the payloads, under the name of their input."""
    from toolchain.graph.session import open_as_board

    section = run.recipe.input
    if section is None:
        return None
    name = section.name or open_as_board(reference.folder / "model.onnx", threads=1).inputs[0].name
    return run.describe_input(name)


def _take_texts(run: Run) -> GoldenTexts | None:
    """Return the tokenizer with the first texts of the evaluation."""
    from toolchain.bundle.texts import GOLDEN_TEXTS, GoldenTexts

    read = find_text_reader(run.data.evaluation)
    if run.text is None or read is None:
        return None
    texts = tuple(read(index) for index in range(min(GOLDEN_TEXTS, run.count_evaluation())))
    return GoldenTexts(text=run.text, texts=texts)


def _hash_agent(run: Run, runtimes: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of the agent's files that ride along: byte by byte, as they lie there, comments and all."""
    files = list_agent_files(run.sources, runtimes=runtimes, metric=describe_metric(run.recipe))
    return {name: hash_file(path) for name, path in files.items()}


def merge_gates(recipe: Recipe, target: Target, *, trained_for_int8: bool = False) -> Gates:
    """Return the gates of a bundle: the recipe's, and the board's where the recipe says nothing.

    A model trained for int8 is its int8 arithmetic, which the golden outputs are of. Float precisions of it leave that
    rounding out, and differ by as much as int8 may: they take int8's gate.
    """
    own, board = recipe.gates, target.gates
    sqnr_db_min = dict(own.sqnr_db_min)
    if trained_for_int8:
        int8_db = sqnr_db_min.get("int8", DEFAULT_SQNR_DB_MIN["int8"])
        sqnr_db_min = dict.fromkeys(DEFAULT_SQNR_DB_MIN, int8_db) | sqnr_db_min
    return Gates(
        metric_drop_max=own.metric_drop_max,
        sqnr_db_min=sqnr_db_min,
        int8_share_min=own.int8_share_min if own.int8_share_min is not None else board.int8_share_min,
        latency_p90_ms_max=own.latency_p90_ms_max if own.latency_p90_ms_max is not None else board.latency_p90_ms_max,
        drift_sqnr_db_min=own.drift_sqnr_db_min,
        agreement_min=own.agreement_min,
        precision_required=own.precision_required,
        limits=own.limits,
    )


def _is_trained_for_int8(candidates: Mapping[LoweredFor, Entry]) -> bool:
    return any(_read_lowering(entry)["trained_for_int8"] for entry in candidates.values())


def _find_task_gates(candidates: Mapping[LoweredFor, Entry]) -> dict[str, float]:
    """Return the SQNR gate of outputs that the metric reads, of the precisions about which it decided: for all runtimes."""
    decided: dict[str, list[float | None]] = {}
    for (precision, _), entry in candidates.items():
        accuracy = _read_lowering(entry).get("accuracy", {})
        by_task = accuracy.get("decides", "sqnr") != "sqnr"
        decided.setdefault(precision, []).append(accuracy["sqnr_db_min"] if by_task else None)
    limits = {precision: [each for each in found if each is not None] for precision, found in decided.items()}
    return {precision: max(found) for precision, found in limits.items() if len(found) == len(decided[precision])}


def _read_lowering(entry: Entry) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads((entry.folder / "lowering.json").read_text(encoding="utf-8"))
    return document


def _read_golden(run: Run, reference: Entry, golden: Entry, float_golden: Entry) -> Iterator[GoldenBatch]:
    """Yield every evaluation sample with the outputs that belong to it."""
    from toolchain.bundle import GoldenBatch
    from toolchain.bundle.golden import read_golden_outputs

    feeds = run.bind_evaluation(reference.folder / "model.onnx")
    outputs = read_golden_outputs(golden.folder).outputs
    originals = read_golden_outputs(float_golden.folder).outputs
    stacked = run.recipe.model.onnx is not None
    for index, feed in enumerate(feeds):
        prove_sample(run, index)
        yield GoldenBatch(
            inputs={name: array[None] if stacked else array for name, array in feed.items()},
            outputs={name: array[index : index + 1] for name, array in outputs.items()},
            originals={name: array[index : index + 1] for name, array in originals.items()},
        )
