"""Small ONNX models, as text, and the claims that every pass's tests make."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from toolchain.optimize import optimize


def parse_model(graph, opset=21, seed=0, ir_version=10):
    """Return the model of a graph's text; tensors that are declared without a value get random ones."""
    model = parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["" : {opset}, "local" : 1]> {graph}')
    made = {name for node in model.graph.node for name in node.output}
    rng = np.random.default_rng(seed)
    for value in [value for value in model.graph.value_info if value.name not in made]:
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        model.graph.initializer.append(
            numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), value.name)
        )
        model.graph.value_info.remove(value)
    return model


def make_batch(model, seed=1):
    """Return random samples for a model; a symbolic axis has 2."""
    rng = np.random.default_rng(seed)
    batch = {}
    initialized = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.input if value.name not in initialized]:
        shape = [axis.dim_value or 2 for axis in value.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        is_float = np.issubdtype(dtype, np.floating)
        batch[value.name] = (rng.standard_normal(shape) * 3 if is_float else rng.integers(0, 2, shape)).astype(dtype)
    return batch


def list_operators(model):
    return [node.op_type for node in model.graph.node]


@pytest.fixture
def assert_acts():
    """Return a function that applies a pass, checks that the result computes the same, and returns it."""

    def check(step, model):
        before = model.SerializeToString()
        result = optimize(model, [make_batch(model), make_batch(model, seed=2)], passes=[step])
        assert result.passes[0].acted
        assert result.passes[0].sqnr_db > 100
        assert result.passes[0].report
        assert model.SerializeToString() == before
        assert step.apply(result.model).model is result.model  # once is enough
        return result.model

    return check


@pytest.fixture
def assert_idle():
    """Return a function that checks that a pass leaves a model alone, and returns why."""

    def check(step, model):
        onnx.checker.check_model(model)
        before = model.SerializeToString()
        applied = step.apply(model)
        assert applied.model is model
        assert model.SerializeToString() == before
        return applied.report

    return check
