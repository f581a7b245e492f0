"""The rows of docs/results.md: which recipe, in which precision, and what it is meant to reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goals:
    """What a row is meant to reach; None is no goal."""

    drop_max: float | None = None
    """Of top-1 against the float model, as a fraction."""
    size_min: float | None = None
    """How many times smaller than the float model's file."""
    speedup_min: float | None = None
    """How many times faster than the float model in ONNX Runtime, one thread."""
    macs_max: float | None = None
    """Of the float model's multiply-accumulates, as a fraction."""
    channels_min: float | None = None
    """The share of the convolutions' output channels that is gone."""
    blocks_min: int | None = None
    """How many residual blocks are gone; each has two convolutions, beside one in some shortcuts."""


@dataclass(frozen=True)
class Row:
    """One row: benchmarks/compression/NAME.toml."""

    name: str
    what: str
    precision: str
    goals: Goals = Goals()
    seeds: tuple[int, ...] = (0,)
    """More than one where a training is involved."""


_SEEDS = (0, 1, 2)

ROWS = (
    Row("float", "float ResNet-18", "float32"),
    Row("int8", "int8 after training", "int8", Goals(drop_max=0.003)),
    Row("qat", "quantization-aware training", "int8", Goals(drop_max=0.001), _SEEDS),
    Row("kmeans_4bit", "k-means, 4 bits", "float32", Goals(drop_max=0.005, size_min=7.0), _SEEDS),
    Row("linear_8bit", "linear grid, 8 bits everywhere", "float32"),
    Row("mixed_precision", "mixed precision", "float32", Goals(drop_max=0.005)),
    Row("unstructured_50", "unstructured, 50 %, no training", "float32", Goals(drop_max=0.02)),
    Row("gradual_80", "gradual, 80 %", "float32", Goals(drop_max=0.005), _SEEDS),
    Row(
        "structured_half",
        "structured, half the MACs",
        "float32",
        Goals(drop_max=0.007, speedup_min=1.6, macs_max=0.5),
        _SEEDS,
    ),
    Row("l1_channels", "L1 on channels, distilled", "float32", Goals(drop_max=0.01, channels_min=0.4), _SEEDS),
    Row("group_lasso", "group lasso on blocks", "float32", Goals(drop_max=0.01, blocks_min=1), _SEEDS),
    Row("l1_and_group", "group lasso, then L1", "float32", Goals(drop_max=0.01, blocks_min=1), _SEEDS),
    Row("student_alone", "ResNet-8 alone", "float32", seeds=_SEEDS),
    Row("student_taught", "ResNet-8 with the teacher", "float32", seeds=_SEEDS),
    Row(
        "all_together",
        "pruned, distilled, int8",
        "int8",
        Goals(drop_max=0.007, size_min=16.0, speedup_min=6.0),
        _SEEDS,
    ),
    Row(
        "smallest",
        "pruned to a few per cent, distilled, int8",
        "int8",
        Goals(drop_max=0.01, size_min=100.0, speedup_min=12.0),
        _SEEDS,
    ),
)
