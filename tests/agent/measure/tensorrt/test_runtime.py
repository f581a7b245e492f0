"""The runtime `tensorrt` as the agent uses it: a bundle is verified on a board of fakes."""

import hashlib
import json
import sys

import onnx
import pytest

from tests.agent.measure.tensorrt.fake_tensorrt import FakeTensorRt
from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import Compatible, read_manifest
from toolchain.agent.measure import judge, payloads
from toolchain.agent.measure import verify as verify_module
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.gates.row import write_row
from toolchain.agent.measure.latency import Measurement
from toolchain.agent.measure.session import open_session
from toolchain.agent.measure.verify import verify_bundle

JETSON = Compatible(arch=None, accelerator="sm_87", runtime_versions={"tensorrt": ">=10.3"}, cpu_features=())


@pytest.fixture
def make_engine_bundle(make_bundle, named_model, tmp_path):
    """Return a function that makes a bundle for TensorRT; int8 and float32 are built of different models."""

    def make(**changes):
        def name(kind):
            path = tmp_path / f"named-{kind}.onnx"
            path.write_bytes(named_model(kind))
            return path

        good = {
            "runtimes": ["tensorrt"],
            "compatible": JETSON,
            "candidates": {"int8": name("int8"), "float32": name("float32")},
            "reference": name("float32"),
        }
        return make_bundle(**{**good, **changes})

    return make


@pytest.fixture
def pretend_latency(monkeypatch):
    """Return a function that puts made latencies (ms by path) in the place of the measurement."""

    def pretend(**latency_ms):
        def measure(runs, *, on_progress, **_options):
            blocks_ns = {}
            for path, run in runs.items():
                for _ in range(3):
                    run()
                name = path.split("/")[1]
                blocks_ns[path] = [[int(latency_ms[name] * 1e6)] * 40] * 30
            return Measurement(blocks_ns=blocks_ns, steady=dict.fromkeys(runs, True))

        monkeypatch.setattr(payloads, "measure_latency", measure)

    return pretend


def verify(bundle, on_progress=lambda step, done, total: None):
    return verify_bundle(bundle, on_progress=on_progress)


def list_engines(verification):
    return [candidate.payload.engine for candidate in verification.record.candidates]


