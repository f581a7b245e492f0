"""A board that lies about the second of two runtimes, or about threads, is refused like one that lies about the first."""

import copy
import dataclasses
import json
import random

import pytest

from tests.made_record import (
    BUNDLE_ID,
    make_candidate,
    make_evaluation,
    make_facts,
    make_manifest,
    make_parity,
    make_record,
    make_reference,
)
from toolchain.agent.candidates import Candidate
from toolchain.agent.measure.conditions import Conditions
from toolchain.agent.measure.judge import judge_record
from toolchain.agent.measure.latency import Measurement
from toolchain.agent.measure.references import list_references
from toolchain.agent.measure.verify import Verification
from toolchain.deploy.answer import judge_answer
from toolchain.deploy.transport import Measured
from toolchain.errors import ExitCode, ToolchainError

ORT, VINO = "onnxruntime", "openvino"
# What one run takes, in ns: the second runtime is the faster one, and two threads are.
USUAL_NS = {
    "int8 onnxruntime 1 thread": 1_000_000,
    "int8 onnxruntime 2 threads": 800_000,
    "int8 openvino 1 thread": 700_000,
    "int8 openvino 2 threads": 500_000,
    "float32 onnxruntime 1 thread": 2_000_000,
    "float32 onnxruntime 2 threads": 1_500_000,
    "float32 openvino 1 thread": 1_800_000,
    "float32 openvino 2 threads": 1_100_000,
}
ROUNDS, BLOCK = 36, 10


def make_bundle_of_both():
    candidates = [
        Candidate(
            precision, runtime=runtime, threads=threads, pins_threads=False, path=f"payload/{precision}/model.onnx"
        )
        for precision in ("int8", "float32")
        for runtime in (ORT, VINO)
        for threads in (1, 2)
    ]
    made = make_manifest(candidates=tuple(candidates))
    versions = {ORT: ">=1.23", VINO: ">=2024.4"}
    return dataclasses.replace(
        made,
        compatible=dataclasses.replace(made.compatible, runtime_versions=versions),
        gates=dataclasses.replace(made.gates, int8_share_min=None),
    )


MANIFEST = make_bundle_of_both()


def measure():
    chance = random.Random(7)
    blocks = {name: [] for name in USUAL_NS}
    for _ in range(ROUNDS):
        for name, usual_ns in USUAL_NS.items():
            blocks[name].append([int(usual_ns * chance.uniform(1, 1.02)) for _ in range(BLOCK)])
    return Measurement(blocks_ns=blocks, steady=dict.fromkeys(blocks, True))


def make_honest():
    """Return what an honest board says, as JSON gave it back, and its samples."""
    measured, names = measure(), MANIFEST.names
    fastest = "float32 openvino 2 threads"
    openings = {candidate.opening: name for name, candidate in zip(names, MANIFEST.candidates, strict=True)}
    references = []
    for opening in list_references(MANIFEST):
        is_ours = opening.path == MANIFEST.reference
        made = make_reference("float32" if is_ours else "original")
        latency = (
            measured.summarize(openings[opening]) if is_ours else measured.summarize("float32 onnxruntime 1 thread")
        )
        references.append(
            dataclasses.replace(
                made,
                runtime=opening.runtime,
                threads=opening.threads,
                pins_threads=opening.pins_threads,
                latency=latency,
            )
        )
    candidates = []
    for index, (name, way) in enumerate(zip(names, MANIFEST.candidates, strict=True)):
        later = names[index + 1 :]
        made = make_candidate(
            way.precision,
            evaluation=make_evaluation(parity=(make_parity(30.0),)) if name == "int8 openvino 2 threads" else None,
            latency=measured.summarize(name),
            over_reference=measured.compare(fastest, name)
            if name != fastest
            else make_candidate("float32").over_reference,
            over_later={other: measured.compare(other, name) for other in later},
        )
        candidates.append(
            dataclasses.replace(made, runtime=way.runtime, threads=way.threads, pins_threads=way.pins_threads)
        )
    one = dataclasses.replace(candidates[-1].over_reference, ratio=1.0, low=1.0, high=1.0)
    candidates[-1] = dataclasses.replace(candidates[-1], over_reference=one)
    record = make_record(
        devices={ORT: make_facts(), VINO: make_facts(runtime=VINO, runtime_version="2026.4.1")},
        environments={ORT: {"runtime": ORT}, VINO: {"runtime": VINO, "runtime_version": "2026.4.1"}},
        references=tuple(references),
        fastest=next(index for index, item in enumerate(references) if openings.get(item.opening) == fastest),
        candidates=tuple(candidates),
        conditions=tuple(Conditions({}, {}, {}, counters={"monotonic_ns": time_ns}) for time_ns in (0, 10**10)),
    )
    verification = Verification(record=record, judgement=judge_record(record, MANIFEST), samples_ms={})
    samples = {name: measured.list_samples_ms(name) for name in names}
    samples["reference"] = samples[fastest]
    return json.loads(json.dumps(verification.describe())), samples


def judge(document, samples_ms, **changes):
    return judge_answer(
        Measured(document=document, samples_ms=samples_ms, **changes), MANIFEST, BUNDLE_ID, is_signed=False
    )


