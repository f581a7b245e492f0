"""What rides in a bundle beside payloads and data: what measures on its runtime, and nothing else."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import toolchain
from toolchain.agent.manifest import MetricSpec
from toolchain.agent.measure.libraries import find_module
from toolchain.bundle.agent_files import list_agent_files
from toolchain.run.sources import Sources

PACKAGE = Path(toolchain.__file__).parent
REPOSITORY = PACKAGE.parent
START = """
import runpy, sys
sys.path[:0] = [".", sys.argv.pop(1)]
try:
    runpy.run_module("agent", run_name="__main__", alter_sys=True)
finally:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "agent":
            print(module.__file__, file=sys.stderr)
    print(__import__("json").dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def list_names(runtime, metric=None):
    return set(list_agent_files(Sources(PACKAGE), runtimes=[runtime], metric=MetricSpec(name=metric, reference=None)))


@pytest.fixture
def make_site(tmp_path):
    """Return a function that returns a folder with numpy and a runtime, and no other package."""

    def make(runtime):
        folder = tmp_path / "site"
        folder.mkdir()
        for name in ("numpy", runtime):  # where the process that measures may look, beside the standard library
            tops = {file.parts[0] for file in metadata.files(name) if file.parts[0] != ".."}
            for top in tops:
                (folder / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
        return folder

    return make


# Layers and roofs are timed where time is measured, which it is not here; an application's wheel leaves them out.
TIMED = {
    "measure/onnxruntime_peaks.py", "measure/openvino/kernels.py", "measure/openvino/peaks.py", "measure/peaks.py",
}  # fmt: skip


def verify_alone(bundle, site):
    """Verify a bundle with its own agent; return the exit code, the agent's modules that ran, and all top-level names."""
    command = [sys.executable, "-I", "-S", "-B", "-c", START, site, "verify", "."]
    done = subprocess.run(list(map(str, command)), cwd=bundle, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    ran = {os.path.relpath(Path(bundle, line), bundle / "agent") for line in lines if line.endswith(".py")}
    return done.returncode, ran, json.loads(lines[-1])


@pytest.mark.parametrize(
    "runtime",
    [
        "onnxruntime",
        pytest.param("openvino", marks=pytest.mark.skipif(find_module("openvino") is None, reason="not installed")),
    ],
)
def test_a_bundle_proves_itself_with_the_standard_library_numpy_and_the_runtime_and_runs_all_that_rides(
    make_bundle, make_site, runtime
):
    bundle = make_bundle(runtimes=[runtime])
    code, ran, names = verify_alone(bundle, make_site(runtime))
    assert code == 0
    assert not {"toolchain", "torch", "onnx"} & set(names)
    rides = {path.relative_to(bundle / "agent").as_posix() for path in (bundle / "agent").rglob("*.py")}
    # A file that did not run would not be needed, and one that ran from elsewhere would not ride.
    assert ran.isdisjoint(TIMED)
    assert ran | {"__main__.py"} | (rides & TIMED) == rides == list_names(runtime, "top1")


def test_a_process_without_the_runtime_does_not_pass(make_bundle, make_site):
    site = make_site("onnxruntime")
    for path in site.glob("onnxruntime*"):
        path.unlink()
    assert verify_alone(make_bundle(), site)[0] == 3


@pytest.mark.parametrize(
    ("runtime", "others"),
    [
        ("onnxruntime", "tensorrt"),
        ("onnxruntime", "openvino"),
        ("tensorrt", "onnxruntime"),
        ("openvino", "onnxruntime"),
    ],
)
def test_neither_the_installer_nor_another_runtime_rides_along(runtime, others):
    names = list_names(runtime)
    assert f"measure/runtimes/{runtime}.py" in names
    assert {"__init__.py", "__main__.py", "measure/verify.py"} <= names
    assert not {name for name in names if name.startswith("install/") or others in name or "fault" in name}


def test_a_runtime_that_the_agent_does_not_know_is_an_error():
    with pytest.raises(ValueError, match=r"runtimes\.abacus"):
        list_agent_files(Sources(PACKAGE), runtimes=["abacus"], metric=MetricSpec(name=None, reference=None))
