"""What a layer costs is what was measured: nothing is made to fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.explained_run import PEAKS, explain_run, make_times
from toolchain.agent.measure.layer_times import Kernel, LayerTimes
from toolchain.agent.measure.placement import Layer
from toolchain.report.layer_costs import read_layer_costs


def read(kernel, layer, **times):
    made = LayerTimes(sha256="", **{"runs": 5, "run_us": 100.0, "kernels": (kernel,), "peaks": PEAKS, **times})
    costs = read_layer_costs(made, [layer], modules={}, sqnr_db={})
    return costs, costs["layers"][0]


def test_a_layer_under_its_roof_has_its_share_and_what_is_left_to_gain():
    costs, layer = read(Kernel("a", "Conv", 40.0), Layer("a", "Conv", "int8", 3_200_000, 1000))
    assert layer["roof"] == "compute"
    assert layer["roof_us"] == pytest.approx(20.0)  # 3.2 MMAC at 160 GMAC/s
    assert layer["roof_share"] == pytest.approx(0.5)
    assert not layer["over_peak"]
    assert layer["gmacs"] == pytest.approx(80.0)
    assert costs["most_to_gain"] == [{"name": "a", "gain_us": pytest.approx(20.0)}]
    assert costs["rest_us"] == pytest.approx(60.0)


def test_a_layer_in_bf16_is_held_against_the_peak_of_bf16_where_there_is_one():
    layer = Layer("a", "Conv", "bf16", 3_200_000, 1000)
    assert read(Kernel("a", "Conv", 40.0), layer)[1]["roof_share"] is None
    peaks = replace(PEAKS, bf16_gmacs=80.0)
    assert read(Kernel("a", "Conv", 80.0), layer, peaks=peaks)[1]["roof_share"] == pytest.approx(0.5)


def test_a_layer_that_moves_more_than_it_computes_is_bound_by_memory():
    _, layer = read(Kernel("a", "Gemm", 40.0), Layer("a", "Gemm", "float32", 4000, 400_000))
    assert (layer["roof"], layer["roof_us"]) == ("memory", pytest.approx(20.0))


def test_a_share_over_the_peak_is_told_and_not_cut():
    costs, layer = read(Kernel("a", "Conv", 10.0), Layer("a", "Conv", "int8", 3_200_000, 1000))
    assert layer["roof_share"] == pytest.approx(2.0)
    assert layer["over_peak"]
    assert costs["most_to_gain"] == []


def test_kernels_that_add_up_to_more_than_the_run_leave_a_negative_rest():
    costs, _ = read(Kernel("a", "Conv", 40.0), Layer("a", "Conv", "int8", 10, 10), run_us=30.0)
    assert costs["rest_us"] == pytest.approx(-10.0)


@pytest.mark.parametrize(
    ("kernel", "layer", "peaks"),
    [
        (Kernel("b", "Conv", 9.0), Layer("a", "Conv", "int8", 100, 100), PEAKS),  # another layer
        (Kernel("a", "QuantizeLinear", 9.0), Layer("a", "Conv", "int8", 100, 100), PEAKS),  # beside the layer
        (Kernel("a", "Conv", 9.0), Layer("a", "Conv", "int8", None, None), PEAKS),
        (Kernel("a", "Conv", 9.0), Layer("a", "Conv", "int8", 100, 100), None),
        (Kernel("a", "Conv", 9.0), Layer("a", "Conv", "fp16", 100, 100), PEAKS),  # nobody measured that peak
        (Kernel("a", "Conv", 9.0), Layer("a", "Conv", "int8", 100, 100), replace(PEAKS, memory_gb_s=0.0)),
    ],
)
def test_what_is_not_known_has_no_share(kernel, layer, peaks):
    costs, read_layer = read(kernel, layer, peaks=peaks)
    assert (read_layer["roof_share"], read_layer["roof_us"], costs["most_to_gain"]) == (None, None, [])


LAYERS = [Layer("a", "Conv", "int8", 3000, 100), Layer("b", "Conv", "int8", 2000, 200), Layer("c", "Conv", "fp16", 500)]


def read_all(*kernels, layers=LAYERS, **notes):
    made = LayerTimes(sha256="", runs=5, run_us=100.0, kernels=kernels, peaks=PEAKS)
    return read_layer_costs(made, layers, **{"modules": {}, "sqnr_db": {}, **notes})


def test_a_kernel_of_several_layers_has_the_work_of_all_and_the_lowest_sqnr():
    costs = read_all(
        Kernel("a + b", "Myelin", 10.0, layers=("a", "b")),
        modules={"a": "x.0", "b": "x.1"},
        sqnr_db={"a": 40.0, "b": 30.0},
    )
    [cost] = costs["layers"]
    assert (cost["macs"], cost["precision"], cost["module"], cost["sqnr_db"]) == (5000, "int8", "x.0 + x.1", 30.0)
    assert cost["moved_bytes"] is None  # what stays inside is not moved
    assert costs["untimed"] == ["c"]


def test_a_kernel_of_layers_in_several_precisions_has_no_share_of_any_peak():
    [cost] = read_all(Kernel("b + c", "Myelin", 10.0, layers=("b", "c")))["layers"]
    assert (cost["precision"], cost["macs"], cost["roof_share"]) == ("mixed", 2500, None)


@pytest.mark.parametrize(
    ("kernels", "layers"),
    [
        ((Kernel("a", "Conv", 9.0), Kernel("a", "Conv", 8.0)), LAYERS),
        ((Kernel("k", "Conv", 9.0, layers=("a",)), Kernel("a", "Conv", 8.0)), LAYERS),
        ((Kernel("a", "Conv", 9.0),), [LAYERS[0], LAYERS[0]]),
        ((Kernel("k", "Conv", 9.0, layers=("a",)),), [LAYERS[0], LAYERS[0]]),
    ],
    ids=[
        "two kernels of one name",
        "a kernel's name and another's layer",
        "two layers of one name",
        "and one kernel of it",
    ],
)
def test_what_a_name_means_that_two_have_is_not_guessed(kernels, layers):
    costs = read_all(*kernels, layers=layers)
    assert [cost["macs"] for cost in costs["layers"]] == [None] * len(kernels)
    assert sum(cost["time_us"] for cost in costs["layers"]) == sum(kernel.median_us for kernel in kernels)
    assert "a" in costs["untimed"]


def test_layers_that_no_kernel_has_are_named():
    assert read_all(Kernel("a", "Conv", 9.0), Kernel("b", "Relu", 1.0))["untimed"] == ["b", "c"]


def test_the_report_has_the_three_layers_with_the_most_to_gain_by_pytorchs_names():
    found = explain_run().report()["explanation"]["layers"]
    assert len(found["most_to_gain"]) == 3
    assert found["layers"][1]["module"] == "features.0"
    assert [layer["name"] for layer in found["layers"]][:2] == ["input_quantize", "conv1"]


def test_the_notes_of_another_precision_explain_nothing():
    run = explain_run()
    found = run.but(graphs={("float32", "onnxruntime"): run.graphs["int8", "onnxruntime"]}).report()["explanation"]
    assert found["ranges"] == []
    assert all(layer["sqnr_db"] is None and layer["module"] is None for layer in found["layers"]["layers"])


def test_without_times_there_are_no_costs():
    assert read_layer_costs(None, [], modules={}, sqnr_db={}) is None
    assert make_times().kernels
