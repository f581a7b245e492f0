"""The shape of report.json: a contract with the scripts that read it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

# pydantic turns these types into report.schema.json; on Python 3.11 it can do that only for this TypedDict.
from typing_extensions import TypedDict

from toolchain.report.explanation_shape import Explanation

Verdict = Literal["pass", "fail", "invalid"]
SignatureState = Literal["verified", "unsigned", "not checked"]
GateStatus = Literal["passed", "failed", "invalid", "undecided", "skipped"]
CandidateStatus = Literal["shipped", "rejected", "not needed"]

VERDICT_WORDS: dict[Verdict, str] = {"pass": "PASS", "fail": "FAIL", "invalid": "INVALID"}
"""As people read them."""

SCHEMA = 1
"""The version of report.json; it grows when a key changes its meaning or goes away, not when one is added."""
NO_REASON = "no reason was recorded"


class Device(TypedDict):
    """The unit that was measured, as it describes itself; `name` is ours of it, null for this machine."""

    name: str | None
    arch: str
    cpu: str
    cpu_features: list[str]
    os: str
    python: str
    runtime: str
    runtime_version: str
    threads: int
    pins_threads: NotRequired[bool]
    accelerator: str | None
    details: dict[str, Any]
    """The accelerator's: GPU, memory, driver, JetPack, power mode, clocks; null is unknown."""


class Engine(TypedDict):
    """What the runtime built of a payload on the board."""

    sha256: str
    size_bytes: int
    build_s: float
    reused: bool
    runtime_version: str
    gpu: str
    architecture: str
    power_mode: str | None
    gpu_fallback: list[str]
    cuda_graph: str | None


class Artifact(TypedDict):
    """One payload; the path is relative to the folder of report.json."""

    path: str
    size_bytes: int
    sha256: str


class Reference(Artifact):
    """The float model that speed is held against: the user's own file or ours of it, in whichever way is the fastest here."""

    is_original: bool
    runtime: NotRequired[str]
    threads: NotRequired[int]
    pins_threads: NotRequired[bool]
    """By what it was opened, and on how many threads, and whether each keeps to a CPU of its own. Reports of before have none of it."""


class Original(TypedDict):
    """The user's own file, or the plain export of the PyTorch model; path is null where it is no part of the bundle."""

    path: str | None
    size_bytes: int
    sha256: str


class Shipped(Artifact):
    """The payload that the verdict is about, and that applications get."""

    precision: str
    runtime: NotRequired[str]
    threads: NotRequired[int]
    pins_threads: NotRequired[bool]
    """By what it is opened, and on how many threads, and whether each keeps to a CPU of its own. Reports of before have none of it."""


class Metric(TypedDict):
    """The task metric on the evaluation samples; values and drop are in its unit.

    truth is what they are held against: the data's labels, or the answers of the uncompressed float model itself.
    unit is "fraction", or what stands behind the number, such as "px". direction says which values are better, higher or
    lower. drop is by how much the deployed artifact is worse, whatever the direction;
    with 99 % confidence it is drop_lower at the least and drop_upper at the most, null for a metric without an interval.
    """

    name: str
    truth: Literal["labels", "float"]
    unit: str
    direction: Literal["higher", "lower"]
    reference: float
    deployed: float
    drop: float
    drop_lower: float | None
    drop_upper: float | None
    samples: int


class Parity(TypedDict):
    """How far one output of the deployed artifact is from the model's that was lowered.

    sqnr_db is null where it is undefined; where max_abs and nonfinite are 0 the output is equal, whatever it says.
    """

    output: str
    max_abs: float | None
    p99_abs: float | None
    cosine: float | None
    sqnr_db: float | None
    nonfinite: int
    sqnr_db_min: float | None
    passed: bool


class Varying(TypedDict):
    """What of an output differs between samples: SQNR of that part alone, null where nothing differs.

    Of its channels (axis 1), constant are the same in all samples; the error of the lost ones is as large as their
    variation.
    """

    varying_db: float | None
    channels: int
    constant: int
    lost: int


class Drift(TypedDict):
    """How far one output of the deployed artifact is from the user's own model's.

    agreement is the share of samples with the same answer, null where the output holds none.
    """

    output: str
    max_abs: float
    sqnr_db: float
    nonfinite: int
    agreement: float | None
    is_scores: bool
    varying: Varying


class LatencyNumbers(TypedDict):
    """One latency distribution; a percentile is null where the samples are too few for it.

    pNN_upper_ms is the upper end of its 99 % confidence interval.
    """

    p50_ms: float | None
    p50_upper_ms: float | None
    p90_ms: float | None
    p90_upper_ms: float | None
    p99_ms: float | None
    p99_upper_ms: float | None
    mean_ms: float | None
    cv: float | None
    samples: int
    steady: bool


