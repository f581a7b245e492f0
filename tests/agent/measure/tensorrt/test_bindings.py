"""Every TensorRT and CUDA name that the agent uses exists, with a signature that takes the agent's call.

The recordings are of the real bindings (record_bindings.py makes them anew); where a package is installed it is asked too.
"""

import importlib
import json
from pathlib import Path

import pytest

from tests.agent.measure.tensorrt.binding_signatures import VALUE, accepts, describe_name, list_parameters
from tests.agent.measure.tensorrt.used_names import Use, list_cuda_uses, list_tensorrt_uses

RECORDINGS = sorted((Path(__file__).parent / "bindings").glob("*.json"))
INSTALLED = ("tensorrt", "tensorrt_bindings", "tensorrt_rtx", "cuda.bindings.runtime")


def list_uses(package):
    return list_cuda_uses() if package.startswith("cuda") else list_tensorrt_uses()


def explain(use, signatures):
    """Return what is wrong with a use of a name, or None."""
    if signatures is None:
        return f"{use.name} does not exist"
    if use.positional is not None and not any(accepts(line, use.positional, use.keywords) for line in signatures):
        # An __init__ that only wrapped subclasses call counts self.
        bound = use.name.endswith("__init__") and any(
            accepts(line, use.positional - 1, use.keywords) for line in signatures
        )
        return None if bound else f"{use} is not one of {signatures}"
    if use.parameters is not None:
        names = [[name for name, _ in list_parameters(line)] for line in signatures if line != VALUE]
        if list(use.parameters) not in names:
            return f"{use.name} is called with {names}, the agent's has {use.parameters}"
    return None


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_recorded_bindings_have_every_name_with_its_signature(path):
    recorded = json.loads(path.read_text(encoding="utf-8"))
    problems = [explain(use, recorded.get(use.name)) for use in list_uses(path.stem)]
    assert [problem for problem in problems if problem] == []


@pytest.mark.parametrize("name", INSTALLED)
def test_the_installed_bindings_have_every_name_with_its_signature(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} is not installed here, or lacks its libraries: {error}")
    if module.__file__ is None:  # pytest puts tests/agent on the path, and this folder is no package
        pytest.skip(f"{name} is not installed here")
    problems = [explain(use, describe_name(module, use.name)) for use in list_uses(name)]
    assert [problem for problem in problems if problem] == []


def test_the_recordings_reach_from_tensorrt_10_3_to_11_and_over_two_cuda_versions():
    versions = {path.stem.rpartition("-")[2].partition(".")[0] for path in RECORDINGS if "tensorrt" in path.stem}
    assert versions == {"10", "11"}
    assert any(path.stem.endswith("-10.3.0") for path in RECORDINGS)
    assert {path.stem.partition("-")[2].partition(".")[0] for path in RECORDINGS if "cuda_" in path.stem} == {
        "12",
        "13",
    }


def test_the_names_are_those_of_the_source():
    names = {use.name for use in list_tensorrt_uses()}
    assert {"Builder.build_serialized_network", "IExecutionContext.execute_async_v3", "BuilderFlag.TF32"} <= names
    assert {"cudaMalloc", "cudaGraphLaunch", "cudaDeviceProp.major"} <= {use.name for use in list_cuda_uses()}
    # What TensorRT 11 removed.
    removed = ("BuilderFlag.FP16", "BuilderFlag.INT8", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH")
    assert not [name for name in names if "Calibrator" in name or name in removed]


@pytest.mark.parametrize(
    ("use", "signatures"),
    [
        (Use("Builder.gone"), None),
        (Use("Builder.f", positional=2), ["f(self: Builder, a: int) -> None"]),
        (Use("Builder.f", positional=0), ["f(self: Builder, a: int) -> None"]),
        (Use("Builder.f", positional=0, keywords=("b",)), ["f(self: Builder, a: int = 0) -> None"]),
        (Use("Builder.f", positional=0), ["property"]),
        (Use("ILogger.log", parameters=("severity", "text")), ["log(self: ILogger, severity: X, msg: str) -> None"]),
    ],
)
def test_a_name_that_does_not_fit_is_found(use, signatures):
    assert explain(use, signatures) is not None


@pytest.mark.parametrize(
    ("signature", "positional", "keywords"),
    [
        ("f(self: Builder, a: int, b: str = None) -> bool", 1, ()),
        ("f(self: Builder, a: int, b: str = None) -> bool", 1, ("b",)),
        ("2. f(self: X, a: Tuple[bool, List[int]], b: Any) -> Tuple[bool, int]", 2, ()),
        ("cudaMemcpyAsync(dst, src, size_t count, kind: cudaMemcpyKind, stream)", 5, ()),
    ],
)
def test_a_call_that_fits_is_accepted(signature, positional, keywords):
    assert accepts(signature, positional, keywords)
