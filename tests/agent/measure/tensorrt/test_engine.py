import importlib.util

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.agent.measure.tensorrt.conftest import SHAPES
from tests.agent.measure.tensorrt.fake_tensorrt import FakeTensorRt
from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.session import ShapeRange
from toolchain.agent.measure.tensorrt.engine import BuildOptions, build_engine, find_workspace_bytes, parse_model
from toolchain.agent.measure.tensorrt.execution import deserialize
from toolchain.agent.measure.tensorrt.macs import list_multiply_layers

# TensorRT for RTX has no timing cache; its calls are there, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")

FREE = 1 << 30
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed (the extra rtx)"
)


@pytest.fixture(params=["fake", pytest.param("rtx", marks=needs_rtx)])
def builder_library(request, trt):
    """The fake, and NVIDIA's own builder for RTX cards: it has the API of TensorRT 11 and builds without a GPU."""
    if request.param == "fake":
        return trt
    import tensorrt_rtx

    return tensorrt_rtx


def build(library, model, **options):
    options = {"shapes": SHAPES, "spec": BuildSpec(), "free_bytes": FREE, **options}
    return build_engine(library, model, "model.onnx", BuildOptions(**options))


def assert_refused(code, call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def test_a_model_becomes_an_engine_and_tells_its_progress(builder_library, named_model):
    steps = []
    built = build(builder_library, named_model(), on_steps=lambda done, total: steps.append((done, total)))
    assert len(built.engine) > 100
    assert built.timing_cache
    assert built.build_s > 0
    assert built.gpu_fallback == ()
    assert steps[-1][0] == steps[-1][1] > 1
    assert steps == sorted(steps)


def test_a_model_of_fixed_shapes_needs_no_profile(builder_library, named_model):
    assert build(builder_library, named_model(batch=2), shapes={}).engine


def test_an_int8_model_with_explicit_quantization_builds(builder_library):
    assert build(builder_library, make_int8_model(), shapes={}).engine


def make_int8_model():
    """A convolution by TensorRT's rules: symmetric, per-channel weights, no quantized bias."""
    weights = np.random.default_rng(3).integers(-127, 128, (8, 3, 3, 3)).astype(np.int8)
    model = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["" : 17]>
        net (float[1,3,8,8] input) => (float[1,8,8,8] output) {
            input_q = QuantizeLinear (input, scale, zero)
            input_dq = DequantizeLinear (input_q, scale, zero)
            w_dq = DequantizeLinear <axis = 0> (w_q, w_scale, w_zero)
            output = Conv <pads = [1, 1, 1, 1]> (input_dq, w_dq)
        }""")
    arrays = {
        "scale": np.float32(0.1),
        "zero": np.int8(0),
        "w_q": weights,
        "w_scale": np.full(8, 0.01, np.float32),
        "w_zero": np.zeros(8, np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items())
    for index, node in enumerate(model.graph.node):
        node.name = f"node_{index}_{node.op_type}"
    return model.SerializeToString()


def test_the_network_is_strongly_typed_and_float32_is_float32(trt, named_model):
    build(trt, named_model())
    assert trt.networks_flags == [1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED]
    assert trt.BuilderFlag.TF32 not in trt.configs[0].flags
    assert trt.BuilderFlag.SPARSE_WEIGHTS in trt.configs[0].flags
    assert trt.configs[0].profiling_verbosity == trt.ProfilingVerbosity.DETAILED


def test_a_tensorrt_without_the_flag_has_only_strongly_typed_networks(trt, named_model):
    trt.NetworkDefinitionCreationFlag = object
    build(trt, named_model())
    assert trt.networks_flags == [0]


def test_a_build_takes_half_of_the_memory_that_is_free(trt, named_model):
    build(trt, named_model())
    pools = trt.configs[0].pools
    assert pools == {trt.MemoryPoolType.WORKSPACE: FREE // 2, trt.MemoryPoolType.TACTIC_DRAM: FREE // 2}


def test_the_timing_cache_of_an_earlier_build_is_used_and_that_of_another_gpu_is_not(trt, named_model):
    build(trt, named_model(), timing_cache=b"timings of before")
    build(trt, named_model(), timing_cache=b"of another GPU")
    assert [config.timings for config in trt.configs] == [b"timings of before", b""]


def test_a_dynamic_shape_without_a_profile_is_refused(builder_library, named_model):
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: build(builder_library, named_model(), shapes={}))
    assert error.where == "input input"
    assert error.fix


@pytest.mark.parametrize("shape", [(1, 3, 8, 9), (1, 3, 8), (1, 1, 8, 8)])
def test_shapes_that_are_not_the_models_are_refused(builder_library, named_model, shape):
    shapes = {"input": ShapeRange(least=shape, usual=shape, most=shape)}
    assert_refused(ExitCode.MALFORMED, lambda: build(builder_library, named_model(), shapes=shapes))


def test_an_operator_that_tensorrt_lacks_is_named(builder_library, named_model):
    model = onnx.load_model_from_string(named_model())
    model.graph.node[1].op_type = "NoSuchOperator"
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: build(builder_library, model.SerializeToString()))
    assert "NoSuchOperator" in error.where
    assert error.fix


def test_a_build_ends_at_its_time_limit(builder_library, named_model):
    error = assert_refused(
        ExitCode.INCOMPATIBLE, lambda: build(builder_library, named_model(), spec=BuildSpec(limit_s=0.0))
    )
    assert error.what == "the engine was not built within the time limit"
    assert error.expected == "at most 0 s"


def test_too_little_memory_is_refused_before_the_model_is_parsed(builder_library, named_model):
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: build(builder_library, named_model(), free_bytes=1 << 20))
    assert error.found == "1 MiB"
    assert error.fix


@pytest.mark.parametrize(("model_bytes", "free_bytes"), [(0, 64 << 20), (100 << 20, 364 << 20)])
def test_memory_that_just_suffices_is_enough(model_bytes, free_bytes):
    assert find_workspace_bytes(model_bytes, free_bytes, None) == max(64 << 20, free_bytes // 2)
    assert_refused(ExitCode.INCOMPATIBLE, lambda: find_workspace_bytes(model_bytes, free_bytes - 1, None))


def test_the_target_may_ask_for_less_memory_and_never_gets_more():
    assert find_workspace_bytes(0, 1 << 30, 100) == 100 << 20
    assert find_workspace_bytes(0, 1 << 30, 1000) == 512 << 20


def test_what_tensorrt_gives_up_on_is_told_in_its_words(trt, named_model):
    trt.failing.add("build_serialized_network")
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: build(trt, named_model()))
    assert error.found == "Error Code 10: could not find any implementation"


def test_a_tensorrt_that_cannot_start_is_incompatible(trt, named_model):
    trt.failing.add("Builder")
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: build(trt, named_model()))
    assert "driver" in error.fix


@needs_rtx
def test_an_engine_on_a_machine_without_its_gpu_is_refused_and_not_a_crash(named_model, tmp_path):
    import tensorrt_rtx
    from cuda.bindings import runtime

    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("this machine has a GPU")
    engine = build(tensorrt_rtx, named_model()).engine
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: deserialize(tensorrt_rtx, engine, tmp_path / "model.engine"))
    assert "CUDA" in error.found


def test_the_macs_of_a_network_are_those_of_its_shapes(builder_library, named_model):
    network = parse_model(builder_library, named_model(), "model.onnx")
    found = {item.name: item.macs for item in list_multiply_layers(builder_library, network.network, 5)}
    # 8 channels of 8 x 8, each the sum of 3 x 3 x 3 products; 4 outputs of 8 products. Five samples.
    assert found == {"node_0_Conv": 5 * 8 * 64 * 27, "node_4_Gemm": 5 * 4 * 8}


def test_the_macs_of_an_int8_convolution_are_counted_too(builder_library):
    parsed = parse_model(builder_library, make_int8_model(), "model.onnx")
    found = list_multiply_layers(builder_library, parsed.network, 1)
    assert [(item.name, item.macs) for item in found] == [("node_3_Conv", 8 * 64 * 27)]


def test_macs_under_an_unknown_length_are_not_counted(builder_library):
    model = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["" : 17]>
        net (float[1,T,4] x) => (float[1,T,4] y) <float[4,4] w = {1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1}> { y = MatMul (x, w) }""")
    model.graph.node[0].name = "product"
    parsed = parse_model(builder_library, model.SerializeToString(), "model.onnx")
    assert [item.macs for item in list_multiply_layers(builder_library, parsed.network, 1)] == [None]


