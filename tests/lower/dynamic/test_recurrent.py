import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from tests.lower.dynamic.conftest import HEAD
from tests.lower.test_safe_scales import run_without_vnni
from toolchain.agent.measure.parity import compare
from toolchain.agent.measure.session import find_runtime
from toolchain.errors import ToolchainError
from toolchain.graph.safety.quantization import check_scales
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.dynamic.plan import split_plan
from toolchain.lower.dynamic.recurrent import find_recurrent
from toolchain.lower.dynamic.write import write_dynamic
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.safe_scales import find_saturating

BODY = "[cell] y, h, c = LSTM<hidden_size = 16{more}>(x, w, r, b)"


def make_cell(directions=1, more="", body=BODY, extra=""):
    way = ', direction = "bidirectional"' if directions == 2 else ""
    return parse_model(
        HEAD + f"g (float[s, n, 24] x) => (float[s, {directions}, n, 16] y) <float[{directions}, 64, 24] w, "
        f"float[{directions}, 64, 16] r, float[{directions}, 128] b{extra}> {{ {body.format(more=way + more)} }}"
    )


def make_int8(model, scheme):
    written = write_dynamic(model, QdqPlan(tuple(find_recurrent(model).values())), scheme)
    onnx.checker.check_model(written, full_check=True)
    return written


@pytest.fixture
def steps():
    return np.random.default_rng(4).normal(size=(9, 2, 24)).astype(np.float32)


def compute_in_torch(model, x, directions):
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    cell = torch.nn.LSTM(24, 16, bidirectional=directions == 2)
    gates = np.r_[0:16, 32:48, 48:64, 16:32]  # ONNX: input, output, forget, cell; PyTorch: input, forget, cell, output
    with torch.no_grad():
        for index, suffix in enumerate(["", "_reverse"][:directions]):
            for name, value in (
                (f"weight_ih_l0{suffix}", constants["w"][index][gates]),
                (f"weight_hh_l0{suffix}", constants["r"][index][gates]),
                (f"bias_ih_l0{suffix}", constants["b"][index][:64][gates]),
                (f"bias_hh_l0{suffix}", constants["b"][index][64:][gates]),
            ):
                getattr(cell, name).copy_(torch.from_numpy(value.copy()))
        return cell(torch.from_numpy(x))[0].numpy().reshape(9, 2, directions, 16).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("directions", [1, 2])
def test_a_cell_in_int8_is_near_to_what_pytorch_computes(directions, steps, scheme, tmp_path):
    model = make_cell(directions)
    expected = compute_in_torch(model, steps, directions)
    np.testing.assert_allclose(run_model(model, {"x": steps})["y"], expected, atol=1e-5)
    written = make_int8(model, scheme)
    (row,) = compare({"y": expected}, run_model(written, {"x": steps}))
    assert row.sqnr_db > 25
    (tmp_path / "model.onnx").write_bytes(written.SerializeToString())
    (layer,) = find_runtime("onnxruntime").read_placement(tmp_path / "model.onnx", 1, {"x": steps}).layers
    assert (layer.name, layer.precision, layer.macs) == ("cell", "int8", 9 * 2 * directions * 64 * (24 + 16))


def test_the_file_holds_the_weights_as_integers_alone(scheme):
    model = make_cell()
    written = make_int8(model, scheme)
    kinds = {tuple(t.dims): t.data_type for t in written.graph.initializer}
    assert kinds[(1, 24, 64)] == kinds[(1, 16, 64)] == onnx.TensorProto.INT8
    assert not {"w", "r"} & {tensor.name for tensor in written.graph.initializer}
    assert {opset.domain for opset in written.opset_import} == {"", "com.microsoft"}


@pytest.mark.parametrize(
    ("body", "extra"),
    [
        ("[turn] v = Identity(w) [cell] y, h, c = LSTM<hidden_size = 16>(x, v, r, b)", ""),
        ("[cell] y0, h, c = LSTM<hidden_size = 16>(x, w, r, b) [sum] m = ReduceMax(w) [all] y = Mul(y0, m)", ""),
        (
            "[cell] y0, h = GRU<hidden_size = 16>(x, v, q, d) [pass] y = Identity(y0)",
            ", float[1, 48, 24] v, float[1, 48, 16] q, float[1, 96] d",
        ),
    ],
    ids=["a computed weight", "a weight that others read", "a GRU"],
)
def test_other_cells_stay_in_float(body, extra):
    assert find_recurrent(make_cell(body=body, extra=extra)) == {}


def test_a_cell_with_the_batch_first_stays_in_float():
    model = make_cell()
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("layout", 1))
    assert find_recurrent(model) == {}


def test_a_weight_that_is_not_finite_stays_in_float():
    model = make_cell()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "r")
    value = numpy_helper.to_array(tensor).copy()
    value[0, 0, 0] = np.inf
    tensor.CopyFrom(numpy_helper.from_array(value, "r"))
    assert find_recurrent(model) == {}


def test_cells_are_planned_where_this_machine_is_the_target_and_nowhere_else(scheme):
    model = make_cell()
    assert [node.name for node in split_plan(int8_policy(scheme).plan(model, frozenset()))[1].nodes] == ["cell"]
    assert int8_policy(scheme, kernels=None).plan(model, frozenset()).nodes == ()
    assert int8_policy(scheme).plan(model, frozenset({"cell"})).nodes == ()
    asked = choose_scheme("x86_64", frozenset(), "int8")
    assert int8_policy(asked).plan(model, frozenset()).nodes == ()


def test_on_a_cpu_without_vnni_the_weights_never_saturate(tmp_path, steps):
    saturating = int8_policy(choose_scheme("x86_64", frozenset(), "auto")).scheme
    model = make_cell()
    written = make_int8(model, saturating)
    for tensor in written.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 3:
            assert not find_saturating(numpy_helper.to_array(tensor)[0], axis=1).any()
    found = run_without_vnni(tmp_path, {"cell": (written, steps)})["cell"]
    (row,) = compare({"y": run_model(written, {"x": steps})["y"]}, {"y": found})
    assert row.sqnr_db > 60


def test_a_hostile_scale_of_such_a_cell_is_refused(scheme):
    written = make_int8(make_cell(), scheme)
    check_scales(written, "model")
    scale = next(t for t in written.graph.initializer if t.name == "cell_recurrence_scale")
    value = numpy_helper.to_array(scale).copy()
    value[0, 3] = -1.0
    scale.CopyFrom(numpy_helper.from_array(value, scale.name))
    with pytest.raises(ToolchainError):
        check_scales(written, "model")