def assert_refused(code, call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def test_int8_that_pays_is_shipped_and_the_report_has_its_engine(board, make_engine_bundle, pretend_latency):
    pretend_latency(int8=1.0, float32=2.0)
    verification = verify(make_engine_bundle(emulated=False))
    assert (verification.judgement.verdict, verification.judgement.shipped.precision) == ("pass", "int8")
    record = verification.describe()["record"]
    engine = record["candidates"][0]["payload"]["engine"]
    assert engine["sha256"] in board.trt.deserialized
    assert engine["size_bytes"] > 0
    assert engine["build_s"] >= 0
    assert engine["reused"] is False
    assert (engine["runtime_version"], engine["gpu"], engine["architecture"]) == ("10.3.0", "Orin", "sm_87")
    assert engine["cuda_graph"] is not None
    assert record["references"][0]["payload"]["engine"]["sha256"] != engine["sha256"]
    assert record["latency_scope"].endswith("host memory to host memory")


def test_int8_that_does_not_pay_gives_way_and_all_are_in_the_report(board, make_engine_bundle, pretend_latency):
    pretend_latency(int8=2.0, float32=1.0)
    verification = verify(make_engine_bundle(emulated=False))
    assert verification.judgement.shipped.precision == "float32"
    assert [candidate.status for candidate in verification.judgement.candidates] == ["rejected", "shipped"]
    assert "not faster than float32" in verification.judgement.reasons[0]
    assert all(candidate.payload.engine.sha256 for candidate in verification.record.candidates)
    # A report describes what ships, and so its layers are those that are timed.
    assert [candidate.layer_times is not None for candidate in verification.record.candidates] == [False, True]


@pytest.mark.parametrize(("last", "timed"), [(ExitCode.PARITY, [True, False]), (ExitCode.INVALID, [False, True])])
def test_where_nothing_ships_the_layers_are_timed_of_the_one_that_a_report_describes(
    board, make_engine_bundle, pretend_latency, monkeypatch, last, timed
):
    pretend_latency(int8=2.0, float32=1.0)

    def reject(candidate, _record, _manifest):
        code = ExitCode.PARITY if candidate.precision == "int8" else last
        row = write_row("made", "parity", measured="", required="", failure="no", code=code)
        return judge.JudgedCandidate(candidate.precision, candidate.precision, "rejected", (row,))

    monkeypatch.setattr(verify_module, "judge_one", reject)
    record = verify(make_engine_bundle(emulated=False)).record
    assert [candidate.layer_times is not None for candidate in record.candidates] == timed


@pytest.fixture
def verify_layers(board, make_engine_bundle, pretend_latency, named_model, tmp_path):
    """Return what verifies int8 against float32 with kernels of these times (ms), and returns the notes on layers."""

    def run(conv_ms, **changes):
        paths = {}
        for kind in ("int8", "float32"):
            model = onnx.load_from_string(named_model(kind))
            for node in model.graph.node:
                node.name = {"Conv": "conv", "Gemm": "gemm"}.get(node.op_type, node.name)
            paths[kind] = tmp_path / f"alike-{kind}.onnx"
            paths[kind].write_bytes(model.SerializeToString())
        pretend_latency(int8=1.0, float32=2.0)
        board.trt.kernel_ms = {("conv", "int8"): conv_ms, ("conv", "float"): 1.0}
        good = {"emulated": False, "candidates": paths, "reference": paths["float32"]}
        verification = verify(make_engine_bundle(**{**good, **changes}))
        assert verification.judgement.shipped.precision == "int8"  # whatever a note says, the verdict is another's
        assert board.cudart.list_leaks() == {}
        return [note for note in verification.record.validity.notes if "layer" in note]

    return run


def test_a_layer_whose_int8_kernel_is_slower_is_named_with_what_lowers_again_without_it(verify_layers):
    (note,) = verify_layers(2.0)
    assert "1 layer does not pay in int8" in note
    assert "'conv' (0.50 times as fast as in float32" in note
    assert '[quantize] keep_float = ["conv"]' in note


@pytest.mark.parametrize("conv_ms", [0.5, lambda run: 0.5 if run % 2 else 2.0, 0.0])
def test_a_layer_that_pays_or_may_pay_or_has_no_time_is_not_named(verify_layers, conv_ms):
    assert verify_layers(conv_ms) == []


@pytest.mark.parametrize("conv_ms", [float("nan"), -1.0])
def test_a_profile_that_cannot_be_used_is_a_note_and_no_failure(verify_layers, conv_ms):
    (note,) = verify_layers(conv_ms)
    assert note.startswith("the layers of int8 were not timed: TensorRT's profile cannot be used")


@pytest.fixture
def time_layers(board, make_engine_bundle, pretend_latency):
    """Return what verifies int8 with kernels of these times (ms) of its nodes, and returns its candidate's record."""

    def run(**kernel_ms):
        board.trt.kernel_ms = {(name, kind): ms for name, ms in kernel_ms.items() for kind in ("int8", "float")}
        pretend_latency(int8=1.0, float32=2.0)
        verification = verify(make_engine_bundle(emulated=False))
        assert (
            verification.judgement.shipped.precision == "int8"
        )  # whatever is told of layers, the verdict is another's
        assert board.cudart.list_leaks() == {}
        return verification.record.candidates[0]

    return run


def test_the_record_has_the_times_of_the_shipped_engines_kernels_with_their_layers(time_layers, board):
    candidate = time_layers()
    times, placement = candidate.layer_times, candidate.placement
    assert (times.sha256, times.problem) == (candidate.payload.sha256, None)
    assert times.runs >= 5
    assert times.run_us > 0
    assert [kernel.median_us for kernel in times.kernels] == [250.0, 500.0, 1000.0]
    assert [kernel.layers for kernel in times.kernels] == [(), *((layer.name,) for layer in placement.layers)]
    # What the inspector does not know has no kind; the others have TensorRT's.
    assert [kernel.op for kernel in times.kernels] == ["unknown", "CaskConvolution", "CaskGemmMatrixMultiply"]
    assert board.trt.builds == 2  # the engines that were proven, and none for a profile


def test_of_a_gpu_no_peak_is_made_up_and_the_reason_is_told(time_layers):
    times = time_layers().layer_times
    assert times.peaks is None
    assert "measures no peaks" in times.peaks_problem


@pytest.mark.parametrize(
    "lie",
    [float("nan"), float("inf"), -1.0, lambda run: 1.0 if run % 4 else -1.0],
    ids=["nan", "no end", "less than nothing", "less than nothing in one run"],
)
def test_a_profiler_that_tells_what_is_no_time_gives_a_reason_and_no_times(time_layers, named_model, lie):
    conv = next(node.name for node in onnx.load_from_string(named_model("int8")).graph.node if node.op_type == "Conv")
    times = time_layers(**{conv: lie}).layer_times
    assert times.kernels == ()
    assert "TensorRT's profile cannot be used" in times.problem


def test_the_placement_comes_from_the_engine(board, make_engine_bundle):
    placement = verify(make_engine_bundle()).record.candidates[0].placement
    assert [(layer.op, layer.precision) for layer in placement.layers] == [
        ("CONVOLUTION", "int8"),
        ("MATRIX_MULTIPLY", "float32"),
    ]
    assert placement.macs == 8 * 64 * 27 + 4 * 8


@pytest.fixture
def dla_board(board, monkeypatch, named_model):
    """Return a board with one DLA core, which takes no Gemm, and the name of the int8 model's one."""
    trt = FakeTensorRt(board.cudart, dla_cores=1)
    (refused,) = [node.name for node in onnx.load_from_string(named_model("int8")).graph.node if node.op_type == "Gemm"]
    trt.not_on_dla = {refused}
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    return trt, refused


def test_candidates_are_built_for_the_dla_of_the_target_and_the_reference_for_the_gpu(dla_board, make_engine_bundle):
    trt, refused = dla_board
    record = verify(make_engine_bundle(build=BuildSpec(dla_core=0, gpu_fallback=True))).record
    assert record.candidates[0].payload.engine.gpu_fallback == (refused,)
    assert record.reference.payload.engine.gpu_fallback == ()
    assert {config.default_device_type for config in trt.configs} == {None, trt.DeviceType.DLA}


def test_a_layer_that_the_dla_does_not_take_stops_the_proof(dla_board, make_engine_bundle):
    bundle = make_engine_bundle(build=BuildSpec(dla_core=0))
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: verify(bundle))
    assert dla_board[1] in error.where


