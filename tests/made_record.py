"""A record as a board's agent makes it, and the manifest of its bundle, without a board: every field is a test's to change."""

import dataclasses

from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.bundle_files import FileEntry
from toolchain.agent.candidates import Candidate
from toolchain.agent.manifest import (
    SCHEMA,
    Compatible,
    Gates,
    Golden,
    Manifest,
    MetricSpec,
    Original,
    TensorSpec,
)
from toolchain.agent.measure.drift import OutputDrift
from toolchain.agent.measure.facts import Facts
from toolchain.agent.measure.footprint.figures import Footprint, FreshRun
from toolchain.agent.measure.parity import OutputParity
from toolchain.agent.measure.placement import Layer, Placement
from toolchain.agent.measure.quantiles import Ratio, summarize_latency
from toolchain.agent.measure.record import (
    RECORD_SCHEMA,
    CandidateRecord,
    Evaluation,
    MetricResult,
    Payload,
    Record,
    ReferenceRecord,
)
from toolchain.agent.measure.validity import Validity
from toolchain.agent.measure.variation import Varying

NO_GATES = Gates(metric_drop_max=None, sqnr_db_min={}, int8_share_min=None, latency_p90_ms_max=None)
STRICT = Gates(metric_drop_max=0.005, sqnr_db_min={"int8": 25.0}, int8_share_min=0.9, latency_p90_ms_max=2.0)
FASTER = Ratio(ratio=2.0, low=1.9, high=2.1)
LEVEL = Ratio(ratio=1.0, low=0.999, high=1.001)
LUCKY = Ratio(ratio=1.006, low=0.994, high=1.018)
NOISE = Ratio(ratio=1.5, low=0.9, high=2.0)
UNKNOWN = Ratio(ratio=None, low=None, high=None)
NO_METRIC = MetricSpec(name=None, reference=None)
SAMPLES = 1000
BUNDLE_ID = "5f" * 32
SHA256 = {"int8": "9c" * 32, "bf16": "5d" * 32, "float32": "3b" * 32, "original": "0a" * 32}
SIZE_BYTES = {"int8": 101_873, "bf16": 162_491, "float32": 315_210, "original": 316_000}


def make_parity(sqnr_db=30.0, nonfinite=0, output="y"):
    return OutputParity(output=output, max_abs=0.1, p99_abs=0.1, cosine=0.99, sqnr_db=sqnr_db, nonfinite=nonfinite)


def make_varying(varying_db=25.0, channels=10, constant=0, lost=0):
    return Varying(varying_db=varying_db, channels=channels, constant=constant, lost=lost)


def make_drift(sqnr_db=30.0, nonfinite=0, agreement=0.99, is_scores=True, output="y", varying=None):
    return OutputDrift(
        output=output,
        max_abs=0.1,
        sqnr_db=sqnr_db,
        nonfinite=nonfinite,
        agreement=agreement,
        is_scores=is_scores,
        varying=varying or make_varying(),
    )


def make_metric(drop):
    return MetricResult(
        name="top1",
        reference=0.925,
        deployed=0.925 - drop,
        drop=0.925 - (0.925 - drop),
        samples=SAMPLES,
        drop_lower=drop - 0.001,
        drop_upper=drop + 0.001,
    )


def make_evaluation(**changes):
    good = Evaluation(
        mismatch=None, parity=(make_parity(),), drift=(make_drift(),), metric=make_metric(0.001), samples=SAMPLES
    )
    return dataclasses.replace(good, **changes)


def make_placement(int8, float32=0, *, uncounted=False):
    layers = [Layer(name="a", op="QLinearConv", precision="int8", macs=int8)]
    layers += [Layer(name="b", op="Conv", precision="float32", macs=float32)]
    layers += [Layer(name="c", op="Einsum", precision="float32", macs=None)] if uncounted else []
    return Placement(layers=tuple(layers))


def make_payload(name):
    path = f"payload/{name}/model.onnx"
    return Payload(path=path, size_bytes=SIZE_BYTES[name], sha256=SHA256[name], engine=None)


def make_fresh_run(**changes):
    good = FreshRun(
        start_ms=100.0,
        load_ms=40.0,
        waited_ms=0.0,
        runs=8,
        peak_bytes=60_000_000,
        device_peak_bytes=None,
        largest_peak_bytes=80_000_000,
        largest_device_peak_bytes=None,
    )
    return dataclasses.replace(good, **changes)


