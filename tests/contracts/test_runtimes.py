"""What every runtime must hold, on small graphs: the numbers, the names and types, the placement, the refusals."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.contracts.claims import find_broken_claims, pair_claims
from tests.contracts.outside import use_members
from tests.optimize.conftest import parse_model
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure import members, runtimes
from toolchain.agent.measure.layer_times import time_layers
from toolchain.agent.measure.session import find_runtime, open_session
from toolchain.agent.measure.traits import find_traits, list_runtimes
from toolchain.project.seams import RUNTIMES as SEAM
from toolchain.report.layer_costs import join_layers

# Members that cannot be tried on every machine, and why; where they can, they are.
NEEDS = {"tensorrt": "it needs an NVIDIA GPU and TensorRT; tests/agent/measure/tensorrt has what can be told without"}

NOT_HERE = "it is not installed; the extra of its name brings it"

_NET = "g (float[2, 3] x, int64[2] k) => (float[2, 5] y, int64[2] l) <float[3, 5] w, float[5] b> { {body} }"
_GRAPHS = {
    "a_product": ("[a] t = MatMul (x, w) [b] y = Add (t, b) [c] l = Neg (k)", lambda x, w, b: x @ w + b),
    "a_gemm": ("[a] y = Gemm (x, w, b) [c] l = Neg (k)", lambda x, w, b: x @ w + b),
    "a_rectified_gemm": (
        "[a] t = Gemm (x, w, b) [b] y = Relu (t) [c] l = Neg (k)",
        lambda x, w, b: np.maximum(x @ w + b, 0),
    ),
}
_MACS = 2 * 3 * 5
_TOLERANCE = 1e-5  # of sums of three products in float32


def is_here(name):
    try:
        find_runtime(name).read_version()
    except ToolchainError as error:
        return error.code != ExitCode.MISSING
    return True


use_members(SEAM)
RUNTIMES = [
    pytest.param(
        name, marks=() if name == "onnxruntime" or is_here(name) else pytest.mark.skip(NEEDS.get(name, NOT_HERE))
    )
    for name in list_runtimes()
    if find_traits(name).engine != "host"  # no board opens its payloads
]


@pytest.mark.parametrize("name", list_runtimes())
def test_a_runtime_that_says_that_it_pins_threads_can_be_asked_to(name):
    assert hasattr(members.import_member(runtimes, name), "open_pinned") == (find_traits(name).pins_from is not None)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Keep the files of the graphs in one folder."""
    _Folder.path = tmp_path_factory.mktemp("graphs")
    return _Folder.path


class _Folder:
    path = None


def build(graph):
    return parse_model(_NET.replace("{body}", _GRAPHS[graph][0]), opset=17, ir_version=9)


def write(graph):
    path = _Folder.path / f"{graph}.onnx"
    onnx.save(build(graph), path)
    return path


def draw():
    rng = np.random.default_rng(5)
    return {"x": rng.standard_normal((2, 3)).astype(np.float32), "k": np.array([3, -4])}


def it_computes_what_numpy_computes(runtime):
    feeds = draw()
    for graph, (_, compute) in _GRAPHS.items():
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in build(graph).graph.initializer}
        outputs = open_session(runtime, write(graph), 1).run(feeds)
        np.testing.assert_allclose(
            outputs["y"], compute(feeds["x"], weights["w"], weights["b"]), rtol=_TOLERANCE, atol=_TOLERANCE
        )
        np.testing.assert_array_equal(outputs["l"], -feeds["k"])


def it_states_inputs_and_outputs_as_the_file_does(runtime):
    session = open_session(runtime, write("a_gemm"), 1)
    assert [(spec.name, spec.dtype, spec.shape) for spec in session.inputs] == [
        ("x", "float32", (2, 3)),
        ("k", "int64", (2,)),
    ]
    assert [(spec.name, spec.dtype, spec.shape) for spec in session.outputs] == [
        ("y", "float32", (2, 5)),
        ("l", "int64", (2,)),
    ]


def what_it_returns_has_the_types_that_it_states(runtime):
    session = open_session(runtime, write("a_gemm"), 1)
    outputs = session.run(draw())
    assert {name: (str(array.dtype), array.shape) for name, array in outputs.items()} == {
        spec.name: (spec.dtype, spec.shape) for spec in session.outputs
    }


def it_does_not_touch_what_it_is_given(runtime):
    feeds, before = draw(), draw()
    open_session(runtime, write("a_gemm"), 1).run(feeds)
    for name, array in feeds.items():
        np.testing.assert_array_equal(array, before[name])


def a_second_run_is_that_of_its_own_inputs(runtime):
    session = open_session(runtime, write("a_gemm"), 1)
    first = {name: array.copy() for name, array in session.run(draw()).items()}
    other = {name: array * 2 for name, array in draw().items()}
    assert not np.array_equal(session.run(other)["y"], first["y"])
    np.testing.assert_array_equal(session.run(draw())["y"], first["y"])


def it_closes(runtime):
    open_session(runtime, write("a_gemm"), 1).close()


