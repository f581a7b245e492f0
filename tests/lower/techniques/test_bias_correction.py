"""Bias correction against numpy: means of the layers' outputs before and after."""

from dataclasses import replace
from functools import partial

import numpy as np

from toolchain.graph.session import HostSession
from toolchain.graph.view import GraphView
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.dynamic.plan import plan_dynamic
from toolchain.lower.techniques.bias_correction import (
    correct_in_one_pass,
    correct_sequentially,
    measure_lost,
)
from toolchain.lower.techniques.lockstep import average_outputs, center_layers, find_channel_axis
from toolchain.lower.techniques.stored_weight import read_weight

CORRECTED = ["conv", "depthwise", "pointwise", "product"]


def measure_means(model, layers, samples):
    """Return the mean of each channel of each layer's output, behind its bias, over samples."""
    outputs = {node.name: node.output[0] for node in model.graph.node if node.name in layers}
    outputs["product"] = "scores"  # the Add's
    session = HostSession(model, tensors=list(outputs.values()))
    rows = {name: [] for name in layers}
    for sample in samples:
        values = session.run(sample)
        for name in layers:
            value = values[outputs[name]]
            axis = find_channel_axis(layers[name], value.ndim)
            rows[name].append(value.mean(axis=tuple(i for i in range(value.ndim) if i != axis)))
    return {name: np.mean(row, axis=0) for name, row in rows.items()}


def test_after_the_sequential_correction_every_layer_has_the_mean_of_the_float_model(subject):
    layers = subject.find_correctable()
    assert list(layers) == CORRECTED
    expected = measure_means(subject.model, layers, subject.learning)
    plain = measure_means(subject.lower(Adjustment()), layers, subject.learning)
    corrected = measure_means(subject.lower(correct_sequentially(subject, Adjustment())), layers, subject.learning)
    for name in CORRECTED:
        before, after = (np.abs(found[name] - expected[name]).max() for found in (plain, corrected))
        assert after < 0.02 * before + 1e-4, name


def test_the_estimate_in_one_pass_is_what_numpy_computes_for_a_pointwise_layer(subject):
    found = correct_in_one_pass(subject, Adjustment()).shifts
    assert list(found) == CORRECTED
    inputs = HostSession(subject.model, tensors=["r2"])
    mean = np.mean([inputs.run(sample)["r2"].mean(axis=(0, 2, 3)) for sample in subject.learning], axis=0)
    lowered = subject.lower(Adjustment())
    node = next(node for node in lowered.graph.node if node.name == "pointwise")
    weight = read_weight(GraphView.from_model(subject.model), "w3")
    lost = weight - read_weight(GraphView.from_model(lowered), node.input[1])
    np.testing.assert_allclose(found["pointwise"], lost[:, :, 0, 0] @ mean, rtol=1e-3, atol=1e-6)


def test_both_make_the_model_better_on_samples_that_they_did_not_see(subject):
    plain_db = subject.measure_db(Adjustment())
    assert subject.measure_db(correct_sequentially(subject, Adjustment())) > plain_db + 1
    assert subject.measure_db(correct_in_one_pass(subject, Adjustment())) > plain_db + 1


def test_a_dead_channel_gets_what_it_lacks_and_nothing_that_is_not_finite(subject):
    shifts = correct_sequentially(subject, Adjustment()).shifts
    assert abs(shifts["conv"][2]) < 1e-3  # its weights and bias are 0
    assert all(np.isfinite(shift).all() for shift in shifts.values())


def test_a_layer_that_another_operator_computes_in_the_int8_model_is_left_out(subject):
    lowered, layers = subject.lower(Adjustment()), subject.find_correctable()
    next(node for node in lowered.graph.node if node.name == "pointwise").name = "renamed"
    found = [
        center_layers(lowered, layers, subject.learning[:2], average_outputs(subject.model, layers, subject.learning)),
        measure_lost(subject.model, lowered, layers, subject.learning[:2]),
    ]
    assert [list(shifts) for shifts in found] == [["conv", "depthwise", "product"]] * 2


def test_products_with_the_scale_of_each_run_are_left_out_of_the_pass_over_weights(subject):
    # Their integers are the weight of no float node in the lowered graph.
    dynamic = partial(plan_dynamic, subject.policy.plan)
    policy = replace(subject.policy, plan=dynamic)
    changed = replace(subject, policy=policy, plan=dynamic(subject.model, frozenset()))
    assert "product" in changed.find_correctable()
    assert set(correct_in_one_pass(changed, Adjustment()).shifts) == set(CORRECTED) - {"product"}


def test_products_with_the_scale_of_each_run_are_corrected_layer_by_layer_too(subject):
    dynamic = partial(plan_dynamic, subject.policy.plan)
    policy = replace(subject.policy, plan=dynamic)
    changed = replace(subject, policy=policy, plan=dynamic(subject.model, frozenset()))
    found = correct_sequentially(changed, Adjustment())
    assert list(found.shifts) == CORRECTED
    assert "DynamicQuantizeLinear" in {node.op_type for node in changed.lower(found).graph.node}
    assert changed.measure_db(found) > changed.measure_db(Adjustment()) + 1