def make_footprint(**changes):
    others = [make_fresh_run(start_ms=100.0 + number, largest_peak_bytes=None) for number in range(7)]
    good = Footprint(batch=1, largest_batch=64, runs=(make_fresh_run(start_ms=300.0), *others))
    return dataclasses.replace(good, **changes)


def make_candidate(precision="int8", **changes):
    good = CandidateRecord(
        precision=precision,
        runtime="onnxruntime",
        threads=1,
        pins_threads=False,
        payload=make_payload(precision),
        evaluation=make_evaluation(),
        placement=make_placement(95, 5),
        latency=summarize_latency([1.0] * 100, steady=True),
        over_reference=FASTER,
        over_later={"float32": FASTER},
    )
    if precision == "float32":
        changes = {"placement": make_placement(0, 100), "over_reference": LEVEL, "over_later": {}, **changes}
        changes.setdefault("evaluation", None)
    return dataclasses.replace(good, **changes)


def make_reference(name="float32", **changes):
    latency = summarize_latency([2.0] * 100, steady=True)
    good = ReferenceRecord(
        payload=make_payload(name),
        runtime="onnxruntime",
        threads=1,
        pins_threads=False,
        is_original=name == "original",
        latency=latency,
    )
    return dataclasses.replace(good, **changes)


def make_facts(**changes):
    good = Facts(
        arch="x86_64",
        cpu="Intel(R) Xeon(R) Platinum 8488C",
        cpu_features=("avx2", "avx512_vnni"),
        os="Debian GNU/Linux 12",
        python="3.11.2",
        runtime="onnxruntime",
        runtime_version="1.32.0",
        accelerator=None,
    )
    return dataclasses.replace(good, **changes)


def make_record(**changes):
    good = Record(
        schema=RECORD_SCHEMA,
        bundle_id=BUNDLE_ID,
        devices={"onnxruntime": make_facts()},
        batch=1,
        latency_sample=0,
        latency_scope="session.run, host memory to host memory",
        references=(make_reference("original"), make_reference("float32")),
        unopened=(),
        fastest=1,
        candidates=(make_candidate("int8"), make_candidate("float32")),
        conditions=(),
        throttled=None,
        validity=Validity(),
        pinned=None,
    )
    return dataclasses.replace(good, **changes)


def make_manifest(**changes):
    files = {"golden/input-0.npy": 10, "golden/output-0.npy": 10, "golden/target-0.npy": 10}
    entries = [FileEntry(path=path, size_bytes=size, sha256="06" * 32) for path, size in files.items()]
    entries += [FileEntry(*dataclasses.astuple(make_payload(name))[:3]) for name in ("float32", "int8", "original")]
    good = Manifest(
        schema=SCHEMA,
        counter=7,
        expires=None,
        model="resnet8",
        target="cpu",
        emulated=False,
        signature="optional",
        compatible=Compatible(
            arch="x86_64", accelerator=None, runtime_versions={"onnxruntime": ">=1.23"}, cpu_features=()
        ),
        build=BuildSpec(),
        candidates=(
            Candidate("int8", runtime="onnxruntime", threads=1, pins_threads=False, path="payload/int8/model.onnx"),
            Candidate(
                "float32", runtime="onnxruntime", threads=1, pins_threads=False, path="payload/float32/model.onnx"
            ),
        ),
        reference="payload/float32/model.onnx",
        original=Original(
            path="payload/original/model.onnx", size_bytes=SIZE_BYTES["original"], sha256=SHA256["original"]
        ),
        inputs=(TensorSpec(name="x", dtype="float32", shape=(None, 3, 8, 8)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 4)),),
        golden=Golden(
            samples=SAMPLES,
            stacked=False,
            inputs={"x": "golden/input-0.npy"},
            outputs={"y": "golden/output-0.npy"},
            originals={"y": "golden/output-0.npy"},
            targets={"labels": "golden/target-0.npy"},
        ),
        metric=MetricSpec(name="top1", reference=0.925),
        gates=STRICT,
        provenance={},
        files=tuple(entries),
    )
    return dataclasses.replace(good, **changes)
