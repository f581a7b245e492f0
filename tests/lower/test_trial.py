import dataclasses
import math

import numpy as np

from tests.lower.conftest import parse_model
from toolchain.lower.trial import open_emulated


def test_the_bound_lies_under_the_estimate(bench):
    estimate = bench.measure_outputs_db(frozenset())["scores"]
    assert 20 < estimate.low_db < estimate.sqnr_db


def test_everything_in_float_is_exact(bench):
    assert bench.measure_sqnr_db(frozenset({"conv1", "conv2", "gemm"})) > 120


def test_noise_from_a_single_sample_lowers_the_bound_far_below_the_estimate(bench):
    references = [dict(reference) for reference in bench.references]
    even = bench.measure_outputs_db(frozenset())["scores"]
    references[3] = {"scores": -references[3]["scores"]}
    uneven = dataclasses.replace(bench, references=references).measure_outputs_db(frozenset())["scores"]
    assert even.sqnr_db - even.low_db < uneven.sqnr_db - uneven.low_db


def test_an_output_that_is_not_finite_has_the_worst_sqnr(bench):
    references = [{"scores": np.full_like(reference["scores"], math.nan)} for reference in bench.references]
    broken = dataclasses.replace(bench, references=references)
    assert broken.measure_sqnr_db(frozenset()) == -200.0


SATURATING = """
<ir_version: 10, opset_import: ["": 21]>
saturating (float[1, 4] x) => (float[1, 1] y)
<float one = {1.0}, uint8 zero = {0}, int8[4, 1] w = {127, 127, 127, 127}, int8 w_zero = {0}>
{
    xq = QuantizeLinear(x, one, zero)
    xd = DequantizeLinear(xq, one, zero)
    wd = DequantizeLinear(w, one, w_zero)
    [matmul] y = MatMul(xd, wd)
}
"""


def test_sums_of_another_cpu_do_not_saturate_at_16_bits():
    """Two products of 255 and 127 are 64,770: x86 without VNNI would make 32,767 of them."""
    session = open_emulated(parse_model(SATURATING), threads=1)
    assert session.run({"x": np.full((1, 4), 255, np.float32)})["y"].item() == 4 * 255 * 127
