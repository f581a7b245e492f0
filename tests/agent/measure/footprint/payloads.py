"""Payloads whose memory is known: of a run of a sample it is as much as the sample, or the batch, asks for."""

import dataclasses

import numpy as np
import onnx

from tests.made_record import NO_GATES, make_manifest
from toolchain.agent.measure.footprint.measure import Subject, measure_footprint
from toolchain.agent.measure.golden import GoldenArrays

# As many values as the largest input of the batch says, four bytes each.
BY_VALUE = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 1] x) => (float[N, 1] y) <int64[1] whole = {-1}> {
    largest = ReduceMax <keepdims = 0> (x)
    count = Cast <to = 7> (largest)
    shape = Reshape (count, whole)
    ones = ConstantOfShape <value = float[1] {1.0}> (shape)
    more = Exp (ones)
    sum = ReduceMean <keepdims = 0> (more)
    y = Add (x, sum)
}
"""
# A megabyte for each sample of the batch.
BY_BATCH = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 1] x) => (float[N, 1] y) <int64[2] wide = {1, 250000}> {
    rows = Expand (x, wide)
    more = Exp (rows)
    y = ReduceMax <axes = [1]> (more)
}
"""


def write_payload(folder, text):
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def make_golden(values):
    return GoldenArrays(
        samples=len(values),
        stacked=False,
        inputs={"x": np.array(values, dtype=np.float32).reshape(-1, 1)},
        outputs={},
        originals={},
        targets={},
    )


def measure(
    path, values, *, runtime="onnxruntime", processes=1, batch=1, fixed=False, run_ms=None, pins=False, **limits
):
    manifest = make_manifest(gates=dataclasses.replace(NO_GATES, limits=limits))
    return measure_footprint(
        Subject(runtime, path, 1, None, pins_threads=pins),
        manifest,
        make_golden(values),
        batch=batch,
        is_batch_fixed=fixed,
        run_ms=run_ms,
        processes=processes,
        on_progress=lambda done, total: None,
    )
