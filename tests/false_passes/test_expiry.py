"""A board that answers for a verdict which holds no more, or leads applications to bytes that were not proven."""

import json
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import onnxruntime
import pytest

from tests.native_board import make_key
from toolchain.agent.contents import compute_sha256


class Lab:
    """A project, its board, and the folder in which that board's Python looks first."""

    def __init__(self, project, native):
        self.project, self.native, self.root = project, native, native.root
        self.site = native.folder / "site"
        self.site.mkdir()
        # The agent runs isolated, so that no variable leads it there: it is installed in the board's own Python.
        environment = native.folder / "environment"
        venv.create(environment, with_pip=False, symlinks=True)
        installed = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
        (installed / "first.pth").write_text(f"{self.site}\n{sysconfig.get_path('purelib')}\n")
        self.python = environment / "bin/python"
        (project.folder / "devices.toml").write_text(native.describe(python=str(self.python)))

    def run(self, *arguments):
        return self.project.run(*arguments, "--device", "native")

    def deploy(self, *arguments):
        result = self.run("deploy", "tiny", *arguments)
        assert (result.code, result.stderr) == (0, result.stderr)

    def read_status(self):
        result = self.run("status", "--json")
        return result.code, json.loads(result.stdout)

    def assert_holds(self):
        code, document = self.read_status()
        assert (code, document["expired"], document["verified"]) == (0, False, True), document["reasons"]

    def assert_expired(self, *words):
        """`status` exits with 25 and gives one reason that has these words."""
        code, document = self.read_status()
        assert (code, document["expired"], document["verified"]) == (25, True, True)
        assert len(document["reasons"]) == 1, document["reasons"]
        [reason] = document["reasons"]
        assert all(word in reason for word in words), reason

    def ask(self):
        """Ask as an application does: with the board's Python, and nothing of ours but what lies there."""
        command = [self.python, self.root / "still_proven.py", self.root]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout

    def turn_clock(self, days):
        text = f"import time\nnow = time.time\ntime.time = lambda: now() + {days} * 86400\n"
        (self.site / "sitecustomize.py").write_text(text)

    def install_runtime(self, version):
        (self.site / "onnxruntime").mkdir()
        (self.site / "onnxruntime/__init__.py").write_text(f'__version__ = "{version}"\n')


@pytest.fixture
def lab(project, native):
    return Lab(project, native)


def test_another_runtime_expires_the_verdict_until_the_proven_one_is_back(lab):
    lab.deploy()
    lab.assert_holds()
    code, line = lab.ask()
    assert (code, line.partition(":")[0]) == (0, "proven")
    lab.install_runtime("1.23.2")
    result = lab.run("status")
    assert result.code == 25
    change = f"onnxruntime {onnxruntime.__version__} → 1.23.2"
    assert f"expired: {change}\n" in result.stdout
    assert lab.ask() == (25, f"expired: {change}\n")
    # What cannot be proven again stays expired, whatever the host asks.
    bundle = lab.project.out / "native/bundle"
    assert lab.run("verify", bundle).code != 0
    lab.assert_expired(change)
    shutil.rmtree(lab.site / "onnxruntime")
    lab.assert_holds()
    assert lab.ask()[0] == 0


def test_a_verdict_that_is_gone_or_of_another_environment_is_renewed_in_place(lab):
    lab.deploy()
    path = next((lab.root / "verdicts").iterdir())
    verdict = json.loads(path.read_text())
    verdict["environment"].update(kernel="4.9.337", power_mode="15W")
    path.write_text(json.dumps(verdict))
    code, document = lab.read_status()
    assert code == 25
    assert [reason.partition(" ")[0] for reason in document["reasons"]] == ["kernel", "power"]
    assert lab.run("verify").code == 0
    lab.assert_holds()
    path.unlink()
    lab.assert_expired("no verdict")
    bundle = lab.project.out / "native/bundle"
    assert lab.run("verify", bundle).code == 0
    lab.assert_holds()


