"""Small ONNX models, as text, for the lowering tests."""

from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from toolchain.agent.measure.facts import read_facts
from toolchain.lower import LowerRequest, lower_model
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8
from toolchain.lower.trial import Bench
from toolchain.project.find import find_target
from toolchain.project.recipe import QuantizeSection

RESIDUAL = """
<ir_version: 10, opset_import: ["": 21]>
residual (float[n, 3, 8, 8] image) => (float[n, 5] scores)
<float[4, 3, 3, 3] w1, float[4] b1, float[4, 4, 3, 3] w2, float[4] b2, float[5, 4] w3, float[5] b3, int64[2] flat = {0, -1}>
{
    [conv1] c1 = Conv<pads = [1, 1, 1, 1]>(image, w1, b1)
    [relu1] r1 = Relu(c1)
    [conv2] c2 = Conv<pads = [1, 1, 1, 1]>(r1, w2, b2)
    [add] a = Add(c2, r1)
    [relu2] r2 = Relu(a)
    [pool] p = GlobalAveragePool(r2)
    [reshape] f = Reshape(p, flat)
    [gemm] scores = Gemm<transB = 1>(f, w3, b3)
}
"""


def parse_model(text, seed=0):
    """Return the model of a text; tensors that are declared without a value become seeded normal weights."""
    model = parser.parse_model(text)
    made = {name for node in model.graph.node for name in node.output}
    generator = np.random.default_rng(seed)
    for value in [value for value in model.graph.value_info if value.name not in made]:
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        weights = generator.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]) + 1)
        model.graph.initializer.append(numpy_helper.from_array(weights.astype(np.float32), value.name))
        model.graph.value_info.remove(value)
    onnx.checker.check_model(model, full_check=True)
    return model


def run_model(model, inputs, names=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names or [o.name for o in session.get_outputs()], session.run(names, inputs), strict=True))


def observe_ranges(model, inputs, tensors):
    """Return the plain min-max range of each tensor."""
    known = {value.name for value in model.graph.output}
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=n) for n in tensors if n not in known and n not in inputs)
    values = {**run_model(watched, inputs), **inputs}
    return {name: TensorRange(low=float(values[name].min()), high=float(values[name].max())) for name in tensors}


@pytest.fixture
def residual():
    return parse_model(RESIDUAL)


@pytest.fixture
def images():
    return {"image": np.random.default_rng(1).standard_normal((16, 3, 8, 8)).astype(np.float32)}


@pytest.fixture
def scheme() -> Scheme:
    # Weights that do not saturate: they are right on every CPU that the tests may run on.
    return choose_scheme("x86_64", frozenset(), "auto")


@pytest.fixture
def bench(residual, images, scheme):
    ranges = observe_ranges(residual, images, plan_int8(residual).tensors)
    feeds = [{"image": images["image"][index : index + 1]} for index in range(16)]
    build = partial(int8_policy(scheme).write, residual, ranges)
    return Bench(model=residual, build=build, feeds=(), references=(), kernels="onnxruntime").on(feeds)


@pytest.fixture
def feeds(images):
    return [{"image": images["image"][index : index + 1]} for index in range(16)]


@pytest.fixture
def lower(tmp_path):
    """Return what lowers a model for a target and returns the folder of the result."""

    def run(model, feeds, target, precision, *, listed=None, sqnr_db_min=None, facts=None, build=None, **options):
        (tmp_path / "float.onnx").write_bytes(model.SerializeToString())
        chosen = find_target(target)
        if listed is not None:
            chosen = chosen.model_copy(update={"precision": listed})
        if build is not None:
            chosen = chosen.model_copy(update={"build": build})
        request = LowerRequest(
            model=tmp_path / "float.onnx",
            exported=tmp_path / "float.onnx",
            target=chosen.narrow(precision),
            precision=precision,
            facts=facts or read_facts("onnxruntime"),
            feeds=feeds,
            options=QuantizeSection(**{"calibration": "minmax", **options}),
            sqnr_db_min=sqnr_db_min or {},
        )
        out = tmp_path / f"{target}-{precision}"
        out.mkdir(exist_ok=True)
        lower_model(request, out, start_steps=lambda _name, _total: lambda: None)
        return out

    return run
