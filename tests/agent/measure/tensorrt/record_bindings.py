"""Records the signatures of every TensorRT and CUDA name that the agent uses, from wheels of the real bindings.

python tests/agent/measure/tensorrt/record_bindings.py WHEEL... writes bindings/PACKAGE-VERSION.json beside this file. It needs
neither a GPU nor TensorRT's libraries: the bindings need a dozen functions of theirs to be loaded, never to be called.
Wheels: python -m pip download --no-deps tensorrt_cu12_bindings==10.3.0, and so on. Needs gcc.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent / "bindings"

_LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
_FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
    *("createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getNvOnnxParserVersion"),
    *("getBuilderPluginRegistry", "getPluginRegistry", "initLibNvInferPlugins"),
)


def _write_libraries(folder, major):
    source = folder / "stub.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _FUNCTIONS))
    for library in _LIBRARIES:
        name = f"lib{library}.so.{major}"
        command = ["gcc", "-shared", "-fPIC", "-o", str(folder / name), f"-Wl,-soname,{name}", str(source)]
        subprocess.run(command, check=True)


def _record(wheel):
    """Record one wheel in this process, which can load one version alone."""
    import importlib

    package, version = Path(wheel).name.split("-")[:2]
    sys.path[:0] = [str(Path(__file__).parents[4]), str(Path(__file__).parent)]
    from binding_signatures import describe_name
    from used_names import list_cuda_uses, list_tensorrt_uses

    is_tensorrt = package.startswith("tensorrt")
    with tempfile.TemporaryDirectory() as scratch:
        zipfile.ZipFile(wheel).extractall(scratch)
        if is_tensorrt:
            _write_libraries(Path(scratch) / "tensorrt_bindings", version.partition(".")[0])
        sys.path.insert(0, scratch)
        module = importlib.import_module("tensorrt_bindings" if is_tensorrt else "cuda.bindings.runtime")
        if not is_tensorrt and not module.__file__.startswith(scratch):
            sys.exit(f"another cuda-bindings was loaded, {module.__file__}: run in an environment without it")
        uses = list_tensorrt_uses() if is_tensorrt else list_cuda_uses()
        found = {use.name: describe_name(module, use.name) for use in uses}
    signatures = {name: lines for name, lines in sorted(found.items()) if lines is not None}
    path = FOLDER / f"{package}-{version}.json"
    path.write_text(json.dumps(signatures, indent=1) + "\n", encoding="utf-8")
    missing = [name for name, lines in found.items() if lines is None]
    sys.stderr.write(f"{path.name}: {len(signatures)} names; missing: {', '.join(missing) or 'none'}\n")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    if len(sys.argv) == 2:
        _record(sys.argv[1])
    else:
        for argument in sys.argv[1:]:
            subprocess.run([sys.executable, __file__, argument], check=True, env=os.environ)
