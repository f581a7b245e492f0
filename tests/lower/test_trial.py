import dataclasses
import math

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from tests.lower.vision_transformer import make_pictures, make_transformer
from toolchain.agent.measure.facts import read_facts
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower import trial
from toolchain.lower.fp16 import convert_to_float16
from toolchain.lower.trial import compare_benches, find_kernels, open_emulated


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


def spoil(model):
    """Return the model with the scores of opposite sign."""
    next(node for node in model.graph.node if node.output[0] == "scores").output[0] = "opposite"
    model.graph.node.append(onnx.helper.make_node("Neg", ["opposite"], ["scores"]))
    return model


def watch_runs(monkeypatch):
    """Return the list that gets the feed of each run of a trial; trials run one sample after the other."""
    runs, open_session = [], trial.open_as_board

    class WatchedSession:
        def __init__(self, *arguments, **options):
            self._session = open_session(*arguments, **options)

        def run(self, feed):
            runs.append(feed)
            return self._session.run(feed)

    monkeypatch.setattr(trial, "open_as_board", WatchedSession)
    monkeypatch.setattr(trial, "count_cpus", lambda: 1)
    return runs


def spoil_samples(bench, *samples):
    """Return the bench on which these samples alone are answered wrong."""
    references = [dict(reference) for reference in bench.references]
    for sample in samples:
        references[sample] = {"scores": -references[sample]["scores"]}
    return dataclasses.replace(bench, references=references)


def test_a_trial_that_surely_fails_ends_early_and_one_that_passes_looks_at_every_sample(bench, monkeypatch):
    runs = watch_runs(monkeypatch)
    assert not bench.try_out(frozenset(), sqnr_db_min=100.0).passes
    assert len(runs) == 1
    assert dataclasses.replace(bench).try_out(frozenset(), sqnr_db_min=5.0).passes
    assert len(runs) == 1 + 16


@pytest.mark.parametrize("spoiled", [(), (0,), (15,), (3, 4), (0, 5, 10, 15)])
@pytest.mark.parametrize("margin_db", [-3.0, -0.01, 0.01, 3.0])
def test_a_trial_answers_what_all_samples_answer_and_a_failed_one_says_no_less(bench, spoiled, margin_db):
    uneven = spoil_samples(bench, *spoiled)
    all_db = dataclasses.replace(uneven).measure_sqnr_db(frozenset())
    found = uneven.try_out(frozenset(), sqnr_db_min=all_db + margin_db)
    assert found.passes == (margin_db < 0)
    assert found.low_db == all_db if found.passes else all_db <= found.low_db < all_db + margin_db


def test_samples_that_were_loud_in_other_trials_come_first(bench, monkeypatch):
    """Spoiled is the last sample: the first trial has to see all of them before it, the next one none."""
    uneven = spoil_samples(bench, 15)
    runs = watch_runs(monkeypatch)
    assert not uneven.try_out(frozenset(), sqnr_db_min=20.0).passes
    assert len(runs) == 16
    runs.clear()
    assert not uneven.try_out(frozenset({"conv1"}), sqnr_db_min=20.0).passes
    assert [id(feed) for feed in runs] == [id(bench.feeds[15])]


def test_no_sample_is_run_twice_with_the_same_layers_in_float(bench, monkeypatch):
    runs = watch_runs(monkeypatch)
    assert not bench.try_out(frozenset(), sqnr_db_min=100.0).passes
    again = bench.measure_outputs_db(frozenset())
    assert len(runs) == 16
    assert bench.try_out(frozenset(), sqnr_db_min=5.0).passes
    assert len(runs) == 16
    bench.measure_outputs_db(frozenset({"conv1"}), samples=4)
    assert len(runs) == 16 + 4
    assert bench.measure_outputs_db(frozenset()) == again == dataclasses.replace(bench).measure_outputs_db(frozenset())


def test_benches_that_are_joined_bring_what_each_has_run(bench, monkeypatch):
    first = dataclasses.replace(bench, feeds=bench.feeds[:6], references=bench.references[:6])
    second = dataclasses.replace(bench, feeds=bench.feeds[6:], references=bench.references[6:])
    whole = bench.measure_outputs_db(frozenset())
    runs = watch_runs(monkeypatch)
    first.measure_outputs_db(frozenset())
    second.measure_outputs_db(frozenset(), samples=9)
    assert first.join(second).measure_outputs_db(frozenset()) == whole
    assert [id(feed) for feed in runs] == [id(feed) for feed in bench.feeds]


@pytest.mark.parametrize("changed", ["build", "feeds", "references"])
def test_a_bench_that_builds_or_feeds_something_else_knows_nothing_of_what_was_measured(bench, changed):
    """Where it did, a spoiled model would pass by the figures of a good one."""
    good = bench.try_out(frozenset(), sqnr_db_min=20.0)
    spoiled = {
        "build": lambda keep: spoil(bench.build(keep)),
        "feeds": [{"image": -feed["image"]} for feed in bench.feeds],
        "references": [{"scores": -reference["scores"]} for reference in bench.references],
    }
    other = dataclasses.replace(bench, **{changed: spoiled[changed]})
    assert good.passes
    assert not other.try_out(frozenset(), sqnr_db_min=20.0).passes
    assert bench.try_out(frozenset(), sqnr_db_min=20.0).passes