def test_a_build_shows_its_progress(board, make_engine_bundle):
    steps = []
    verify(make_engine_bundle(), on_progress=lambda step, done, total: steps.append((step, done, total)))
    assert ("build payload/int8/model.onnx", 3, 3) in steps


def test_after_a_verification_nothing_of_the_gpu_is_held(board, make_engine_bundle):
    verify(make_engine_bundle())
    assert board.cudart.list_leaks() == {}


def test_a_second_verification_builds_nothing_and_opens_the_same_bytes(board, make_engine_bundle):
    bundle = make_engine_bundle()
    first = list_engines(verify(bundle))
    builds = board.trt.builds
    second = list_engines(verify(bundle))
    assert board.trt.builds == builds
    assert [item.sha256 for item in second] == [item.sha256 for item in first]
    assert [item.reused for item in second] == [True, True]
    assert [item.build_s for item in second] == [item.build_s for item in first]


def find_engine(board, bundle, payload):
    pins = json.loads((board.root / "engines.json").read_text())["engines"]
    bundle_id = read_manifest(bundle)[1]
    found = [
        digest
        for digest, pin in pins.items()
        if (pin["key"]["bundle_id"], pin["key"]["payload"]) == (bundle_id, payload)
    ]
    return board.root / "engines" / f"{found[0]}.engine"


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"?", lambda data: data[: len(data) // 2]])
def test_an_engine_that_was_changed_is_refused_and_never_deserialized(board, make_engine_bundle, damage):
    bundle = make_engine_bundle()
    verify(bundle)
    path = find_engine(board, bundle, "payload/int8/model.onnx")
    path.write_bytes(damage(path.read_bytes()))
    board.trt.deserialized.clear()
    error = assert_refused(ExitCode.CONTENT, lambda: verify(bundle))
    assert error.where == str(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() not in board.trt.deserialized
    assert board.cudart.list_leaks() == {}


def test_an_engine_that_is_gone_is_not_silently_built_again(board, make_engine_bundle):
    bundle = make_engine_bundle()
    verify(bundle)
    builds = board.trt.builds
    find_engine(board, bundle, "payload/float32/model.onnx").unlink()
    assert_refused(ExitCode.CONTENT, lambda: verify(bundle))
    assert board.trt.builds == builds


def test_after_an_upgrade_of_tensorrt_the_engines_are_built_and_proven_anew(board, make_engine_bundle, monkeypatch):
    bundle = make_engine_bundle()
    old = list_engines(verify(bundle))[0]
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(board.cudart, version="10.16.1"))
    new = list_engines(verify(bundle))[0]
    assert new.sha256 != old.sha256
    assert (new.reused, new.runtime_version) == (False, "10.16.1")


def test_a_board_with_another_gpu_is_refused_before_anything_is_built(board, make_engine_bundle):
    compatible = Compatible(arch=None, accelerator="sm_110", runtime_versions={}, cpu_features=())
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: verify(make_engine_bundle(compatible=compatible)))
    assert (error.where, error.found) == ("accelerator", "sm_87")
    assert board.trt.builds == 0


