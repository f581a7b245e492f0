"""The made-up run with everything that explains a verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.report.made_run import LAYERS, Run, make_run
from toolchain.agent.measure.by_class import ClassScore
from toolchain.agent.measure.layer_times import Kernel, LayerTimes, Peaks
from toolchain.agent.measure.placement import Placement
from toolchain.agent.measure.worst import Answer, WorstSample
from toolchain.report.explanation import GraphNotes
from toolchain.report.sample_media import SampleMedia, draw_sample

PEAKS = Peaks(float_gmacs=40.0, int8_gmacs=160.0, memory_gb_s=20.0, copy_bytes=1 << 20)
CLASSES = ("T-shirt/top", "Trouser", "Pullover")


def make_times(**changes: object) -> LayerTimes:
    kernels = [Kernel("input_quantize", "QuantizeLinear", 3.0)]
    kernels += [Kernel(name, "FusedConv" if op == "Conv" else op, 4.0 + macs / 1e5) for name, op, macs in LAYERS]
    run_us = sum(kernel.median_us for kernel in kernels) + 20.0
    good = LayerTimes(sha256="", runs=49, run_us=run_us, kernels=tuple(kernels), peaks=PEAKS)
    return replace(good, **changes)


def make_worst() -> tuple[WorstSample, ...]:
    answers = [Answer(classes=(0, 1), scores=(2.5, 1.5)), Answer(classes=(1, 0), scores=(2.0, None))]
    first = WorstSample(index=7, sqnr_db=12.5, differs=True, label=1, reference=answers[0], deployed=answers[1])
    box = Answer(classes=(2,), scores=(0.9,), boxes=((2.0, 2.0, 8.0, 9.0),))
    second = WorstSample(index=9, sqnr_db=20.0, differs=False, label=None, reference=box, deployed=box)
    numbers = Answer(values=(1.0, 2.0))
    third = WorstSample(index=11, sqnr_db=30.0, differs=False, label=None, reference=numbers, deployed=numbers)
    return first, second, third


def explain_run(times: LayerTimes | None = None) -> Run:
    """The run of make_run, whose int8 payload was looked at closely."""
    run = make_run()
    int8 = run.record.candidates[0]
    assert int8.evaluation is not None
    by_class = tuple(ClassScore(number, 0.9 + number / 50, 0.9 + number / 60) for number in range(3))
    layers = tuple(replace(layer, moved_bytes=1000 + (layer.macs or 0) // 40) for layer in int8.placement.layers)
    run = run.with_candidate(
        evaluation=replace(int8.evaluation, by_class=by_class, worst=make_worst()),
        layer_times=replace(times or make_times(), sha256=int8.payload.sha256),
        placement=Placement(layers=layers),
    )
    notes = GraphNotes(
        modules={"conv1": "features.0"},
        sqnr_db={name: 50.0 - index for index, (name, _, _) in enumerate(LAYERS)},
        ranges={"input": (-1.0, 2.0), "relu": (0.0, 80.0), "relu_1": (0.0, 3.0)},
        range_sources={"input": "calibrated"},
    )
    manifest = replace(run.manifest, output=replace(run.manifest.output, classes=CLASSES))
    return run.but(graphs={("int8", "onnxruntime"): notes}, manifest=manifest)


def make_media(run: Run) -> dict[int, SampleMedia]:
    """A picture of each kind, and a sound."""
    noise = np.random.default_rng(0).standard_normal((3, 12, 12)).astype(np.float32)
    tone = np.sin(np.arange(4000, dtype=np.float32) / 9)
    drawn = {7: noise, 9: (noise[0] * 60 + 128).clip(0, 255).astype(np.uint8), 11: tone}
    media = {index: draw_sample(array, run.manifest) for index, array in drawn.items()}
    return {index: one for index, one in media.items() if one is not None}
