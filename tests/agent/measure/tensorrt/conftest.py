"""The fakes in the place of TensorRT and CUDA, and an engine to run."""

import onnx
import pytest

from tests.agent.measure.tensorrt.fake_cuda import FakeCudart
from tests.agent.measure.tensorrt.fake_tensorrt import FakeTensorRt
from tests.agent.measure.tensorrt.install_fakes import install_fakes
from tests.conftest import build_model
from toolchain.agent.measure.session import ShapeRange

SHAPES = {"input": ShapeRange(least=(1, 3, 8, 8), usual=(1, 3, 8, 8), most=(64, 3, 8, 8))}


def name_nodes(data):
    """Return an ONNX file whose nodes have names, as exporters write them."""
    model = onnx.load_model_from_string(data)
    for index, node in enumerate(model.graph.node):
        node.name = f"node_{index}_{node.op_type}"
    return model.SerializeToString()


@pytest.fixture
def named_model():
    """Return a function that returns the bytes of a small model: kind as in tests/conftest.py."""
    return lambda kind="float32", **options: name_nodes(build_model(kind, **options))


@pytest.fixture
def cudart():
    return FakeCudart()


@pytest.fixture
def trt(cudart):
    return FakeTensorRt(cudart)


@pytest.fixture
def board(monkeypatch, tmp_path, cudart, trt):
    """Put the fakes in the place of the packages, and the engines of bundles into a folder of the test's."""
    return install_fakes(monkeypatch, tmp_path, cudart, trt)