@needs_rtx
@pytest.mark.parametrize(
    ("text", "macs"),
    [
        ("net (float[1,4,6,6] x) => (y) <float[8,2,3,3] w> { y = Conv <group = 2> (x, w) }", 8 * 16 * 2 * 9),
        ("net (float[1,4,6,6] x) => (y) <float[4,3,2,2] w> { y = ConvTranspose (x, w) }", 4 * 36 * 3 * 4),
        ("net (float[2,5,4] x, float[2,4,3] z) => (y) { y = MatMul (x, z) }", 2 * 5 * 3 * 4),
        ("net (float[4,5] x, float[4,3] z) => (y) { y = Gemm <transA = 1> (x, z) }", 5 * 3 * 4),
    ],
    ids=["grouped convolution", "transposed convolution", "batched product", "transposed product"],
)
def test_macs_follow_groups_and_transposes_as_nvidias_parser_writes_them(text, macs):
    import tensorrt_rtx

    model = onnx.parser.parse_model('<ir_version: 9, opset_import: ["" : 17]> ' + text.replace("(y)", "(float y)"))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for value in model.graph.value_info:
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), value.name))
    parsed = parse_model(tensorrt_rtx, model.SerializeToString(), "model.onnx")
    assert [item.macs for item in list_multiply_layers(tensorrt_rtx, parsed.network, 1)] == [macs]


def test_two_versions_of_the_fake_build_different_engines(cudart, named_model):
    old, new = (build(FakeTensorRt(cudart, version=version), named_model()).engine for version in ("10.3.0", "11.4.0"))
    assert old != new
