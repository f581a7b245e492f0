"""Releases whose verdict is about an engine, on the fakes of TensorRT and CUDA: nothing of it was run on hardware yet."""

import json
import sys
from dataclasses import asdict
from types import SimpleNamespace

from tests.agent.application.boards import make_payload_bundle
from tests.agent.measure.tensorrt.conftest import SHAPES, name_nodes
from tests.agent.measure.tensorrt.fake_cuda import FakeCudart
from tests.agent.measure.tensorrt.fake_tensorrt import FakeTensorRt
from tests.agent.measure.tensorrt.install_fakes import install_fakes
from tests.agent.quick_bundle import COUNTER, MANIFEST, compute_sha256, describe_candidate
from tests.conftest import build_model
from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.measure.environment import read_environment
from toolchain.agent.measure.libraries import hash_libraries
from toolchain.agent.measure.tensorrt.engine import BuildOptions, build_engine

VERSION = "10.3.0"
LIBRARY = "libnvinfer.so.10.3.0"


def install_tensorrt(monkeypatch, folder):
    """Put the fakes in the place of the packages, and files on the disk by which the verdict knows TensorRT."""
    package = folder / "site/tensorrt"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f'__version__ = "{VERSION}"\n')
    (package / LIBRARY).write_bytes(b"the TensorRT that measured")
    monkeypatch.syspath_prepend(str(folder / "site"))
    cudart = FakeCudart()
    fakes = install_fakes(monkeypatch, folder, cudart, FakeTensorRt(cudart, version=VERSION))
    assert sys.modules["tensorrt"] is fakes.trt
    return SimpleNamespace(trt=fakes.trt, cudart=cudart, library=package / LIBRARY)


def build(trt, kind="float32"):
    """Return an engine of a small classifier (tests/conftest.py), which takes 1 to 64 samples."""
    options = BuildOptions(shapes=SHAPES, spec=BuildSpec(), free_bytes=1 << 30)
    return build_engine(trt, name_nodes(build_model(kind)), "model.onnx", options).engine


def add_engine_release(board, keys, engine, *, name="built", counter=COUNTER + 2, **changes):
    """Make a signed release whose verdict is about an engine the active one, and return its id."""
    offered = {**MANIFEST["compatible"], "runtime_versions": {"tensorrt": ">=10.3"}}
    changes = {"candidates": [describe_candidate("int8", "tensorrt")], "compatible": offered, **changes}
    bundle = make_payload_bundle("float32", counter=counter, **changes).sign(keys["allowed"])
    release = board.root / "releases" / bundle.id
    files = {**bundle.files, "manifest.json": bundle.manifest_bytes, "manifest.json.sig": bundle.signature_bytes}
    for path, data in files.items():
        (release / path).parent.mkdir(parents=True, exist_ok=True)
        (release / path).write_bytes(data)
    (release / "shipped").symlink_to("payload/int8")
    (board.root / "engines").mkdir(mode=0o700, exist_ok=True)
    path = board.root / f"engines/{name}.engine"
    path.write_bytes(engine)
    path.chmod(0o600)
    verdict = json.loads((board.root / "verdicts" / f"{board.current}.json").read_text())
    libraries = hash_libraries("tensorrt", {})
    payload = bundle.files["payload/int8/model.onnx"]
    verdict.update(
        bundle_id=bundle.id,
        engine=describe_engine(path),
        environment=asdict(read_environment("tensorrt", libraries)),
        libraries={name: asdict(file) for name, file in libraries.items()},
    )
    verdict["shipped"].update(runtime="tensorrt", sha256=compute_sha256(payload), size_bytes=len(payload))
    (board.root / "verdicts" / f"{bundle.id}.json").write_text(json.dumps(verdict))
    board.switch(bundle.id)
    return bundle.id


def describe_engine(path):
    """Return what a verdict says of an engine."""
    return {"path": f"engines/{path.name}", "sha256": compute_sha256(path), "size_bytes": path.stat().st_size}
