"""Signed bundles in memory, whose agent proves them in no time: what is under test are the states, not the measurements."""

import copy
import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass

from toolchain.agent.manifest import SCHEMA, Gates, MetricSpec
from toolchain.agent.sensor import NO_PAIRS

NAMESPACE = "edge-toolchain-bundle"
COUNTER = 1_790_000_000  # in September 2026

# What this agent does is a line
# of its own in each bundle, so that it may pass, fail, crash or hang.
QUICK_AGENT = """\
import hashlib, json, os, pathlib, signal, sys, time
reasons, code, choice = [], 0, 0
{body}
samples = sys.argv[sys.argv.index("--samples") + 1]
try:
    pathlib.Path(samples).write_text(json.dumps({{"int8": [1.0]}}))
except OSError as error:  # as the real agent does
    fields = dict.fromkeys(("where", "expected", "found", "fix"))
    print(json.dumps({{"error": {{"code": 14, "what": str(error), **fields}}}}))
    sys.exit(14)
manifest_bytes = pathlib.Path("manifest.json").read_bytes()
manifest = json.loads(manifest_bytes)
files = {{entry["path"]: entry for entry in manifest["files"]}}
chosen = manifest["candidates"][choice]
verdict = "fail" if code else "pass"
print(json.dumps({{
    "bundle_id": hashlib.sha256(manifest_bytes).hexdigest(),
    "verdict": verdict,
    "exit_code": code,
    "reasons": reasons,
    "shipped": None if code else {{**chosen, **files[chosen["path"]]}},
}}))
sys.exit(code)
"""


def describe_candidate(precision, runtime="onnxruntime", threads=1, *, pins_threads=False):
    path = f"payload/{precision}/model.onnx"
    return {"precision": precision, "runtime": runtime, "threads": threads, "pins_threads": pins_threads, "path": path}


MANIFEST = {
    "schema": SCHEMA,
    "counter": COUNTER,
    "expires": None,
    "model": "small",
    "target": "cpu",
    "emulated": True,
    "signature": "required",
    "compatible": {"arch": None, "accelerator": None, "runtime_versions": {"onnxruntime": ">=1.0"}, "cpu_features": []},
    "build": {"limit_s": 900.0, "workspace_mib": None, "dla_core": None, "gpu_fallback": False},
    "candidates": [describe_candidate("int8")],
    "reference": "payload/int8/model.onnx",
    "original": {"path": None, "size_bytes": 7, "sha256": "0" * 64},
    "inputs": [{"name": "x", "dtype": "float32", "shape": [None, 3]}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": [None, 4]}],
    "golden": {
        "samples": 2,
        "stacked": False,
        "inputs": {"x": "golden/in.npy"},
        "outputs": {"y": "golden/out.npy"},
        "originals": {"y": "golden/out.npy"},
        "targets": {},
        "pairs": asdict(NO_PAIRS),
    },
    "input": None,
    "output": {"classes": []},
    # With the keys that the agent's own records have: a new one with a default needs no line here.
    "metric": asdict(MetricSpec(name=None, reference=None)),
    "gates": asdict(Gates(metric_drop_max=None, sqnr_db_min={}, int8_share_min=None, latency_p90_ms_max=None)),
    "provenance": {},
}


def compute_sha256(content):
    digest = hashlib.sha256()
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def describe_file(path, content, sha256=None):
    size_bytes = len(content) if isinstance(content, bytes) else content.stat().st_size
    return {"path": path, "size_bytes": size_bytes, "sha256": sha256 or compute_sha256(content)}


@dataclass
class Bundle:
    """What a host has: the files by path (bytes, or a file on disk), the manifest's bytes, the signature's."""

    files: dict
    manifest_bytes: bytes
    signature_bytes: bytes = b""

    @property
    def id(self):
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    def sign(self, key, namespace=NAMESPACE):
        """Return the bundle with a signature of this key, made by the real ssh-keygen."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key]
        signed = subprocess.run(command, input=self.manifest_bytes, capture_output=True, check=True)
        return Bundle(self.files, self.manifest_bytes, signed.stdout)


def make_quick(*, body="", content=b"weights", extra=None, change=None, sha256=None, **changes):
    """Return an unsigned bundle with the quick agent; `change` edits the manifest after the files were listed.

    `sha256` are hashes that are known already, by path.
    """
    files = {
        "agent/__init__.py": b"",
        "agent/__main__.py": QUICK_AGENT.format(body=body).encode(),
        "golden/in.npy": b"golden in",
        "golden/out.npy": b"golden out",
        "payload/int8/model.onnx": content,
        **(extra or {}),
    }
    manifest = {**copy.deepcopy(MANIFEST), **changes}
    manifest["files"] = [describe_file(path, files[path], (sha256 or {}).get(path)) for path in sorted(files)]
    if change is not None:
        change(manifest)
    return Bundle(files, json.dumps(manifest).encode())


def make_good(keys):
    """Return the signed bundles "old" and "new"; "new" has one file more than "old" has."""
    old = make_quick(content=b"old weights", counter=COUNTER)
    new = make_quick(content=b"new weights", counter=COUNTER + 1, extra={"payload/new.bin": b"n" * 5000})
    return {name: bundle.sign(keys["allowed"]) for name, bundle in (("old", old), ("new", new))}
