"""`toolchain verify` of a bundle that somebody else made, who knows what is looked at: nothing of it runs here, or passes."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import toolchain
from tests.contracts.outside import PACKAGE
from tests.native_board import make_key
from toolchain.agent.bundle_files import FileEntry
from toolchain.agent.candidates import Candidate
from toolchain.agent.manifest import Compatible, MetricSpec, encode_manifest, read_manifest
from toolchain.bundle.sign import sign_manifest

METRIC = (PACKAGE / "acme_edge" / "misses.py").read_text()
# Says PASS to whoever runs it, as the agent of a bundle.
LIAR = """
import json, sys
{mark}
print(json.dumps({{"verdict": "pass", "exit_code": 0, "reasons": []}}))
sys.exit(0)
"""
# As the script `toolchain` starts: without the working folder among those that Python imports from.
SCRIPT = "import sys; sys.path.insert(0, {!r}); from toolchain.__main__ import main; sys.argv[0] = 'toolchain'; main()"
REPOSITORY = Path(toolchain.__file__).parent.parent


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "executed"


@pytest.fixture
def mark(canary):
    """Return a line of Python that leaves a mark where it runs."""
    return f"open({str(canary)!r}, 'w').close()\n"


@pytest.fixture
def home(tmp_path):
    """Return the user's own folder, which has nothing in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def rewrite(bundle, texts, **changes):
    """Write files into a bundle and list them in its manifest; return its bytes."""
    manifest, _ = read_manifest(bundle)
    entries = {entry.path: entry for entry in manifest.files}
    for path, text in texts.items():
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
        (bundle / path).write_text(text)
        entries[path] = FileEntry(path, len(text.encode()), hashlib.sha256(text.encode()).hexdigest())
    files = tuple(entries[path] for path in sorted(entries))
    data = encode_manifest(dataclasses.replace(manifest, files=files, **changes))
    (bundle / "manifest.json").write_bytes(data)
    return data


def verify(folder, bundle, *options):
    """Verify a bundle with a folder as the working one; return the exit code, the report and stderr."""
    return run(folder, "verify", bundle, "--json", "--quiet", *options)


def run(folder, *arguments):
    command = [sys.executable, "-P", "-c", SCRIPT.format(str(REPOSITORY)), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TOOLCHAIN_CACHE"] = str(folder.parent / "cache")
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_an_agent_that_says_pass_is_not_asked(make_bundle, write_model, home, mark, canary):
    bundle = make_bundle(candidates={"float32": write_model("negated")})
    rewrite(bundle, {"agent/__main__.py": LIAR.format(mark=mark), "agent/__init__.py": mark})
    code, report, _ = verify(home, bundle)
    assert (code, report["verdict"]) == (18, "fail")
    assert not canary.exists()


def test_code_all_over_a_good_bundle_does_not_run_even_in_its_own_folder(make_bundle, mark, canary):
    bundle = make_bundle()
    names = ("agent/__init__", "sitecustomize", "usercustomize", "json", "numpy", "onnxruntime/__init__", "toolchain")
    rewrite(bundle, {f"{name}.py": mark for name in names})
    code, report, stderr = verify(bundle, bundle)
    assert (code, report["verdict"]) == (0, "pass"), stderr
    assert not canary.exists()
    assert (report["signature"], report["signer"]) == ("unsigned", None)
    assert "the agent in the bundle is another one than this toolchain's" in " ".join(report["warnings"])


def test_a_bundle_of_this_toolchain_has_its_agent(make_bundle, home):
    code, report, _ = verify(home, make_bundle())
    assert code == 0
    assert "agent" not in " ".join(report["warnings"])


@pytest.fixture
def download(tmp_path, canary):
    """Return a folder that a stranger packed with its repository, whose settings name a program."""
    folder = tmp_path / "download"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"no model")

    def git(*arguments):
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    git("init")
    git("add", "model.onnx")
    git("commit", "--message", "x")
    git("config", "core.fsmonitor", f"touch {canary} #")
    git("describe", "--always", "--dirty")
    assert canary.exists()  # else it shows nothing
    canary.unlink()
    return folder


def test_the_settings_of_a_repository_around_a_bundle_are_not_followed(make_bundle, home, canary, download):
    assert verify(home, make_bundle().rename(download / "bundle"))[0] == 0
    assert not canary.exists()


def test_the_settings_of_a_repository_around_an_onnx_file_are_not_followed(home, canary, download, samples):
    np.savez(home / "data.npz", input=samples[0])
    arguments = ("deploy", download / "model.onnx", "--calibration", home / "data.npz", "--out", home / "out")
    code, _, stderr = run(home, *arguments)
    assert code == 23, stderr
    assert (home / "out/report.json").exists()  # which would tell the commit
    assert run(download, "deploy", "none.onnx")[0] == 2
    assert not canary.exists()


@pytest.mark.parametrize("seam", ["metrics", "runtimes"])
def test_a_plug_in_that_lies_in_the_bundle_does_not_run(make_bundle, home, mark, canary, seam):
    bundle = make_bundle()
    text = mark + METRIC
    names = (f"agent/measure/{seam}/theirs.py", f"plugins/{seam}/theirs.py")
    path = "payload/float32/model.onnx"
    by_theirs = Candidate("float32", runtime="theirs", threads=1, pins_threads=False, path=path)
    changes = {"metric": MetricSpec("theirs", 0.0)} if seam == "metrics" else {"candidates": (by_theirs,)}
    if seam == "runtimes":
        changes["compatible"] = Compatible(None, accelerator=None, runtime_versions={}, cpu_features=())
    rewrite(bundle, dict.fromkeys(names, text), **changes)
    code, report, stderr = verify(bundle, bundle)
    assert (code, report["exit_code"]) == (10, 10)
    assert "nothing in one is executed here" in stderr
    code, report, stderr = run(bundle, "deploy", ".", "--out", home / "out", "--json", "--quiet")
    assert (code, report["exit_code"]) == (10, 10), stderr
    code, report, stderr = verify(home, bundle)  # nobody here knows such a member
    assert code in (2, 23)
    assert not canary.exists()
    if seam == "metrics":  # the user's own file of that name and those bytes is the user's to run
        (home / "plugins/metrics").mkdir(parents=True)
        (home / "plugins/metrics/theirs.py").write_text(text)
        code, report, stderr = verify(home, bundle)
        assert (code, report["verdict"]) == (0, "pass"), stderr
        assert canary.exists()


def test_a_bundle_passes_for_the_signers_that_the_user_named_alone(make_bundle, home, tmp_path):
    bundle = make_bundle()
    data = (bundle / "manifest.json").read_bytes()
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"ci@example.org {make_key(tmp_path / 'named')}\n")
    make_key(tmp_path / "stranger")
    code, _, stderr = verify(home, bundle, "--signers", signers)
    assert code == 10, stderr
    for key, signed, expected in (("stranger", data, 10), ("named", data + b" ", 10), ("named", data, 0)):
        (bundle / "manifest.json.sig").write_bytes(sign_manifest(signed, tmp_path / key))
        code, report, stderr = verify(home, bundle, "--signers", signers)
        assert code == expected, stderr
    assert (report["verdict"], report["signature"], report["signer"]) == ("pass", "verified", "ci@example.org")
