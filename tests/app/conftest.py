"""The boards of tests/agent/application, for those who come from outside of this process, and the C++ side, built once."""

import fcntl
import importlib.util
import subprocess
from pathlib import Path

import pytest

from tests.agent.application.conftest import board, bundles, bytecode, frames, keys, one_cpu, pinned, template
from tests.app.headers import HEADERS
from toolchain.agent.measure.libraries import find_libraries

__all__ = ["board", "bundles", "bytecode", "frames", "keys", "one_cpu", "pinned", "sanitized", "template"]

_REPOSITORY = Path(__file__).parents[2]


def _find_cuda():
    """Return where NVIDIA's CUDA headers and runtime lie, which PyTorch and Triton bring for a GPU; nothing where they do not."""
    roots = [
        Path(folder)
        for name in ("nvidia", "triton")
        if (spec := importlib.util.find_spec(name)) is not None
        for folder in spec.submodule_search_locations or ()
    ]
    includes = [path.parents[1] for root in roots for path in root.glob("**/include/crt/host_defines.h")]
    libraries = [path for root in roots for path in root.glob("cu*/lib/libcudart.so.*")]
    if not includes or not libraries:
        return {}
    return {"CUDA_INCLUDE": includes[0], "CUDA_LIBRARY": libraries[0]}


@pytest.fixture(scope="session")
def sanitized():
    """Return the folder of the programs, built with AddressSanitizer against the very library that Python's package has."""
    library = next(path for name, path in find_libraries("onnxruntime").items() if "/libonnxruntime.so." in name)
    folder = _REPOSITORY / "build/app/sanitized"
    options = {"ONNXRUNTIME_INCLUDE": HEADERS, "ONNXRUNTIME_LIBRARY": library, **_find_cuda()}
    defined = [f"-D{name}={value}" for name, value in options.items()]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # each worker of pytest-xdist comes here; the first one builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (
            ["-S", _REPOSITORY / "tests/app/cpp", "-B", folder, *defined],
            ["--build", folder, "--parallel", "2"],
        ):
            subprocess.run(["cmake", *words], check=True, stdout=subprocess.DEVNULL)
    return folder