def test_an_honest_board_is_believed_and_its_fastest_int8_ships_against_the_fastest_float():
    answer = judge(*make_honest())
    shipped = answer.judgement.shipped
    assert (shipped.precision, shipped.runtime, shipped.threads) == ("int8", VINO, 2)
    assert (answer.record.reference.runtime, answer.record.reference.threads) == (VINO, 2)
    ratio = answer.record.candidates[3].over_reference.ratio
    assert 2.0 < ratio < 2.4  # 1.1 ms over 0.5, and not the 2.0 over 0.5 of one thread of the first runtime


RECORD = ("record",)
SECOND = (*RECORD, "candidates", 3)
FALSE = {"ratio": 9.0, "low": 8.0, "high": 10.0, "full_speed": None, "slowed": None, "note": None}
CLOSED = [{"path": "payload/original/model.onnx", "runtime": VINO, "reason": "no such operator"}]
LIES = [
    ((*SECOND, "latency", "p50_ms"), 0.1, ExitCode.INVALID),
    ((*SECOND, "runtime"), ORT, ExitCode.MALFORMED),
    ((*SECOND, "threads"), 1, ExitCode.MALFORMED),
    ((*SECOND, "over_later", "float32 openvino 2 threads"), FALSE, ExitCode.INVALID),
    ((*RECORD, "candidates", 0, "over_later", "int8 openvino 2 threads"), FALSE, ExitCode.INVALID),
    ((*SECOND, "over_later"), {}, ExitCode.MALFORMED),
    ((*SECOND, "over_reference"), FALSE, ExitCode.INVALID),
    ((*SECOND, "evaluation"), None, ExitCode.INVALID),  # its turn, and it was not run
    ((*RECORD, "devices", VINO, "runtime_version"), "2020.1", ExitCode.INVALID),  # the bundle is not for it
    ((*RECORD, "devices", VINO, "runtime"), ORT, ExitCode.MALFORMED),
    ((*RECORD, "devices"), {}, ExitCode.MALFORMED),
    ((*RECORD, "environments", "tensorrt"), {}, ExitCode.MALFORMED),
    ((*RECORD, "fastest"), 0, ExitCode.INVALID),  # one thread of float for two threads of int8
    ((*RECORD, "references", 7, "latency", "p50_ms"), 3.0, ExitCode.INVALID),
    ((*RECORD, "unopened"), CLOSED, ExitCode.MALFORMED),  # and all the same among the references
    (("shipped", "runtime"), ORT, ExitCode.INVALID),
    (("shipped", "threads"), 1, ExitCode.INVALID),
]


def change(document, path, value):
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize(("path", "value", "code"), LIES, ids=lambda item: str(item)[:60])
def test_a_lie_about_the_second_runtime_or_the_threads_is_refused(path, value, code):
    document, samples_ms = make_honest()
    with pytest.raises(ToolchainError) as caught:
        judge(change(document, path, value), samples_ms)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


def drop_references(document, *, path, runtime):
    """Leave out the references of a file by a runtime, as a board does that does not open it."""
    changed = copy.deepcopy(document)
    record = changed["record"]
    kept = [item for item in record["references"] if (item["payload"]["path"], item["runtime"]) != (path, runtime)]
    record["fastest"] = kept.index(record["references"][record["fastest"]])
    record["references"] = kept
    return changed


def test_a_float_model_that_one_runtime_does_not_open_may_be_left_out_if_it_is_said():
    document, samples_ms = make_honest()
    without = drop_references(document, path="payload/original/model.onnx", runtime=VINO)
    assert judge(change(without, (*RECORD, "unopened"), CLOSED), samples_ms).judgement.verdict == "pass"
    with pytest.raises(ToolchainError) as caught:
        judge(without, samples_ms)
    assert caught.value.code == ExitCode.MALFORMED


def test_a_float_model_that_no_runtime_opens_or_that_is_a_candidate_is_not_left_out():
    document, samples_ms = make_honest()
    original = "payload/original/model.onnx"
    neither = drop_references(drop_references(document, path=original, runtime=VINO), path=original, runtime=ORT)
    closed = [*CLOSED, {**CLOSED[0], "runtime": ORT}]
    with pytest.raises(ToolchainError) as caught:
        judge(change(neither, (*RECORD, "unopened"), closed), samples_ms)
    assert caught.value.code == ExitCode.MALFORMED
    ours = drop_references(document, path="payload/float32/model.onnx", runtime=ORT)
    closed = [{"path": "payload/float32/model.onnx", "runtime": ORT, "reason": "a lie"}]
    with pytest.raises(ToolchainError) as caught:
        judge(change(ours, (*RECORD, "unopened"), closed), samples_ms)
    assert caught.value.code == ExitCode.MALFORMED


def test_a_board_that_was_another_one_by_the_second_runtime_is_refused():
    before = {VINO: make_facts(runtime=VINO, runtime_version="2025.0.0")}
    with pytest.raises(ToolchainError) as caught:
        judge(*make_honest(), facts=before)
    assert caught.value.code == ExitCode.INVALID
