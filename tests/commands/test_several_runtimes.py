"""A target of two runtimes, two numbers of threads, pinned or not: by the real command, from the target's file to what is proven again."""

import json
import os
from dataclasses import replace

import pytest

from tests.contracts.outside import install_package
from toolchain.agent.manifest import read_manifest

# Emulated: no verdict hangs on the time that something took. The second runtime is ONNX Runtime under another name.
BOTH = """\
runtime = ["onnxruntime", "acme_twin"]
precision = ["int8", "float32"]
threads = [1, 2]
pinning = [false, true]
signature = "optional"
emulated = true
"""


pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads are pinned to two CPUs")


@pytest.fixture
def theirs(project, tmp_path):
    """Return a project with another runtime installed, and a target of both."""
    folder = tmp_path / "site"
    folder.mkdir()
    project.add_target("both", BOTH)
    return replace(project, python_path=(install_package(folder),))


def test_every_way_is_a_candidate_and_one_of_them_is_proven_and_proven_again(theirs):
    result = theirs.deploy(target="both")
    out = theirs.folder / "dist" / "tiny" / "both"
    theirs.assert_passed(result, out)
    report = theirs.read_report(out)
    threads = ("1 thread", "2 threads", "2 pinned threads")
    ways = [f"{runtime} {own}" for runtime in ("onnxruntime", "acme_twin") for own in threads]
    names = [f"{precision} {way}" for precision in ("int8", "float32") for way in ways]
    assert [item["name"] for item in report["candidates"]] == names
    assert [item["status"] for item in report["candidates"]] == ["shipped", *["not needed"] * 11]
    shipped = report["shipped"]
    assert (report["precision"], shipped["runtime"], shipped["threads"]) == ("int8", "onnxruntime", 1)
    assert (report["latency"]["threads"], report["device"]["threads"]) == (1, 1)
    assert not report["shipped"]["pins_threads"]
    assert [note for note in report["warnings"] if "pins no threads" in note] == [
        f"{runtime} pins no threads where it has 1: no such candidate is pinned"
        for runtime in ("onnxruntime", "acme_twin")
    ]
    assert report["device"]["runtime"] == report["expires_when"]["runtime"] == "onnxruntime"
    assert [stage["name"] for stage in report["stages"] if stage["name"].startswith("lower")] == [
        *("lower-int8-onnxruntime", "lower-int8-acme_twin", "lower-float32-onnxruntime", "lower-float32-acme_twin")
    ]
    bundle = out / "bundle"
    manifest, _ = read_manifest(bundle)
    assert manifest.names == tuple(names)
    # One file serves all numbers of threads, and both runtimes where it is the same one.
    assert len({candidate.path for candidate in manifest.candidates}) == 2
    assert {path.stem for path in (bundle / "agent/measure/runtimes").glob("*.py")} == {
        "__init__",
        "acme_twin",
        "onnxruntime",
    }
    pin = bundle / "shipped.json"
    document = json.loads(pin.read_text())
    document["shipped"].update(runtime="acme_twin", threads=2, pins_threads=True)  # the same bytes, opened otherwise
    pin.write_text(json.dumps(document))
    again = theirs.run("verify", bundle, "--json", "--quiet")
    assert again.code == 0, again.stderr
    proven = json.loads(again.stdout)
    assert [proven["shipped"][name] for name in ("runtime", "threads", "pins_threads")] == ["acme_twin", 2, True]
    assert [proven["device"][name] for name in ("runtime", "pins_threads")] == ["acme_twin", True]


def test_a_runtime_of_the_list_that_is_missing_is_told_and_no_other_takes_its_place(theirs):
    theirs.add_target("both", BOTH.replace("acme_twin", "tensorrt_rtx"))
    theirs.assert_stopped(theirs.deploy(target="both"), 2, "usage", theirs.folder / "dist" / "tiny" / "both")
    twin = theirs.python_path[0] / "acme_edge" / "twin.py"
    twin.write_text(twin.read_text() + "\n\ndef load():\n    raise ImportError('there is no twin here')\n")
    theirs.add_target("both", BOTH)
    result = theirs.deploy(target="both")
    theirs.assert_stopped(result, 3, "missing", theirs.folder / "dist" / "tiny" / "both")
    assert "the runtime acme_twin cannot be loaded" in result.stderr
    assert "there is no twin here" in result.stderr


def test_an_onnx_file_is_deployed_to_several_and_lowered_for_one(theirs, deployed):
    model = theirs.folder / "net.onnx"
    model.write_bytes((deployed.out / "bundle" / "payload" / "float32" / "model.onnx").read_bytes())
    out = theirs.folder / "dist" / "net"
    data = ["--calibration", "data/tiny.npz"]
    theirs.assert_passed(theirs.run("deploy", model, "--target", "both", *data, "--out", out), out)
    assert len(theirs.read_report(out)["candidates"]) == 12
    result = theirs.run("lower", model, "--target", "both", "--precision", "int8", *data, "-o", "lowered")
    assert result.code == 2
    assert "expected one runtime, found onnxruntime, acme_twin" in result.stderr
