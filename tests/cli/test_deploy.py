"""`toolchain deploy` of a bundle that was made elsewhere: what it lets onto a board, and what it believes of a folder."""

import dataclasses
import hashlib
import json

import pytest

from tests.native_board import make_key
from toolchain.agent.bundle_files import FileEntry
from toolchain.agent.manifest import encode_manifest, read_manifest
from toolchain.agent.measure.judge import Shipped
from toolchain.bundle.sign import sign_manifest
from toolchain.deploy.pin import read_pin, write_pin

TARGET = 'runtime = "onnxruntime"\nprecision = ["int8"]\nsignature = "optional"\nemulated = true\n'
QUICK = ("--quiet", "--latency-samples", "64", "--latency-limit-s", "0.1")
NAMESPACES = 'namespaces="edge-toolchain-bundle"'


@pytest.fixture
def deploy(run, tmp_path):
    """Return a function that deploys in an empty project with a target cpu, and returns code, report and stderr."""
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets/cpu.toml").write_text(TARGET)

    def deploy_bundle(bundle, *options):
        code, _, stderr = run("deploy", bundle, "--out", tmp_path / "out", *QUICK, *options)
        report = tmp_path / "out/report.json"
        return code, json.loads(report.read_text()) if report.exists() else None, stderr

    return deploy_bundle


@pytest.fixture
def lab(deploy, native, tmp_path):
    """Return the board `native` in devices.toml."""
    (tmp_path / "devices.toml").write_text(native.describe(target="cpu"))
    return native


def add_to_agent(bundle, text):
    """Make a bundle's agent another one than this toolchain's, and list that in its manifest."""
    path = bundle / "agent/__init__.py"
    path.write_text(text)
    manifest, _ = read_manifest(bundle)
    own = FileEntry("agent/__init__.py", len(text.encode()), hashlib.sha256(text.encode()).hexdigest())
    files = tuple(own if entry.path == own.path else entry for entry in manifest.files)
    (bundle / "manifest.json").write_bytes(encode_manifest(dataclasses.replace(manifest, files=files)))


def sign(bundle, key):
    (bundle / "manifest.json.sig").write_bytes(sign_manifest((bundle / "manifest.json").read_bytes(), key))


def read_active(board):
    """Return the active release's bundle_id, None where there is none."""
    link = board.root / "current"
    return link.readlink().name if link.is_symlink() else None


def test_a_good_bundle_is_proven_here_and_one_that_is_damaged_leaves_it_in_its_place(deploy, make_bundle, tmp_path):
    bundle, placed = make_bundle(), tmp_path / "out/bundle/payload/int8/model.onnx"
    code, report, stderr = deploy(bundle)
    assert (code, report["verdict"], report["model"]) == (0, "pass", "small"), stderr
    assert [stage["name"] for stage in report["stages"]] == ["deploy", "verify"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "junit.xml", "summary.md", "statement.json", "bundle"} <= names
    payload = bundle / "payload/int8/model.onnx"
    payload.write_bytes(payload.read_bytes()[:-1] + b"x")
    code, report, stderr = deploy(bundle)
    assert (code, report["exit_code"]) == (11, 11), stderr
    assert placed.read_bytes() != payload.read_bytes()


def test_a_bundle_whose_model_is_wrong_fails_whatever_was_shipped_of_it(deploy, make_bundle, write_model, tmp_path):
    bundle = make_bundle(candidates={"int8": write_model("negated")})
    manifest, bundle_id = read_manifest(bundle)
    entry = next(entry for entry in manifest.files if entry.path == manifest.candidates[0].path)
    write_pin(bundle, bundle_id, Shipped("int8", "onnxruntime", 1, False, entry.path, entry.size_bytes, entry.sha256))
    assert read_pin(bundle) == "int8"
    code, report, _ = deploy(bundle)
    assert (code, report["verdict"]) == (18, "fail")
    assert not (tmp_path / "out/bundle/shipped.json").exists()


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (("--precision", "int8"), "--precision"),
        (("--counter", "7"), "--counter"),
        (("--expires-days", "7"), "--expires-days"),
        (("--target", "gpu"), "--target"),
    ],
)
def test_what_was_said_when_it_was_built_is_not_said_again(deploy, make_bundle, options, where):
    code, report, stderr = deploy(make_bundle(), *options)
    assert (code, report["exit_code"]) == (2, 2)
    assert where in stderr


def test_a_manifest_that_cannot_be_read_is_named(run, make_bundle):
    bundle = make_bundle()
    (bundle / "manifest.json").write_text("{")
    code, _, stderr = run("deploy", bundle)
    assert code == 23
    assert "manifest.json" in stderr


def test_a_name_in_models_is_the_model_and_not_the_folder(run, make_bundle, tmp_path):
    make_bundle().rename(tmp_path / "resnet8")
    code, _, stderr = run("deploy", "resnet8", "--precision", "fp64")
    assert code == 2
    assert "does not list fp64" in stderr


def test_a_bundle_that_asks_for_a_signature_and_has_none_is_refused_here_too(deploy, make_bundle):
    bundle = make_bundle(signature="required")
    code, report, _ = deploy(bundle)
    assert (code, report["verdict"]) == (10, "fail")


def test_a_signature_of_another_manifest_is_refused(deploy, make_bundle, tmp_path):
    bundle = make_bundle()
    make_key(tmp_path / "key")
    (bundle / "manifest.json.sig").write_bytes(sign_manifest(b"another", tmp_path / "key"))
    code, _, stderr = deploy(bundle)
    assert code == 10, stderr


def test_a_bundle_for_another_target_is_not_sent(deploy, lab, make_bundle):
    code, _, stderr = deploy(make_bundle(target="gpu"), "--device", "native")
    assert (code, read_active(lab)) == (2, None)
    assert "another target" in stderr


def test_a_good_bundle_reaches_a_board_and_a_strangers_agent_does_not_unsigned_nor_by_a_signature_that_the_board_cannot_check(
    deploy, lab, make_bundle, tmp_path
):
    bundle, canary = make_bundle(), tmp_path / "executed"
    code, report, stderr = deploy(bundle, "--device", "native")
    good = read_manifest(bundle)[1]
    assert (code, report["device"]["name"], read_active(lab)) == (0, "native", good), stderr
    add_to_agent(bundle, f"open({str(canary)!r}, 'w').close()\n")
    code, _, stderr = deploy(bundle, "--device", "native")
    assert (code, read_active(lab)) == (10, good), stderr
    assert "agent/__init__.py" in stderr
    make_key(tmp_path / "strangers")
    sign(bundle, tmp_path / "strangers")
    code, _, stderr = deploy(bundle, "--device", "native")
    assert (code, read_active(lab)) == (10, good), stderr
    assert not canary.exists()


def test_the_key_of_a_device_vouches_for_no_bundle_of_others_and_the_key_of_its_maker_does(
    deploy, lab, run, make_bundle, tmp_path
):
    public = make_key(tmp_path / "maker")
    (tmp_path / "signers").write_text(f"maker@example.org {NAMESPACES} {public}\n")
    (tmp_path / "devices.toml").write_text(lab.describe(target="cpu", sign=str(tmp_path / "maker")))
    assert run("enroll", "--device", "native", "--signers", tmp_path / "signers")[0] == 0
    bundle = make_bundle()
    code, _, stderr = deploy(bundle, "--device", "native")
    assert (code, read_active(lab)) == (10, None), stderr
    sign(bundle, tmp_path / "maker")
    code, report, stderr = deploy(bundle, "--device", "native")
    assert (code, report["signer"]) == (0, "maker@example.org"), stderr