def test_a_single_bad_sample_among_the_last_fails_a_trial_that_the_first_ones_pass(bench):
    references = [dict(reference) for reference in bench.references]
    references[-1] = {"scores": -references[-1]["scores"]}
    uneven = dataclasses.replace(bench, references=references)
    assert bench.try_out(frozenset(), sqnr_db_min=20.0).passes
    assert not uneven.try_out(frozenset(), sqnr_db_min=20.0).passes


def test_what_is_surely_behind_another_gets_no_more_samples_than_tell_so(bench, monkeypatch):
    runs = watch_runs(monkeypatch)
    opposite = dataclasses.replace(bench, build=lambda keep: spoil(bench.build(keep)))
    found = compare_benches({"good": bench, "opposite": opposite, "like": dataclasses.replace(bench)}, frozenset())
    assert len(runs) == 8 + 8 + 8
    assert found["good"] == found["like"] == bench.measure_sqnr_db(frozenset(), samples=8)
    assert found["opposite"] < 0


def test_what_may_still_be_ahead_is_looked_at_on_more_samples(bench, monkeypatch):
    runs = watch_runs(monkeypatch)
    uneven = [dict(reference) for reference in bench.references]
    uneven[3] = {"scores": -uneven[3]["scores"]}
    found = compare_benches({"even": bench, "uneven": dataclasses.replace(bench, references=uneven)}, frozenset())
    assert len(runs) == 16 + 16
    assert found["even"] == bench.measure_sqnr_db(frozenset())


def test_an_output_that_is_not_finite_has_the_worst_sqnr(bench):
    references = [{"scores": np.full_like(reference["scores"], math.nan)} for reference in bench.references]
    broken = dataclasses.replace(bench, references=references)
    assert broken.measure_sqnr_db(frozenset()) == -200.0


@pytest.mark.parametrize("fill", [-np.inf, np.inf, np.finfo(np.float32).min])
def test_a_mask_of_infinities_hides_no_noise(residual, bench, fill):
    def append_mask(model):
        """Where(first, fill, scores): the same scores, one of five masked."""
        result = onnx.ModelProto()
        result.CopyFrom(model)
        next(node for node in result.graph.node if node.name == "gemm").output[0] = "logits"
        first = np.array([True, False, False, False, False])
        result.graph.initializer.extend(
            [numpy_helper.from_array(first, "first"), numpy_helper.from_array(np.float32(fill), "fill")]
        )
        result.graph.node.append(onnx.helper.make_node("Where", ["first", "fill", "logits"], ["scores"]))
        return result

    masked = dataclasses.replace(bench, model=append_mask(residual), build=lambda keep: append_mask(bench.build(keep)))
    plain_db = bench.measure_outputs_db(frozenset())["scores"].sqnr_db
    found = masked.on(bench.feeds).measure_outputs_db(frozenset())["scores"]
    assert abs(found.sqnr_db - plain_db) < 6
    assert found.low_db < found.sqnr_db < 60


def test_a_place_that_is_finite_on_one_side_only_is_a_failure(bench):
    references = [dict(reference) for reference in bench.references]
    references[3] = {"scores": references[3]["scores"].copy()}
    references[3]["scores"][0, 0] = -np.inf
    broken = dataclasses.replace(bench, references=references).measure_outputs_db(frozenset())["scores"]
    assert (broken.sqnr_db, broken.low_db) == (-200.0, -200.0)


def test_a_float_model_that_returns_nan_is_refused_with_output_and_sample(bench):
    feeds = [dict(feed) for feed in bench.feeds]
    feeds[5]["image"] = np.full_like(feeds[5]["image"], np.nan)
    with pytest.raises(ToolchainError, match="not a number") as caught:
        bench.on(feeds)
    assert caught.value.code == ExitCode.PARITY
    assert caught.value.where == "output scores, sample 5"


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


def test_trials_run_on_the_targets_runtime_where_it_is_installed_and_the_cpu_is_this_one():
    facts = read_facts("onnxruntime")
    assert find_kernels("onnxruntime", facts) == "onnxruntime"
    assert find_kernels("no_such_runtime", facts) is None
    assert find_kernels("onnxruntime", dataclasses.replace(facts, cpu="another")) is None


def test_a_written_out_normalization_that_is_float16_in_part_is_opened_and_rounded():
    model, (picture,) = make_transformer(), make_pictures(1)
    names = frozenset(node.name for node in model.graph.node)
    expected = run_model(model, picture)["logits"]
    found = open_emulated(convert_to_float16(model, names - {"residual2"}), threads=1).run(picture)["logits"]
    assert 0 < np.abs(found - expected).max() < 0.05
