"""A statement that says more than the verdict, outlives it, or could be taken for a bundle's signature."""

import hashlib
import json
import subprocess

from tests.native_board import make_key


def read_statement(project):
    return json.loads((project.out / "statement.json").read_text())


def verify(project, key, namespace):
    signers = project.folder / "signers"
    signers.write_text(f"ci@example.org {key.with_suffix('.pub').read_text()}")
    command = ["ssh-keygen", "-Y", "verify", "-n", namespace, "-f", signers, "-I", "ci@example.org"]
    command += ["-s", project.out / "statement.json.sig"]
    data = (project.out / "statement.json").read_bytes()
    return subprocess.run(list(map(str, command)), input=data, capture_output=True, check=False).returncode


def test_the_statement_of_a_pass_names_the_bytes_that_lie_there(deployed):
    statement, report = read_statement(deployed), deployed.read_report()
    paths = [deployed.out / subject["name"] for subject in statement["subject"]]
    digests = [subject["digest"]["sha256"] for subject in statement["subject"]]
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == digests
    assert digests == [report["bundle_id"], report["artifact"]["sha256"]]
    assert statement["predicate"]["result"] == "PASSED"
    [environment] = [item for item in statement["predicate"]["configuration"] if item["name"] == "environment"]
    assert environment["annotations"]["runtime_version"] == report["device"]["runtime_version"]
    assert environment["annotations"]["kernel"]
    assert not (deployed.out / "statement.json.sig").exists()


def test_a_failed_verdict_is_a_signed_failed_statement_and_a_run_without_a_verdict_leaves_none(project):
    key = project.folder / "signer"
    make_key(key)
    project.edit_recipe("[gates]", "[gates]\nsqnr_db_min = { int8 = 300.0, float32 = 300.0 }")
    project.assert_refused(project.deploy("--sign", key), 18, "fail")
    statement = read_statement(project)
    assert statement["predicate"]["result"] == "FAILED"
    assert statement["predicate"]["failedTests"]
    assert len(statement["subject"]) == 1
    assert verify(project, key, "edge-toolchain-statement") == 0
    assert verify(project, key, "edge-toolchain-bundle") != 0
    project.edit("targets/board.toml", 'signature = "optional"', 'signature = "required"')
    project.assert_stopped(project.deploy(), 10, "signature")
    assert not list(project.out.glob("statement*"))