def its_placement_has_every_multiplication_of_the_model(runtime):
    for graph in _GRAPHS:
        placement = find_runtime(runtime).read_placement(write(graph), 1, draw(), None)
        assert placement.macs == _MACS
        assert placement.uncounted == ()
        assert placement.precision_share_macs == {"float32": 1.0}


def it_times_the_layers_of_its_placement_or_says_why_not(runtime):
    placement = find_runtime(runtime).read_placement(write("a_gemm"), 1, draw(), None)
    times = time_layers(find_runtime(runtime), write("a_gemm"), 1, draw(), sha256="ab", placement=placement)
    assert (times.kernels == ()) == (times.problem is not None)  # so small a graph may take too little to be told
    if times.kernels:
        joined = join_layers(times.kernels, placement.layers)
        assert [layer.name for own in joined for layer in own] == [layer.name for layer in placement.layers]
        assert (times.peaks is None) == (times.peaks_problem is not None)


def a_file_that_is_no_model_is_refused_as_malformed(runtime):
    path = _Folder.path / "broken.onnx"
    for content in (b"", b"not a model", write("a_gemm").read_bytes()[:-20]):
        path.write_bytes(content)
        with refused(ExitCode.MALFORMED):
            open_session(runtime, path, 1)


def feeds_that_do_not_fit_are_refused_as_malformed(runtime):
    session = open_session(runtime, write("a_gemm"), 1)
    for feeds in ({}, {**draw(), "x": draw()["x"].astype(np.float64)}, {**draw(), "x": np.zeros((3, 3), np.float32)}):
        with refused(ExitCode.MALFORMED):
            session.run(feeds)


class refused:  # noqa: N801 - it reads as a sentence
    def __init__(self, code):
        self.code = code

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert isinstance(error, ToolchainError), f"nothing was refused, or by {kind}"
        assert error.code is self.code
        return True


CLAIMS = (
    it_computes_what_numpy_computes,
    it_states_inputs_and_outputs_as_the_file_does,
    what_it_returns_has_the_types_that_it_states,
    it_does_not_touch_what_it_is_given,
    a_second_run_is_that_of_its_own_inputs,
    it_closes,
    its_placement_has_every_multiplication_of_the_model,
    it_times_the_layers_of_its_placement_or_says_why_not,
    a_file_that_is_no_model_is_refused_as_malformed,
    feeds_that_do_not_fit_are_refused_as_malformed,
)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("claim", [pair.values[0] for pair in pair_claims(CLAIMS, [""])])
def test_every_runtime_keeps_the_contract(claim, runtime):
    claim(runtime)


# A runtime from outside: ours in other words, with one line changed by each test.
_MEMBER = """
from dataclasses import replace
from ..placement import Placement
from . import onnxruntime as own

TRAITS, load, read_version = own.TRAITS, own.load, own.read_version
read_accelerator, read_details = own.read_accelerator, own.read_details


def open_session(path, threads, build):
    return Session(own.open_session(path, threads, build))


def read_placement(path, threads, feeds, build):
    return own.read_placement(path, threads, feeds, build)


class Session:
    engine = None

    def __init__(self, inner):
        self.inner, self.inputs, self.outputs = inner, inner.inputs, inner.outputs

    def run(self, feeds):
        return self.inner.run(feeds)

    def close(self):
        self.inner.close()
"""
_CHANGES = {
    "nothing": ("", "", set()),
    "half_the_answer": (
        "return self.inner.run(feeds)",
        "return {**(found := self.inner.run(feeds)), 'y': found['y'] * 0.5}",
        {"it_computes_what_numpy_computes"},
    ),
    "another_type": (
        "return self.inner.run(feeds)",
        "return {**(found := self.inner.run(feeds)), 'y': found['y'].astype('float64')}",
        {"what_it_returns_has_the_types_that_it_states"},
    ),
    "a_lost_layer": (
        "return own.read_placement(path, threads, feeds, build)",
        "return Placement(layers=())",
        {"its_placement_has_every_multiplication_of_the_model"},
    ),
    "another_error": (
        "return Session(own.open_session(path, threads, build))",
        (
            "\n    try:\n        return Session(own.open_session(path, threads, build))\n"
            "    except Exception as error:\n        raise AssertionError(str(error))"
        ),
        {"a_file_that_is_no_model_is_refused_as_malformed"},
    ),
}


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Return a function that registers a file as a runtime of this process, until the test ends."""
    import sys

    monkeypatch.setattr(members, "_files", {})

    def register(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        monkeypatch.delitem(sys.modules, f"{runtimes.__name__}.{name}", raising=False)
        members.register_argument(f"runtimes:{name}={path}")
        return path

    yield register
    for name in [name for name in sys.modules if name.startswith(f"{runtimes.__name__}.from_outside")]:
        del sys.modules[name]


@pytest.mark.parametrize("change", _CHANGES)
def test_a_runtime_from_outside_is_held_to_the_contract_too(register, change):
    old, new, broken = _CHANGES[change]
    name = f"from_outside_{change}"
    register(name, _MEMBER.replace(old, new) if old else _MEMBER)
    assert name in list_runtimes()
    assert find_broken_claims(CLAIMS, name) == broken
