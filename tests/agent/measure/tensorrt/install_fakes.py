"""Puts the fakes of TensorRT and CUDA in the place of the packages."""

import sys
from types import ModuleType, SimpleNamespace


def install_fakes(monkeypatch, tmp_path, cudart, trt):
    """Return the board that the fakes make, whose engines are in a folder of the test's."""
    package, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    package.bindings, bindings.runtime = bindings, cudart
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setitem(sys.modules, "cuda", package)
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cudart)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return SimpleNamespace(cudart=cudart, trt=trt, root=tmp_path / "cache" / "edge-toolchain")
