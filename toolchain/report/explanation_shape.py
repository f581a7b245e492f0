"""The shape of `explanation` in report.json: what no gate asks, and who wants to do better does."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class MachinePeaks(TypedDict):
    """The best that the device was seen to do in this run; a roof is a maximum.

    memory_gb_s is of a copy of copy_bytes, as large as what one run of the payload reads and writes. bf16_gmacs is null where the
    runtime does not compute in it.
    """

    float_gmacs: float
    int8_gmacs: float
    memory_gb_s: float
    copy_bytes: int
    bf16_gmacs: NotRequired[float | None]


class LayerCost(TypedDict):
    """One kernel that the runtime ran; null is unknown, or means nothing for a kernel that does not multiply.

    module is PyTorch's name of it, of several layers in one kernel all of theirs. run_share is of the run under the profiler. roof says what bounds the layer on this
    device, roof_us what it takes there, roof_share how much of that it reaches; over_peak says that it is above what was
    measured as the most, so that the peak was not. sqnr_db is of its result against what was lowered, the errors of the
    layers before it included.
    """

    name: str
    module: str | None
    op: str
    precision: str | None
    macs: int | None
    moved_bytes: int | None
    time_us: float
    run_share: float
    gmacs: float | None
    roof: Literal["compute", "memory"] | None
    roof_us: float | None
    roof_share: float | None
    over_peak: bool
    sqnr_db: float | None


class LayerCosts(TypedDict):
    """The kernels of the artifact under the runtime's profiler on the device, in the order of execution.

    rest_us is what the run takes beside them: below 0, the medians of the kernels add up to more than the median of a run.
    left_out are the quickest kernels of many, which take left_out_us. most_to_gain names the layers whose time is the
    furthest above their roof, and by how much. untimed are the layers that no kernel here is known to compute alone: the
    runtime runs them under another name, in a kernel that others share, or among those that are left out. problem says why
    there are none, peaks_problem why there are no peaks.
    """

    runs: int
    run_us: float
    rest_us: float
    left_out: int
    left_out_us: float
    peaks: MachinePeaks | None
    layers: list[LayerCost]
    most_to_gain: list[Gain]
    untimed: NotRequired[list[str]]
    problem: str | None
    peaks_problem: NotRequired[str | None]


class Gain(TypedDict):
    """How far a layer's time is above its roof."""

    name: str
    gain_us: float


class ClassMetric(TypedDict):
    """The task metric of one class; name is null where the data have none."""

    number: int
    name: str | None
    reference: float
    deployed: float


class SampleAnswer(TypedDict):
    """What a model says of a sample: names of classes with the scores as the model gives them, boxes, a few numbers, or a text."""

    classes: list[str]
    scores: list[float | None]
    boxes: list[list[float | None]]
    values: list[float | None]
    text: NotRequired[str | None]
    """The beginning of one that was read; reports of before have none."""


class WorstSample(TypedDict):
    """An evaluation sample on which float and artifact disagree the most; index is its number among them."""

    index: int
    sqnr_db: float
    differs: bool
    label: str | None
    """Its class in the data, or the beginning of its text; null where they name none, or more than one class."""
    reference: SampleAnswer
    deployed: SampleAnswer


class TensorRange(TypedDict):
    """What the integers of a tensor stand for."""

    tensor: str
    low: float
    high: float
    source: str | None


class Explanation(TypedDict):
    """What no gate asks."""

    layers: LayerCosts | None
    """None on an emulated device, where no time is measured."""
    by_class: list[ClassMetric]
    worst_samples: list[WorstSample]
    ranges: list[TensorRange]