def test_a_tensorrt_that_is_too_old_is_refused_with_the_fix(board, make_engine_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(board.cudart, version="8.6.2"))
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: verify(make_engine_bundle()))
    assert (error.expected, error.found) == ("10.3 or newer", "8.6.2")
    assert "JetPack" in error.fix


def test_a_node_that_the_boards_parser_refuses_is_named(board, make_engine_bundle, tmp_path, named_model):
    model = onnx.load_model_from_string(named_model())
    model.graph.node[1].op_type = "NoSuchOperator"
    path = tmp_path / "strange.onnx"
    path.write_bytes(model.SerializeToString())
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: verify(make_engine_bundle(candidates={"int8": path})))
    assert "node_1_Relu (NoSuchOperator)" in error.where
    assert board.cudart.list_leaks() == {}


def test_too_little_memory_is_refused_with_the_fix(board, make_engine_bundle):
    board.cudart.free_bytes = 1 << 20
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: verify(make_engine_bundle()))
    assert "swap" in error.fix


@pytest.mark.parametrize("name", ["tensorrt", "cuda"])
def test_a_package_that_is_missing_says_how_to_get_it(board, monkeypatch, name):
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.setitem(sys.modules, module, None)
    error = assert_refused(ExitCode.MISSING, lambda: read_facts("tensorrt"))
    assert "JetPack" in error.fix or "Jetson" in error.fix


def test_a_folder_called_tensorrt_is_no_tensorrt(board, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", type(sys)("tensorrt"))
    assert_refused(ExitCode.MISSING, lambda: read_facts("tensorrt"))


def test_cuda_bindings_are_found_under_their_old_name(board, monkeypatch):
    package = type(sys)("cuda")
    package.cudart = board.cudart
    monkeypatch.setitem(sys.modules, "cuda", package)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    assert read_facts("tensorrt").accelerator == "sm_87"


def test_the_facts_name_the_gpu_and_what_is_unknown_is_none(board):
    facts = read_facts("tensorrt")
    assert (facts.runtime_version, facts.accelerator) == ("10.3.0", "sm_87")
    assert facts.details["gpu"] == "Orin"
    assert facts.details["gpu_memory_bytes"] == 8 << 30
    assert facts.details["driver_cuda"] == "12.6"
    assert facts.details["power_mode"] is None


def test_a_gpu_that_is_not_there_is_incompatible(board):
    from tests.agent.measure.tensorrt.fake_cuda import cudaError_t

    board.cudart.failures = {0: cudaError_t.cudaErrorNoDevice}
    assert_refused(ExitCode.INCOMPATIBLE, lambda: read_facts("tensorrt"))


def test_a_file_outside_of_a_bundle_is_opened_where_its_shapes_are_fixed(board, tmp_path, named_model, samples):
    path = tmp_path / "model.onnx"
    path.write_bytes(named_model(batch=1))
    session = open_session("tensorrt", path, 1)
    assert session.run({"input": samples[0][:1]})["logits"].shape == (1, 4)
    session.close()
    path.write_bytes(named_model())
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: open_session("tensorrt", path, 1))
    assert error.what == "an input has a dynamic shape and no profile"


def test_a_file_that_is_missing_is_malformed(board, tmp_path):
    assert_refused(ExitCode.MALFORMED, lambda: open_session("tensorrt", tmp_path / "none.onnx", 1))


def test_engines_that_came_with_a_bundle_are_not_opened_where_the_host_says_where_its_own_are(
    board, make_engine_bundle, tmp_path
):
    stranger = tmp_path / "download"
    bundle = stranger / "releases" / ("a" * 64)
    bundle.parent.mkdir(parents=True)
    make_engine_bundle().rename(bundle)
    verify(bundle)  # as on a board: its engines lie beside the releases, and are opened again
    theirs = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (stranger / "engines").glob("*.engine")}
    board.trt.deserialized.clear()
    verify(bundle)
    assert set(board.trt.deserialized) == theirs
    board.trt.deserialized.clear()
    built = verify_bundle(bundle, on_progress=lambda step, done, total: None, engines=tmp_path / "own")
    assert not any(engine.reused for engine in list_engines(built))
    assert len(list((tmp_path / "own/engines").glob("*.engine"))) == len(theirs)
