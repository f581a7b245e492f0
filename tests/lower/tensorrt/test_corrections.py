"""The corrections of the CPU's int8 graphs in those of TensorRT: they gain, and they keep NVIDIA's rules."""

import json
import math

import numpy as np
import onnx
from onnx import numpy_helper

from tests.lower.conftest import parse_model
from tests.lower.vision_transformer import make_pictures, make_transformer
from toolchain.agent.measure.parity import Parity
from toolchain.graph.learned_ranges import state_ranges
from toolchain.lower import int8
from toolchain.lower.runtimes import tensorrt
from toolchain.lower.smoothing import Smoothing
from toolchain.lower.techniques import improve
from toolchain.lower.tensorrt.profile import find_profile
from toolchain.lower.tensorrt.rtx import build_engine, is_installed
from toolchain.lower.trial import open_emulated

UNSEEN = make_pictures(16, seed=8)
OUTLIERS = (60.0, 45.0)


def read(folder):
    return onnx.load(folder / "model.onnx"), json.loads((folder / "lowering.json").read_text(encoding="utf-8"))


def measure_db(model, made, unseen=UNSEEN):
    before, after, parity = open_emulated(model, threads=1), open_emulated(made, threads=1), Parity()
    for feed in unseen:
        parity.add(before.run(feed), after.run(feed))
    return parity.summarize()[0].sqnr_db


def assert_builds(model, feeds):
    """Let NVIDIA's parser and builder take a graph, where they are installed."""
    if is_installed():
        assert build_engine(model, compute_capabilities=["8.6"], profile=find_profile(feeds), sparse_weights=False)


def assert_keeps_the_rules(model):
    """Symmetric int8 alone: every zero point is 0, and nothing is stored as int32."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert pairs
    assert not any(constants[node.input[2]].any() for node in pairs)
    assert {constants[node.input[2]].dtype for node in pairs} == {np.dtype(np.int8)}


def test_channels_of_outliers_move_into_the_weights_and_unseen_pictures_keep_more(lower, monkeypatch):
    model, pictures = make_transformer(gammas=OUTLIERS), make_pictures(40)
    made, document = read(lower(model, pictures, "jetson", "int8", sqnr_db_min={"int8": 5.0}))
    assert {row["tensor"] for row in document["smoothing"]["tensors"]} == {"a", "b"}
    assert document["smoothing"]["after_db"] > document["smoothing"]["before_db"] + 6
    assert document["held_back"] == []
    assert_keeps_the_rules(made)
    assert_builds(made, pictures)
    monkeypatch.setattr(tensorrt, "smooth_outliers", lambda model, *_, **__: Smoothing(model=model, factors={}))
    plain, _ = read(lower(model, pictures, "jetson", "int8", sqnr_db_min={"int8": 5.0}))
    assert measure_db(model, made) > measure_db(model, plain) + 6


def test_channels_that_are_alike_stay_where_they_are(lower):
    _, document = read(lower(make_transformer(), make_pictures(32), "jetson", "int8"))
    assert document["smoothing"]["tensors"] == []


def test_a_model_that_was_trained_for_int8_is_not_smoothed(lower):
    model = make_transformer(gammas=OUTLIERS)
    state_ranges(model, {}, {"a": (-60.0, 60.0), "b": (-60.0, 60.0)})
    _, document = read(lower(model, make_pictures(32), "jetson", "int8", sqnr_db_min={"int8": 1.0}))
    assert document["smoothing"] == {"before_db": None, "after_db": None, "tensors": []}


def test_each_correction_gains_on_unseen_pictures_and_keeps_the_rules(lower, monkeypatch):
    model, pictures, known_db = make_transformer(), make_pictures(48), {}
    monkeypatch.setattr(int8, "AMPLE_DB", math.inf)
    for name, technique in [("plain", None), *improve.TECHNIQUES.items()]:
        monkeypatch.setattr(tensorrt, "smooth_outliers", lambda model, *_, **__: Smoothing(model=model, factors={}))
        monkeypatch.setattr(improve, "TECHNIQUES", {} if technique is None else {name: technique})
        made, document = read(lower(model, pictures, "jetson", "int8", sqnr_db_min={"int8": 5.0}))
        assert [row["kept"] for row in document["techniques"]] == ([] if technique is None else [True])
        assert document["parsed_by_nvidia"] == is_installed()
        assert_keeps_the_rules(made)
        known_db[name] = measure_db(model, made)
    plain_db = known_db.pop("plain")
    assert min(known_db.values()) > plain_db


def test_a_corrected_convolution_without_a_bias_gets_one_in_float(lower, feeds, images, monkeypatch):
    monkeypatch.setattr(int8, "AMPLE_DB", math.inf)
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[n, 3, 8, 8] image) => (float[n, 2, 8, 8] y) '
        "<float[8, 3, 3, 3] w, float[2, 8, 1, 1] v> { [c1] a = Conv<pads = [1, 1, 1, 1]>(image, w) [r] b = Relu(a) "
        "[c2] y = Conv(b, v) }"
    )
    made, document = read(lower(model, feeds * 3, "jetson", "int8"))
    assert [row["name"] for row in document["techniques"] if row["kept"]]
    biases = [node.input[2] for node in made.graph.node if node.op_type == "Conv"]
    types = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert {types[name] for name in biases} == {onnx.TensorProto.FLOAT16}
    assert_builds(made, feeds)


def test_the_residual_additions_of_a_transformer_stay_in_float(lower):
    made, document = read(lower(make_transformer(), make_pictures(8), "jetson", "int8"))
    producers = {name: node.op_type for node in made.graph.node for name in node.output}
    additions = [node for node in made.graph.node if node.name in {"residual1", "residual2", "value_bias", "out_bias"}]
    assert len(additions) == 4
    assert not {producers.get(name) for node in additions for name in node.input} & {"DequantizeLinear"}
    assert {layer["name"] for layer in document["layers"]} >= {"query", "key", "value", "out", "up", "down"}


def test_float16_around_int8_is_searched_too_and_what_it_would_round_away_stays_in_float32(lower, feeds):
    # Each tensor alone is kept well by float16. Together they lose what differs: 1000.3 - 1000 is 0.5 there.
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[n, 3, 8, 8] image) => (float[n, 2, 8, 8] y) '
        "<float[8, 3, 3, 3] w, float[2, 8, 1, 1] v, float far = {3000.0}> { [c1] a = Conv<pads = [1, 1, 1, 1]>(image, w) "
        "[away] b = Add(a, far) [back] c = Sub(b, far) [c2] y = Conv(c, v) }"
    )
    made, document = read(lower(model, feeds, "jetson", "int8"))
    assert {"away", "back"} <= {layer["name"] for layer in document["kept_in_float32"]}
    assert min(document["sqnr_db"].values()) > 20
    assert measure_db(model, made, feeds) > 20
    assert_builds(made, feeds)