def test_a_revoked_key_and_a_date_that_is_over_expire_the_verdict(lab):
    key = lab.native.folder / "signer"
    signers = lab.native.folder / "allowed_signers"
    signers.write_text(f"ci@example.org {make_key(key)}\n")
    assert lab.project.run("enroll", "native", "--signers", signers).code == 0
    lab.deploy("--sign", key, "--expires-days", "1")
    code, document = lab.read_status()
    assert (code, document["verdict"]["signer"]) == (0, "ci@example.org")
    (lab.root / "revoked_keys").write_text(key.with_suffix(".pub").read_text())
    lab.assert_expired("revoked")
    (lab.root / "revoked_keys").unlink()
    lab.turn_clock(7)
    lab.assert_expired("the bundle has expired")
    assert lab.ask()[0] == 25
    assert lab.run("verify", lab.project.out / "native/bundle").code == 13


def test_a_rollback_to_a_release_whose_date_is_over_is_done_and_is_exit_25(lab):
    lab.deploy("--expires-days", "1", "--counter", "1790000000")
    old = (lab.root / "current").readlink().name
    lab.project.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 0.07")
    lab.deploy("--counter", "1790000001")
    new = (lab.root / "current").readlink().name
    lab.turn_clock(7)
    lab.assert_holds()
    result = lab.run("rollback")
    assert (result.code, "Traceback" in result.stderr) == (25, False)
    assert f"rolled back: {new} -> {old}\n" in result.stdout
    assert "expired: the bundle has expired" in result.stdout
    assert (lab.root / "current").readlink().name == old
    lab.assert_expired("the bundle has expired")
    assert lab.ask()[0] == 25
    assert lab.run("verify").code == 13
    assert lab.run("rollback").code == 0  # forward again: nothing speaks against the newer one
    lab.assert_holds()


def test_an_unsigned_release_does_not_outlive_the_enrolment(lab):
    lab.deploy()
    make_key(lab.native.folder / "signer")
    signers = lab.native.folder / "allowed_signers"
    signers.write_text(f"ci@example.org {(lab.native.folder / 'signer.pub').read_text()}")
    assert lab.project.run("enroll", "native", "--signers", signers).code == 0
    lab.assert_expired("not signed")
    assert lab.run("verify", lab.project.out / "native/bundle").code == 10


def test_the_path_of_applications_leads_to_the_proven_payload_and_never_to_the_rejected_one(lab):
    lab.project.edit_recipe("[gates]", "[gates]\nsqnr_db_min = { int8 = 150.0 }")
    lab.deploy()
    release = (lab.root / "current").resolve()
    link = release / "shipped"
    [payload] = link.iterdir()
    assert payload.resolve() == release / "payload/float32/model.onnx"
    onnxruntime.InferenceSession(str(lab.root / "current/shipped/model.onnx"), providers=["CPUExecutionProvider"])
    sha256 = compute_sha256(payload)
    active = {
        "model": "tiny",
        "precision": "float32",
        "runtime": "onnxruntime",
        "threads": 1,
        "pins_threads": False,
        "payload": "payload/float32/model.onnx",
        "sha256": sha256,
    }
    assert json.loads((lab.root / "state.json").read_text())["active"] == active
    lines = [json.loads(line) for line in (lab.root / "log.jsonl").read_text().splitlines()]
    [proven] = [line["proven"] for line in lines if line["state"] == "activate"]
    assert {key: proven[key] for key in active} == active
    outside = lab.native.folder / "outside"
    outside.mkdir()
    for target in ("payload/int8", str(outside), None):
        link.unlink()
        if target is None:
            link.write_bytes(b"a file")
        else:
            link.symlink_to(target)
        code, document = lab.read_status()
        assert (code, document["verified"], document["damage"]["code"]) == (11, False, 11)
        assert lab.ask()[0] == 11
    assert "DAMAGED" in lab.run("status").stdout
    lab.deploy()
    lab.assert_holds()
    assert link.readlink() == Path("payload/float32")
