import pytest

from tests.agent.measure.tensorrt.conftest import SHAPES
from tests.agent.measure.tensorrt.fake_tensorrt import FakeTensorRt
from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.tensorrt.engine import BuildOptions, build_engine


@pytest.fixture
def trt(cudart):
    return FakeTensorRt(cudart, dla_cores=2)


def build(trt, model, **dla):
    options = BuildOptions(shapes=SHAPES, free_bytes=1 << 30, spec=BuildSpec(**{"dla_core": 0, **dla}))
    return build_engine(trt, model, "model.onnx", options)


def test_a_model_that_the_dla_takes_runs_there_alone(trt, named_model):
    assert build(trt, named_model(), dla_core=1).gpu_fallback == ()
    config = trt.configs[0]
    assert (config.default_device_type, config.DLA_core) == (trt.DeviceType.DLA, 1)
    assert trt.BuilderFlag.GPU_FALLBACK not in config.flags


def test_a_layer_that_the_dla_does_not_take_is_refused_by_name(trt, named_model):
    trt.not_on_dla = {"node_3_Flatten", "node_4_Gemm"}
    with pytest.raises(ToolchainError) as caught:
        build(trt, named_model())
    assert caught.value.code == ExitCode.INCOMPATIBLE
    assert caught.value.where == "2 of 5 layers: node_3_Flatten, node_4_Gemm"


def test_with_fallback_the_layers_on_the_gpu_are_listed(trt, named_model):
    trt.not_on_dla = {"node_4_Gemm"}
    assert build(trt, named_model(), gpu_fallback=True).gpu_fallback == ("node_4_Gemm",)
    assert trt.BuilderFlag.GPU_FALLBACK in trt.configs[0].flags


@pytest.mark.parametrize(("cores", "core"), [(0, 0), (2, 2), (2, -1)])
def test_a_core_that_is_not_there_is_refused(trt, named_model, cores, core):
    trt.dla_cores = cores
    with pytest.raises(ToolchainError) as caught:
        build(trt, named_model(), dla_core=core)
    assert caught.value.code == ExitCode.INCOMPATIBLE


def test_without_a_wish_nothing_goes_to_the_dla(trt, named_model):
    build_engine(trt, named_model(), "model.onnx", BuildOptions(shapes=SHAPES, spec=BuildSpec(), free_bytes=1 << 30))
    assert trt.configs[0].default_device_type is None
