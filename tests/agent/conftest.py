"""A board in a folder, bundles in memory, and a host that drives the real agent process over pipes."""

import contextlib
import copy
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.native_board import AGENT_PYTHON

NAMESPACE = "edge-toolchain-bundle"
COUNTER = 1_790_000_000  # in September 2026

# An agent that proves a bundle in no time: the states are under test here, not the measurements. What it does is a line
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
    "shipped": None if code else {{"precision": chosen["precision"], **files[chosen["path"]]}},
}}))
sys.exit(code)
"""

# What agent/measure/runtimes/onnxruntime.py needs of ONNX Runtime to tell its version, without the half second of the real one.
QUICK_RUNTIME = """\
__version__ = "1.30.1"
"""
QUICK_NATIVE = """\
class Fail(Exception): ...
EPFail = InvalidArgument = InvalidGraph = InvalidProtobuf = NoModel = NoSuchFile = RuntimeException = Fail
"""

MANIFEST = {
    "schema": 2,
    "counter": COUNTER,
    "expires": None,
    "model": "small",
    "target": "cpu",
    "runtime": "onnxruntime",
    "threads": 1,
    "emulated": True,
    "signature": "required",
    "compatible": {"arch": None, "accelerator": None, "runtime_version": ">=1.0", "cpu_features": []},
    "build": {"limit_s": 900.0, "workspace_mib": None, "dla_core": None, "gpu_fallback": False},
    "candidates": [{"precision": "int8", "path": "payload/int8/model.onnx"}],
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
        "labels": None,
    },
    "metric": {"name": None, "reference": None},
    "gates": {
        "metric_drop_max": None,
        "sqnr_db_min": {},
        "int8_share_min": None,
        "latency_p90_ms_max": None,
        "drift_sqnr_db_min": None,
        "agreement_min": None,
        "precision_required": None,
    },
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


@dataclass
class Answer:
    """How a run of the agent ended."""

    code: int
    document: dict | None
    stderr: str
    wanted: list | None = None

    @property
    def error(self):
        return self.document["error"]


def read_content(content, offset):
    if isinstance(content, bytes):
        yield content[offset:]
        return
    with content.open("rb") as file:
        file.seek(offset)
        while block := file.read(1 << 20):
            yield block


@dataclass
class Host:
    """The other end of one `install`: a process, and what it wanted."""

    process: subprocess.Popen
    stderr: BinaryIO
    wanted: list | None = None
    first_line: bytes = b""

    def offer(self, bundle):
        """Send the offer and read what the board wants; None where it ended instead."""
        self.send_offer(bundle)
        return self.read_wanted()

    def send_offer(self, bundle):
        header = {
            "protocol": 1,
            "manifest_bytes": len(bundle.manifest_bytes),
            "signature_bytes": len(bundle.signature_bytes),
        }
        with contextlib.suppress(BrokenPipeError):  # the agent ended already
            self.process.stdin.write(json.dumps(header).encode() + b"\n")
            self.process.stdin.write(bundle.manifest_bytes + bundle.signature_bytes)
            self.process.stdin.flush()

    def read_wanted(self):
        self.first_line = self.process.stdout.readline()
        document = json.loads(self.first_line) if self.first_line else {}
        self.wanted = document.get("wanted")
        return self.wanted

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def send(self, bundle, limit_bytes=None):
        """Send what is wanted, or only its first bytes."""
        left = limit_bytes
        with contextlib.suppress(BrokenPipeError):  # the agent ended, which is what the test is about
            for item in self.wanted or ():
                for block in read_content(bundle.files[item["path"]], item["offset"]):
                    part = block if left is None else block[:left]
                    self.process.stdin.write(part)
                    left = None if left is None else left - len(part)
            self.process.stdin.flush()

    def finish(self):
        """Hang up and return how the agent ended."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        rest = self.process.stdout.read()
        code = self.process.wait()
        self.process.stdout.close()
        line = rest or (self.first_line if self.wanted is None else b"")
        self.stderr.seek(0)
        stderr = self.stderr.read().decode()
        self.stderr.close()
        return Answer(code, json.loads(line) if line else None, stderr, self.wanted)


