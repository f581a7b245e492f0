from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import parser

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph import session
from toolchain.graph.session import HostSession, open_as_board, profile_runs

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'
MODEL = f"""{HEAD} g (float[N, 4] x, int64[N] i) => (float[N, 4] y, int64[N] j)
{{ [neg] a = Neg (x) [relu] y = Relu (a) [same] j = Identity (i) }}"""
BATCH = {"x": np.array([[1, -2, 3, -4], [-1, 2, -3, 4]], np.float32), "i": np.arange(2)}

# A product of 8-bit pairs between which an int8 kernel of ONNX Runtime fits.
PAIRED = f"""{HEAD} g (float[N, 4] x) => (float[N, 2] y)
<float s = {{0.01}}, uint8 z = {{128}}, int8[4, 2] wq = {{1, -2, 3, -4, 5, -6, 7, -8}}, float ws = {{0.1}}, int8 wz = {{0}}>
{{ q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) w = DequantizeLinear (wq, ws, wz)
   [mul] p = MatMul (d, w) r = QuantizeLinear (p, s, z) y = DequantizeLinear (r, s, z) }}"""


def parse(text):
    return parser.parse_model(text)


def refuse(code, function, *arguments, **options):
    with pytest.raises(ToolchainError) as caught:
        function(*arguments, **options)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def list_run_operators(model):
    events = profile_runs(model, {"x": np.ones((2, 4), np.float32)}, threads=1, runs=2)
    return [event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")]


def test_a_profile_has_five_runs_though_the_time_for_it_is_over():
    limits = {"threads": 1, "runs": 30, "limit_s": 0.0}
    events = profile_runs(parse(MODEL), BATCH, **limits)
    assert sum(event["name"] == "model_run" for event in events) == 5


def test_a_model_in_memory_and_a_file_give_the_same_outputs_in_the_models_order(tmp_path):
    onnx.save(parse(MODEL), tmp_path / "m.onnx")
    for source in (parse(MODEL), tmp_path / "m.onnx"):
        outputs = HostSession(source).run(BATCH)
        assert list(outputs) == ["y", "j"]
        np.testing.assert_array_equal(outputs["y"], np.maximum(-BATCH["x"], 0))
        assert outputs["j"].tolist() == [0, 1]


def test_inputs_and_outputs_are_told_as_the_agent_tells_them(tmp_path):
    onnx.save(parse(MODEL), tmp_path / "m.onnx")
    ours, theirs = HostSession(parse(MODEL)), open_as_board(tmp_path / "m.onnx", threads=1)
    assert (ours.inputs, ours.outputs) == (theirs.inputs, theirs.outputs)
    assert [(spec.name, spec.dtype, spec.shape) for spec in ours.inputs] == [
        ("x", "float32", (None, 4)),
        ("i", "int64", (None,)),
    ]


@pytest.mark.parametrize("fused", [True, False])
def test_chosen_tensors_come_back_in_the_order_asked_for(fused):
    found = HostSession(parse(MODEL), fused=fused, tensors=["y", "a", "x"]).run(BATCH)
    assert list(found) == ["y", "a", "x"]
    np.testing.assert_array_equal(found["a"], -BATCH["x"])
    assert found["x"] is BATCH["x"]


def test_chosen_tensors_of_a_file_come_back_too(tmp_path):
    onnx.save(parse(MODEL), tmp_path / "m.onnx")
    assert list(HostSession(tmp_path / "m.onnx", tensors=["a"]).run(BATCH)) == ["a"]


def test_the_callers_model_is_left_alone():
    model = parse(MODEL)
    before = model.SerializeToString(deterministic=True)
    HostSession(model, tensors=["a"])
    assert model.SerializeToString(deterministic=True) == before


def test_a_tensor_that_the_graph_lacks_is_a_programmers_error():
    with pytest.raises(ValueError, match="no tensor 'b'"):
        HostSession(parse(MODEL), tensors=["a", "b"])


@pytest.mark.parametrize("integer_kernels", [True, False])
def test_pairs_are_computed_in_float_unless_integer_kernels_are_asked_for(monkeypatch, tmp_path, integer_kernels):
    make_options = session.make_options

    def keep_optimized(threads):
        options = make_options(threads)
        options.optimized_model_filepath = str(tmp_path / "opened.onnx")
        return options

    monkeypatch.setattr(session, "make_options", keep_optimized)
    HostSession(parse(PAIRED), integer_kernels=integer_kernels)
    operators = {node.op_type for node in onnx.load(tmp_path / "opened.onnx").graph.node}
    assert ("MatMul" in operators) is not integer_kernels


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"x": np.ones((2, 4))}, "wrong dtype"),
        ({"x": np.ones((2, 5), dtype=np.float32)}, "wrong shape"),
        ({"x": np.ones(4, dtype=np.float32)}, "wrong shape"),
        ({"z": np.ones(4)}, "not the model's inputs"),
    ],
)
def test_samples_that_do_not_fit_are_refused_before_the_model_runs(change, what):
    error = refuse(ExitCode.USAGE, HostSession(parse(MODEL)).run, BATCH | change, where="batch 3")
    assert what in error.what
    assert error.where == "batch 3"


