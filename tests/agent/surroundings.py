"""What an agent finds on a board: the signers that it trusts, its environment, a runtime that is loaded at once."""

import os
import subprocess
from pathlib import Path

# What agent/measure/runtimes/onnxruntime.py needs of ONNX Runtime to tell its version, without the half second of the real one.
QUICK_RUNTIME = """\
__version__ = "1.30.1"
"""
QUICK_NATIVE = """\
class Fail(Exception): ...
EPFail = InvalidArgument = InvalidGraph = InvalidProtobuf = NoModel = NoSuchFile = NotImplemented = RuntimeException = Fail
"""


def make_keys(folder):
    """Return the private keys of three signers by name, made by the real ssh-keygen."""
    for name in ("allowed", "revoked", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(command, check=True)
    return {name: folder / name for name in ("allowed", "revoked", "stranger")}


def write_signers(root, keys):
    lines = [f"{name}@example.com {keys[name].with_suffix('.pub').read_text()}" for name in ("allowed", "revoked")]
    (root / "allowed_signers").write_text("".join(lines))
    (root / "revoked_keys").write_text(keys["revoked"].with_suffix(".pub").read_text())


def make_environment(folder, *paths):
    """Return the environment of an agent's process. Its bytecode is kept in a folder: compiling takes half of a run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (*paths, Path(__file__).parents[2])))
    return environment


def make_quick_environment(folder):
    """Return the environment of a board whose runtime is loaded at once, and whose bytecode is kept in the folder."""
    (folder / "onnxruntime/capi").mkdir(parents=True)
    (folder / "onnxruntime/__init__.py").write_text(QUICK_RUNTIME)
    (folder / "onnxruntime/capi/__init__.py").write_text("")
    (folder / "onnxruntime/capi/onnxruntime_pybind11_state.py").write_text(QUICK_NATIVE)
    return make_environment(folder / "bytecode", folder)
