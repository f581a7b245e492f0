"""What is kept of the techniques, and what lowering.json says of them."""

import math
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from toolchain.errors import usage
from toolchain.graph.learned_ranges import LearnedRanges, restore_pairs
from toolchain.lower import int8
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.int8 import describe_int8, lower_int8
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.techniques import improve
from toolchain.lower.techniques.improve import count_learners, improve_numbers
from toolchain.project.recipe import QuantizeSection


def count_no_steps(_name, _total):
    return lambda: None


def run(subject, samples, *, enough_db=math.inf, **changes):
    return improve_numbers(
        replace(subject.bench, **changes),
        subject.policy,
        subject.ranges,
        samples,
        frozenset(),
        enough_db=enough_db,
        start_steps=count_no_steps,
    )


def test_what_surely_keeps_enough_is_left_as_it_is(subject, samples):
    plain_db = subject.measure_db(Adjustment())
    assert run(subject, samples, enough_db=plain_db + 0.1).techniques
    left = run(subject, samples, enough_db=plain_db - 0.1)
    assert (left.techniques, left.bench.build) == ((), subject.bench.build)


def test_what_keeps_enough_on_the_samples_that_judge_alone_is_improved(subject, samples):
    """Of few samples one that is spoiled may be among those that confirm."""
    plain_db = subject.measure_db(Adjustment())
    references = [{name: -value for name, value in reference.items()} for reference in subject.bench.references]
    spoiled = replace(subject.bench, references=references)
    for confirm, is_tried in ((subject.bench, False), (spoiled, True)):
        found = improve_numbers(
            subject.bench,
            subject.policy,
            subject.ranges,
            samples,
            frozenset(),
            enough_db=plain_db - 0.1,
            confirm=[confirm],
            start_steps=count_no_steps,
        )
        assert bool(found.techniques) is is_tried


def test_what_gains_is_kept_and_said_with_the_decibels_before_and_after(subject, samples):
    improved = run(subject, samples)
    kept = [technique for technique in improved.techniques if technique.kept]
    assert kept[-1].sqnr_db_after > improved.techniques[0].sqnr_db_before + 1
    assert subject.measure_db(improved.adjustment) == pytest.approx(kept[-1].sqnr_db_after)


def test_the_first_that_gains_ends_the_search(subject, samples):
    names = [technique.name for technique in run(subject, samples).techniques]
    assert names == ["output_regression"]


def test_what_gains_nothing_is_not_kept_and_said_too(subject, samples, monkeypatch):
    worse = Adjustment(shifts={"conv": np.full(16, 3.0, np.float32)})
    monkeypatch.setattr(improve, "TECHNIQUES", {"spoils": lambda *_: worse, "nothing": lambda _, kept: kept})
    improved = run(subject, samples)
    assert improved.adjustment is not worse
    assert not improved.adjustment.shifts
    assert [(row.name, row.kept) for row in improved.techniques] == [("spoils", False)]
    assert improved.techniques[0].sqnr_db_after < improved.techniques[0].sqnr_db_before


def test_the_samples_that_teach_do_not_judge(subject, samples, monkeypatch):
    seen = []

    def watch(asked, kept):
        seen.append(([id(feed) for feed in asked.learning], [id(feed) for feed in asked.bench.feeds]))
        return kept

    monkeypatch.setattr(improve, "TECHNIQUES", {"watch": watch})
    for count in (96, 40, 12):
        run(subject, samples[:count], feeds=samples[:count][:32], references=subject.bench.references[:count])
    assert [(len(teach), len(judge)) for teach, judge in seen] == [(32, 32), (13, 27), (4, 8)]
    assert all(not set(teach) & set(judge) for teach, judge in seen)


def test_a_technique_that_a_graph_has_no_room_for_stops_nothing_and_says_why(subject, samples, monkeypatch):
    def refuse(*_):
        raise usage("no room", fix="none")

    monkeypatch.setattr(improve, "TECHNIQUES", {"refused": refuse})
    (row,) = run(subject, samples).techniques
    assert (row.kept, row.sqnr_db_after) == (False, row.sqnr_db_before)
    assert "no room" in row.problem


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_samples_to_teach_and_judge_leave_the_model_as_it_is(subject, samples, count):
    assert count_learners(count) == 0
    improved = run(subject, samples[:count], feeds=samples[:count], references=subject.bench.references[:count])
    assert not improved.techniques


def test_a_model_that_was_trained_for_int8_stays_as_it_was_trained(subject, samples):
    trained = restore_pairs(subject.model, LearnedRanges(tensors={"r1": (0.0, 6.0)}, weight_bits=8))
    assert not run(subject, samples, trained=trained).techniques


def lower(model, samples, features="avx_vnni"):
    scheme = choose_scheme("x86_64", frozenset({features}), "auto")
    return lower_int8(
        model,
        samples,
        options=QuantizeSection(calibration="minmax", choose_by_measurement=False),
        policy=int8_policy(scheme, kernels=None),
        sqnr_db_min=5.0,
        threads=1,
        start_steps=lambda _name, _total: lambda count=1: None,
    )


def test_lowering_json_says_what_each_technique_gained(net, samples, monkeypatch):
    monkeypatch.setattr(int8, "AMPLE_DB", math.inf)
    lowering = lower(net, samples, features="avx2")
    rows = describe_int8(lowering)["techniques"]
    assert rows == [asdict(technique) for technique in lowering.techniques]
    assert set(rows[0]) == {"name", "sqnr_db_before", "sqnr_db_after", "kept", "problem"}
    assert rows[0]["name"] == "safe_scales"
    assert rows[0]["sqnr_db_after"] > rows[0]["sqnr_db_before"]
    assert "output_regression" in {row["name"] for row in rows}


def test_a_channel_that_is_dead_or_constant_on_the_calibration_data_is_lowered(net, samples):
    blind = [{"image": np.zeros_like(sample["image"])} for sample in samples]
    for feeds in (samples, blind):
        lowering = lower(net, feeds)
        onnx.checker.check_model(lowering.model, full_check=True)
        for tensor in lowering.model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            assert np.isfinite(values).all()
            assert not tensor.name.endswith("scale") or (values > 0).all()


def test_a_model_that_is_int8_in_part_is_improved_where_it_is_not(net, samples, monkeypatch):
    """Its own pair behind the first Relu stays, and what stands before it is corrected as what stands behind."""
    monkeypatch.setattr(int8, "AMPLE_DB", math.inf)
    model = onnx.ModelProto()
    model.CopyFrom(net)
    pair = {"s": np.float32(0.05), "z": np.uint8(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in pair.items())
    model.graph.node.insert(2, helper.make_node("QuantizeLinear", ["r1", "s", "z"], ["q1"], "q"))
    model.graph.node.insert(3, helper.make_node("DequantizeLinear", ["q1", "s", "z"], ["d1"], "dq"))
    next(node for node in model.graph.node if node.name == "depthwise").input[0] = "d1"
    lowering = lower(model, samples)
    assert "output_regression" in {technique.name for technique in lowering.techniques}
    assert min(lowering.sqnr_db.values()) > 20