class Latency(TypedDict):
    """Latency of the deployed artifact and of the reference, interleaved in one run on the device.

    speedup is reference over deployed; speedup_low and speedup_high are its 99 % interval. sample is that of the evaluation set on
    which it was measured, the first of a batch.
    """

    scope: str
    batch: int
    sample: int
    threads: int
    reference: LatencyNumbers
    deployed: LatencyNumbers
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None


class Layer(TypedDict):
    """One layer of the graph that the runtime executes; macs is null where they cannot be counted."""

    name: str
    op: str
    precision: str
    macs: int | None


class Fallback(TypedDict):
    """A layer that does not run at the artifact's precision; macs is null where it does none, or they cannot be counted."""

    name: str
    op: str | None
    precision: str
    macs: int | None
    share_macs: float | None
    reason: str | None


class Placement(TypedDict):
    """Which share of the MACs runs at which precision."""

    precision_share_macs: dict[str, float]
    macs: int
    fallbacks: list[Fallback]
    layers: list[Layer]


class Candidate(TypedDict):
    """One precision that the target lists, by a runtime on a number of threads, and why it was or was not shipped."""

    name: NotRequired[str]
    """The precision, with the runtime and the threads where the candidates differ in these. Reports of before have none."""
    precision: str
    runtime: NotRequired[str]
    threads: NotRequired[int]
    pins_threads: NotRequired[bool]
    path: str
    size_bytes: int
    status: CandidateStatus
    reasons: list[str]
    metric_drop: float | None
    sqnr_db_least: float | None
    p90_ms: float | None
    speedup: float | None
    engine: Engine | None
    """Null where the payload runs as it is."""


class Gate(TypedDict):
    """One thing that the artifact had to reach.

    group is parity, drift, metric, placement, measurement, latency, contents, signature or verdict.
    """

    name: str
    group: str
    status: GateStatus
    required: str
    measured: str
    reason: str | None


class Stage(TypedDict):
    """One stage of the run."""

    name: str
    duration_s: float
    cached: bool
    sha256: str | None


class RunError(TypedDict):
    """The error that stopped a run before there was anything to measure."""

    code: int
    what: str
    where: str | None
    expected: str | None
    found: str | None
    fix: str | None


class EndToEnd(TypedDict):
    """The way from a sensor's frame to answers, one at a time: medians of the agent's own pre- and post-processing around the payload."""

    frame_width: int | None
    frame_height: int | None
    pre_ms: float
    model_ms: float
    post_ms: float
    runs: int
    total_ms: float
    pre_share: float
    model_share: float
    post_share: float


class Footprint(TypedDict):
    """What a fresh process takes that loads the artifact and runs it; null is unknown, and `problem` says why.

    start_ms is the median from the start of the process to its first answer, load_ms the part from where the runtime is loaded.
    The peaks are resident memory and an accelerator's together: of runs of `batch` samples, and of `largest_batch`.
    """

    start_ms: float | None
    start_least_ms: float | None
    start_most_ms: float | None
    load_ms: float | None
    starts: int
    batch: int
    peak_bytes: int | None
    largest_batch: int
    largest_peak_bytes: int | None
    problem: str | None


class Report(TypedDict):
    """report.json. What was not measured is null, or an empty list."""

    schema: int
    verdict: Verdict
    reasons: list[str]
    exit_code: int
    model: str
    target: str
    device: Device | None
    precision: str | None
    bundle_id: str | None
    signature: SignatureState
    signer: str | None
    emulated: bool
    warnings: list[str]
    artifact: Artifact | None
    shipped: Shipped | None
    reference: Reference | None
    original: Original | None
    metric: Metric | None
    parity: list[Parity]
    drift: list[Drift]
    latency: Latency | None
    end_to_end: EndToEnd | None
    """Beside the gates: it gates nothing. None where no sensor is described."""
    footprint: Footprint | None
    """Memory and the time to the first answer; None where they were not measured."""
    input: dict[str, Any] | None
    """What the sensor gives and what becomes of it, as the manifest says it."""
    classes: list[str]
    """Their names, in the order of their numbers; none where the data have none."""
    placement: Placement | None
    gates: list[Gate]
    candidates: list[Candidate]
    stages: list[Stage]
    provenance: dict[str, Any]
    expires_when: dict[str, Any] | None
    """What the verdict rests on: it ends with this date, or when any other of these is not what it was."""
    explanation: NotRequired[Explanation]
    """What no gate asks. Reports of before have none, nor has a run that an error stopped."""
    error: RunError | None
