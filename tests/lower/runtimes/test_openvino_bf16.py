"""Payloads in bf16 on OpenVINO: what they run in, and who is told where the CPU lacks it."""

import json
from dataclasses import replace

import onnx
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.openvino import compilation
from toolchain.agent.measure.session import find_runtime, open_session
from toolchain.agent.measure.sqnr import measure_powers, to_db
from toolchain.lower.request import LowerRequest
from toolchain.lower.runtimes.openvino import lower_bf16
from toolchain.lower.trial import open_emulated
from toolchain.project.find import find_target
from toolchain.project.recipe import QuantizeSection

pytestmark = pytest.mark.skipif(
    find_module("openvino") is None, reason="OpenVINO is not installed (the extra openvino)"
)


def lower_and_open(lower, model, feeds, precision):
    """Return the payload's folder, the precisions that its layers run at, and its dB against the model."""
    folder = lower(model, feeds, "cpu-openvino", precision, listed=["bf16", "float32"])
    payload = folder / "model.onnx"
    layers = find_runtime("openvino").read_placement(payload, 1, feeds[0]).layers
    session = open_session("openvino", payload, 1)
    exact = open_emulated(model, threads=1)
    pairs = [(exact.run(feed), session.run(feed)) for feed in feeds[:4]]
    powers = [measure_powers(expected[name], found[name]) for expected, found in pairs for name in expected]
    sqnr_db = float(to_db(sum(each.signal for each in powers), sum(each.noise for each in powers)))
    return folder, {layer.precision for layer in layers}, sqnr_db


def test_a_payload_in_bf16_runs_in_bf16_where_the_cpu_has_it_and_float32_does_not(lower, residual, feeds):
    find_runtime("openvino")
    folder, precisions, sqnr_db = lower_and_open(lower, residual, feeds, "bf16")
    assert precisions == ({"bf16"} if compilation.has_bf16() else {"float32"})
    assert 32 < sqnr_db < 70
    assert json.loads((folder / "lowering.json").read_text())["precision"] == "bf16"
    _, precisions, sqnr_db = lower_and_open(lower, residual, feeds, "float32")
    assert precisions == {"float32"}
    assert sqnr_db > 90


def test_a_payload_in_bf16_runs_in_float32_where_the_cpu_lacks_it_and_placement_says_so(
    lower, residual, feeds, monkeypatch
):
    monkeypatch.setattr(compilation, "has_bf16", lambda: False)
    assert lower_and_open(lower, residual, feeds, "bf16")[1] == {"float32"}


def test_a_users_model_that_says_bf16_is_float32_where_float32_was_asked_for(lower, residual, feeds):
    residual.metadata_props.add(key=compilation.COMPUTES_IN, value="bf16")
    folder, precisions, sqnr_db = lower_and_open(lower, residual, feeds, "float32")
    assert precisions == {"float32"}
    assert sqnr_db > 90
    assert not onnx.load(folder / "model.onnx").metadata_props


@pytest.mark.parametrize(("features", "is_told"), [((), True), (("avx512_bf16",), False), (("bf16", "i8mm"), False)])
def test_lowering_tells_of_a_cpu_without_bf16(features, is_told, tmp_path, residual, feeds):
    (tmp_path / "float.onnx").write_bytes(residual.SerializeToString())
    request = LowerRequest(
        model=tmp_path / "float.onnx",
        exported=tmp_path / "float.onnx",
        target=find_target("cpu-openvino"),
        precision="bf16",
        facts=replace(read_facts("openvino"), cpu_features=features),
        feeds=feeds,
        options=QuantizeSection(),
        sqnr_db_min={},
    )
    notes = lower_bf16(request, tmp_path, lambda _name, _total: lambda: None)["notes"]
    assert ["no bf16" in note for note in notes] == ([True] if is_told else [])


def test_a_runtime_without_kernels_for_bf16_refuses_it(lower, residual, feeds):
    with pytest.raises(ToolchainError, match="there is no bf16 lowering for onnxruntime") as caught:
        lower(residual, feeds, "cpu", "bf16", listed=["bf16"])
    assert caught.value.code == ExitCode.USAGE