class Board:
    """A board's ROOT, and the commands of its agent."""

    def __init__(self, root, environment):
        self.root = root
        self.environment = environment
        self.options = ("--limit-s", "20")

    @staticmethod
    def wait_until_stopped(host):
        found = os.waitid(os.P_PID, host.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert found.si_code == os.CLD_STOPPED, "the agent ended instead of stopping where it was told to"

    def start(self, *options, prefix=()):
        """Start an `install` and return its host's end."""
        command = [*prefix, AGENT_PYTHON, "-m", "toolchain.agent", "install", "--root", self.root]
        command += ["--who", "test", *self.options, *options]
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 - Host closes it
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=self.environment
        )
        return Host(process, stderr)

    def install(self, bundle, *options, send=None, limit_bytes=None, prefix=()):
        """Run an `install` from offer to end; `send` is the bundle whose bytes come in place of the offered one's."""
        host = self.start(*options, prefix=prefix)
        host.offer(bundle)
        host.send(send or bundle, limit_bytes)
        return host.finish()

    def install_with_change(self, bundle, place, change, *options):
        """Run an `install`, and change something on the board while the agent is stopped at a place."""
        host = self.start("--fault", f"{place}:stop", *options)
        host.offer(bundle)
        host.send(bundle)
        self.wait_until_stopped(host)
        try:
            change()
        finally:
            host.resume()
            answer = host.finish()
        return answer

    def run(self, command, *options):
        arguments = [AGENT_PYTHON, "-m", "toolchain.agent", command, "--root", self.root, *options]
        done = subprocess.run(
            list(map(str, arguments)), capture_output=True, text=True, env=self.environment, check=False
        )
        return Answer(done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr)

    def rollback(self, *options):
        return self.run("rollback", "--who", "test", *self.options, *options)

    def read_link(self, name):
        path = self.root / name
        return path.readlink().name if path.is_symlink() else None

    @property
    def current(self):
        return self.read_link("current")

    @property
    def previous(self):
        return self.read_link("previous")

    @property
    def state_bytes(self):
        path = self.root / "state.json"
        return path.read_bytes() if path.exists() else None

    @property
    def state(self):
        return json.loads(self.state_bytes)

    @property
    def log(self):
        return [json.loads(line) for line in (self.root / "log.jsonl").read_text().splitlines()]

    def list_staged(self):
        return sorted(path.name for path in (self.root / "staging").iterdir())

    def list_releases(self):
        return sorted(path.name for path in (self.root / "releases").iterdir())

    def assert_release_is_whole(self, bundle_id):
        """Hash a release against its own manifest and name, without any code of the agent."""
        folder = self.root / "releases" / bundle_id
        data = (folder / "manifest.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == bundle_id
        listed = {entry["path"]: entry["sha256"] for entry in json.loads(data)["files"]}
        found = {}
        for path in folder.rglob("*"):
            assert path.is_dir() or path.is_file()
            name = path.relative_to(folder).as_posix()
            if name == "shipped":  # the one link, to the folder of a payload
                assert path.readlink().parts[0] == "payload"
                continue
            assert not path.is_symlink()
            if path.is_file() and name not in ("manifest.json", "manifest.json.sig"):
                found[name] = compute_sha256(path)
        assert found == listed

    def assert_invariant(self, *allowed):
        """Old or new is active, and whole; nothing partial or unverified is visible; the log has whole lines only."""
        assert self.current in allowed
        if self.current is not None:
            self.assert_release_is_whole(self.current)
        if self.previous is not None:
            self.assert_release_is_whole(self.previous)
        for bundle_id in self.list_releases() if (self.root / "releases").exists() else ():
            self.assert_release_is_whole(bundle_id)
        if (self.root / "log.jsonl").exists():
            assert all(line["who"] == "test" for line in self.log)

    def assert_settled(self, current, previous):
        """Nothing is left of any fault: links, state, releases and staging say the same."""
        self.assert_invariant(current)
        assert self.previous == previous
        assert (self.state["current"], self.state["previous"]) == (current, previous)
        assert sorted(self.state["proven"]) == self.list_releases()
        assert self.list_staged() == []
        assert {path.name for path in self.root.iterdir()} <= {
            *("lock", "log.jsonl", "state.json", "allowed_signers", "revoked_keys"),
            *("staging", "releases", "verdicts", "current", "previous"),
        }
        self.assert_verdicts_are_settled()

    def read_verdict(self, bundle_id):
        return json.loads((self.root / "verdicts" / f"{bundle_id}.json").read_text())

    def assert_verdicts_are_settled(self):
        """Every release has a verdict about itself, and its link leads to what the verdict names; the state agrees."""
        assert sorted(path.stem for path in (self.root / "verdicts").iterdir()) == self.list_releases()
        for bundle_id in self.list_releases():
            verdict, folder = self.read_verdict(bundle_id), self.root / "releases" / bundle_id
            assert verdict["bundle_id"] == bundle_id
            payload = folder / verdict["shipped"]["path"]
            assert compute_sha256(payload) == verdict["shipped"]["sha256"]
            assert (folder / "shipped").readlink() == Path(verdict["shipped"]["path"]).parent
            assert [item.samefile(payload) for item in (folder / "shipped").iterdir()] == [True]
        if self.current is not None:
            shipped = self.read_verdict(self.current)["shipped"]
            active = self.state["active"]
            assert (active["precision"], active["payload"], active["sha256"]) == (
                *(shipped["precision"], shipped["path"], shipped["sha256"]),
            )


@pytest.fixture(scope="session")
def quick():
    """Return the function that makes an unsigned bundle with the quick agent."""
    return make_quick


def make_keys(folder):
    """Return the private keys of three signers by name, made by the real ssh-keygen."""
    for name in ("allowed", "revoked", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(command, check=True)
    return {name: folder / name for name in ("allowed", "revoked", "stranger")}


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Return the private keys of three signers by name."""
    return make_keys(tmp_path_factory.mktemp("keys"))


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


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory):
    """Return the folder in which the agents' processes keep their bytecode."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(scope="session")
def quick_environment(tmp_path_factory):
    """Return the environment of a board whose runtime is loaded at once."""
    return make_quick_environment(tmp_path_factory.mktemp("site"))


@pytest.fixture
def sign(keys):
    """Return a function that signs a bundle, by default with the key that the board allows."""

    def sign_with(bundle, name="allowed", **options):
        return bundle.sign(keys[name], **options)

    return sign_with


def write_signers(root, keys):
    lines = [f"{name}@example.com {keys[name].with_suffix('.pub').read_text()}" for name in ("allowed", "revoked")]
    (root / "allowed_signers").write_text("".join(lines))
    (root / "revoked_keys").write_text(keys["revoked"].with_suffix(".pub").read_text())


def make_good(keys):
    """Return the signed bundles "old" and "new"; "new" has one file more than "old" has."""
    old = make_quick(content=b"old weights", counter=COUNTER)
    new = make_quick(content=b"new weights", counter=COUNTER + 1, extra={"payload/new.bin": b"n" * 5000})
    return {name: bundle.sign(keys["allowed"]) for name, bundle in (("old", old), ("new", new))}


@pytest.fixture(scope="session")
def good(keys):
    """Return the signed bundles "old" and "new"."""
    return make_good(keys)


@pytest.fixture(scope="session")
def board_with_old(keys, good, quick_environment, tmp_path_factory):
    """Return the root of a board on which "old" is active; for copying only."""
    root = tmp_path_factory.mktemp("template") / "root"
    root.mkdir()
    write_signers(root, keys)
    board = Board(root, quick_environment)
    answer = board.install(good["old"])
    assert answer.code == 0, answer
    board.assert_settled(good["old"].id, None)
    return root


@pytest.fixture(scope="session")
def board_with_old_and_new(board_with_old, good, quick_environment, tmp_path_factory):
    """Return the root of a board on which "new" is active and "old" the previous one; for copying only."""
    root = tmp_path_factory.mktemp("template") / "root"
    shutil.copytree(board_with_old, root, symlinks=True)
    board = Board(root, quick_environment)
    assert board.install(good["new"]).code == 0
    board.assert_settled(good["new"].id, good["old"].id)
    return root


@pytest.fixture
def real_board(keys, bytecode, tmp_path):
    """Return an empty board with the real runtime."""
    root = tmp_path / "board/root"
    root.mkdir(parents=True)
    write_signers(root, keys)
    return Board(root, make_environment(bytecode))


@pytest.fixture
def real_bundle(make_bundle, sign):
    """Return a function that makes a signed bundle of real payloads with the real agent."""

    def make(**changes):
        folder = make_bundle(**changes)
        manifest_bytes = (folder / "manifest.json").read_bytes()
        paths = [entry["path"] for entry in json.loads(manifest_bytes)["files"]]
        return sign(Bundle({path: (folder / path).read_bytes() for path in paths}, manifest_bytes))

    return make


@pytest.fixture
def empty_board(keys, quick_environment, tmp_path):
    """Return a board that takes signed bundles, and has none yet."""
    root = tmp_path / "board/root"
    root.mkdir(parents=True)
    write_signers(root, keys)
    return Board(root, quick_environment)


@pytest.fixture
def board_with_both(board_with_old_and_new, quick_environment, tmp_path):
    """Return a board on which "new" is active and "old" the previous one."""
    (tmp_path / "board").mkdir(exist_ok=True)
    shutil.copytree(board_with_old_and_new, tmp_path / "board/root", symlinks=True)
    return Board(tmp_path / "board/root", quick_environment)


@pytest.fixture
def board(board_with_old, quick_environment, tmp_path):
    """Return a board on which "old" is active."""
    (tmp_path / "board").mkdir(exist_ok=True)
    shutil.copytree(board_with_old, tmp_path / "board/root", symlinks=True)
    return Board(tmp_path / "board/root", quick_environment)