def test_samples_that_a_node_cannot_take_are_refused_with_their_shapes():
    model = parse(f"{HEAD} g (float[N, 4] x, int64[N] i) => (float[M, 4] y) {{ y = Gather (x, i) }}")
    opened = HostSession(model)
    assert opened.run({"x": BATCH["x"], "i": np.array([0, 1])})["y"].shape == (2, 4)
    error = refuse(ExitCode.USAGE, opened.run, {"x": BATCH["x"], "i": np.array([0, 9])}, where="batch 3")
    assert "fails on the samples" in error.what
    assert error.where == "batch 3: x float32(2, 4), i int64(2,)"


def test_a_model_that_the_runtime_refuses_is_malformed(tmp_path):
    model = parse(f"{HEAD} g (float[2, 4] x) => (float[2, 4] y) {{ t = Cast <to = 7> (x) y = Add (x, t) }}")
    refuse(ExitCode.MALFORMED, HostSession, model)
    onnx.save(model, tmp_path / "m.onnx")
    assert refuse(ExitCode.MALFORMED, HostSession, tmp_path / "m.onnx").where == str(tmp_path / "m.onnx")


def test_an_operator_that_the_runtime_has_for_no_such_type_is_malformed():
    model = parse(f"{HEAD} g (bfloat16[2, 4] x) => (bfloat16[2, 4] y) {{ y = Conv (x, x) }}")
    refuse(ExitCode.MALFORMED, HostSession, model)


def test_an_output_that_is_no_tensor_is_refused_as_on_a_board():
    model = parse(f"{HEAD} g (float[2, 4] x) => (seq(float[2, 4]) y) {{ y = SequenceConstruct (x) }}")
    assert "the model" in refuse(ExitCode.INCOMPATIBLE, HostSession, model).where


def test_threads_that_run_at_once_get_what_they_fed():
    opened = HostSession(parse(MODEL), tensors=["a"])
    batches = [{"x": np.full((2, 4), number, np.float32), "i": BATCH["i"]} for number in range(32)]
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(opened.run, batches))
    assert [float(outputs["a"].max()) for outputs in found] == [-float(number) for number in range(32)]


def test_without_an_arena_a_run_returns_what_it_returns_with_one(monkeypatch):
    asked = []
    monkeypatch.setattr(
        session,
        "_open",
        lambda source, options, *rest, own=session._open: (
            asked.append(options.enable_cpu_mem_arena) or own(source, options, *rest)
        ),
    )
    found = [HostSession(parse(MODEL), arena=arena).run(BATCH)["y"].tolist() for arena in (True, False)]
    assert found[0] == found[1]
    assert asked == [True, False]


def test_a_model_in_memory_is_opened_as_a_board_opens_its_file(tmp_path):
    onnx.save(parse(PAIRED), tmp_path / "m.onnx")
    feed = {"x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    in_memory, file = (open_as_board(source, threads=1) for source in (parse(PAIRED), tmp_path / "m.onnx"))
    np.testing.assert_array_equal(in_memory.run(feed)["y"], file.run(feed)["y"])
    refuse(ExitCode.MALFORMED, open_as_board, parse(f"{HEAD} g (float x) => (int64 y) {{ y = Neg (x) }}"), threads=1)


def test_a_profile_has_every_run_of_the_kernels_that_a_board_takes():
    operators = list_run_operators(parse(PAIRED))
    assert "MatMul" not in operators
    assert operators.count("QuantizeLinear") == 2


def test_a_large_model_is_opened_from_a_file_that_is_gone_then(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = []
    monkeypatch.setattr(
        session, "_open", lambda source, *rest, own=session._open: opened.append(source) or own(source, *rest)
    )
    expected = HostSession(parse(MODEL), fused=False, tensors=["a", "y"]).run(BATCH)
    monkeypatch.setattr(session, "_FILE_MIN_BYTES", 1)
    found = HostSession(parse(MODEL), fused=False, tensors=["a", "y"]).run(BATCH)
    assert {name: array.tolist() for name, array in found.items()} == {n: a.tolist() for n, a in expected.items()}
    assert list(map(type, opened)) == [bytes, str]
    assert list(tmp_path.iterdir()) == []
