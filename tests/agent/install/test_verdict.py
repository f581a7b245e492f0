"""The verdict of a release: written with the switch, renewed by a proof, marked by a failed one, and never believed alone."""

import hashlib
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.agent.quick_bundle import describe_candidate, make_quick
from tests.native_board import AGENT_PYTHON
from toolchain.agent.errors import ExitCode
from toolchain.agent.install.offered import list_offered
from toolchain.agent.install.verdict import give_verdict
from toolchain.agent.manifest import read_manifest

TWO = {
    "candidates": [
        describe_candidate("int8"),
        describe_candidate("float32"),
    ],
    "extra": {"payload/float32/model.onnx": b"float weights"},
}


def read_link(board, bundle_id):
    path = board.root / "releases" / bundle_id / "shipped"
    return path.readlink() if path.is_symlink() else None


def test_the_link_leads_to_the_payload_that_was_proven_and_not_to_the_first_candidate(board, good, quick, sign):
    bundle = sign(quick(body="choice = 1", counter=1_790_000_002, **TWO))
    answer = board.install(bundle)
    assert answer.code == ExitCode.PROVEN, answer
    board.assert_settled(bundle.id, good["old"].id)
    assert read_link(board, bundle.id) == Path("payload/float32")
    assert answer.document["verdict"]["precision"] == board.state["active"]["precision"] == "float32"
    assert board.run("status").document["active"] == board.state["active"]


def test_a_payload_without_a_folder_of_its_own_has_no_link(board, quick, sign):
    candidates = [
        {
            "precision": "int8",
            "runtime": "onnxruntime",
            "threads": 1,
            "pins_threads": False,
            "path": "payload/int8.onnx",
        }
    ]
    bundle = sign(quick(candidates=candidates, extra={"payload/int8.onnx": b"flat"}, counter=1_790_000_002))
    assert board.install(bundle).code == ExitCode.PROVEN
    assert read_link(board, bundle.id) is None
    assert board.read_verdict(bundle.id)["shipped"]["path"] == "payload/int8.onnx"
    assert board.run("status").code == ExitCode.PROVEN


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_of_two_runtimes_with_one_file_the_engine_is_a_matter_of_the_one_that_built_it(runtime, tmp_path):
    candidates = [describe_candidate("int8", name) for name in ("onnxruntime", "tensorrt")]
    (tmp_path / "manifest.json").write_bytes(make_quick(candidates=candidates).manifest_bytes)
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines/x.engine").write_bytes(b"an engine")
    built = {"sha256": hashlib.sha256(b"an engine").hexdigest(), "size_bytes": 9}
    manifest, bundle_id = read_manifest(tmp_path)
    shipped = next(own for own in list_offered(manifest).values() if own.runtime == runtime)
    records = [
        {**item, "payload": {"path": item["path"], "engine": built if item["runtime"] == "tensorrt" else None}}
        for item in candidates
    ]
    measurements = {"shipped": asdict(shipped), "record": {"candidates": records}}
    engine = give_verdict(tmp_path, bundle_id, manifest, measurements, None).engine
    assert (engine is None) == (runtime == "onnxruntime")


@pytest.mark.parametrize(
    "shipped", ["None", "{}", "{'precision': 'fp16'}", "'fp16'", "{'precision': 'int8', 'path': 'x'}"]
)
def test_a_pass_that_does_not_name_a_payload_of_the_bundle_is_exit_21(board, good, quick, sign, shipped):
    body = f"real = json.dumps\njson.dumps = lambda d: real({{**d, 'shipped': {shipped}}} if 'verdict' in d else d)"
    answer = board.install(sign(quick(body=body, counter=1_790_000_002)))
    assert (answer.code, board.current) == (ExitCode.ROLLED_BACK, good["old"].id)
    board.assert_settled(good["old"].id, None)


def test_a_bundle_that_brings_a_file_of_the_links_name_is_refused(board, good, quick, sign):
    for path in ("shipped", "shipped/model.onnx", "Shipped/model.onnx"):
        answer = board.install(sign(quick(extra={path: b"other"}, counter=1_790_000_002)))
        assert answer.code == ExitCode.MALFORMED
    board.assert_settled(good["old"].id, None)


def test_a_proof_that_fails_in_place_expires_the_verdict_and_one_that_passes_renews_it(board, quick, sign, tmp_path):
    flag = tmp_path / "code"
    body = f"code = int(open({str(flag)!r}).read()) if os.path.exists({str(flag)!r}) else 0"
    bundle = sign(quick(body=body, counter=1_790_000_002))
    assert board.install(bundle).code == ExitCode.PROVEN
    flag.write_text("20")  # a worthless measurement says nothing of the payload
    assert board.run("check").code == ExitCode.INVALID
    assert board.run("status").code == ExitCode.PROVEN
    flag.write_text("18")
    assert board.run("check").code == ExitCode.PARITY
    status = board.run("status")
    assert (status.code, "(exit 18)" in status.document["reasons"][0]) == (ExitCode.EXPIRED, True)
    flag.unlink()
    assert board.run("check").code == ExitCode.PROVEN
    assert board.run("status").code == ExitCode.PROVEN


def test_a_release_that_now_passes_by_another_payload_is_not_renewed_and_not_gone_back_to(
    board, good, quick, sign, tmp_path
):
    flag = tmp_path / "other"
    bundle = sign(quick(body=f"choice = int(os.path.exists({str(flag)!r}))", counter=1_790_000_000, **TWO))
    assert board.install(bundle).code == ExitCode.PROVEN
    flag.touch()
    assert board.run("check", "--who", "test").code == ExitCode.EXPIRED
    assert board.run("status").code == ExitCode.EXPIRED
    assert board.read_verdict(bundle.id)["shipped"]["precision"] == "int8"
    assert board.install(good["new"]).code == ExitCode.PROVEN
    assert board.rollback().code == ExitCode.ROLLBACK_FAILED
    board.assert_settled(good["new"].id, bundle.id)


def test_a_deploy_of_the_active_bundle_chooses_anew_and_moves_the_link_with_the_verdict(
    board, quick, sign, good, tmp_path
):
    flag = tmp_path / "other"
    bundle = sign(quick(body=f"choice = int(os.path.exists({str(flag)!r}))", counter=1_790_000_002, **TWO))
    assert board.install(bundle).code == ExitCode.PROVEN
    flag.touch()
    assert board.install(bundle).code == ExitCode.PROVEN
    board.assert_settled(bundle.id, good["old"].id)
    assert read_link(board, bundle.id) == Path("payload/float32")


@pytest.mark.parametrize("knows", [True, False])
def test_the_pinned_precision_is_asked_for_where_the_releases_agent_knows_the_option(board, quick, sign, knows):
    extra = {"agent/measure/arguments.py": b'add_argument("--pinned")' if knows else b"an older agent"}
    bundle = sign(quick(body="reasons = [' '.join(sys.argv[1:])]", extra=extra, counter=1_790_000_002))
    assert "--pinned" not in board.install(bundle).document["measurements"]["reasons"][0]
    reasons = board.run("check").document["measurements"]["reasons"]
    assert ("--pinned int8" in reasons[0]) is knows


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda verdict: verdict["shipped"].update(sha256="0" * 64), ExitCode.CONTENT),
        (lambda verdict: verdict["shipped"].update(path="golden/in.npy"), ExitCode.CONTENT),
        (lambda verdict: verdict.update(bundle_id="0" * 64), ExitCode.MALFORMED),
        (lambda verdict: verdict.update(schema=2), ExitCode.MALFORMED),
        (lambda verdict: verdict.update(note="trust me"), ExitCode.MALFORMED),
        (lambda verdict: verdict.update(exit_code=18), ExitCode.MALFORMED),
        (lambda verdict: verdict.update(time="yesterday"), ExitCode.MALFORMED),
        (lambda verdict: verdict.update(model="another"), ExitCode.CONTENT),
        (lambda verdict: verdict.update(target="another"), ExitCode.CONTENT),
        (lambda verdict: verdict["shipped"].update(precision="float32"), ExitCode.CONTENT),
        (lambda verdict: verdict["shipped"].update(threads=2), ExitCode.CONTENT),
        (lambda verdict: verdict["shipped"].update(pins_threads=True), ExitCode.CONTENT),
        (lambda verdict: verdict["shipped"].pop("pins_threads"), ExitCode.MALFORMED),
        (lambda verdict: verdict["shipped"].update(runtime="openvino"), ExitCode.CONTENT),
        (lambda verdict: verdict["environment"].update(runtime="openvino"), ExitCode.CONTENT),
        (
            lambda verdict: verdict.update(engine={"path": "engines/x", "sha256": "0", "size_bytes": 1}),
            ExitCode.CONTENT,
        ),
        (lambda verdict: verdict["environment"].update(runtime_version="1.0"), ExitCode.EXPIRED),
    ],
)
def test_a_verdict_that_was_edited_is_not_believed_and_a_deploy_puts_it_right(board, good, change, code):
    path = board.root / "verdicts" / f"{good['old'].id}.json"
    verdict = json.loads(path.read_text())
    change(verdict)
    path.write_text(json.dumps(verdict))
    assert board.run("status").code == code
    assert ask(board)[0] == code
    assert board.install(good["old"]).code == ExitCode.PROVEN
    board.assert_settled(good["old"].id, None)
    assert board.run("status").code == ExitCode.PROVEN


def ask(board, root=None):
    script = Path(__file__).parents[3] / "toolchain/agent/install/still_proven.py"
    command = [AGENT_PYTHON, script, root or board.root]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=board.environment, check=False)
    return done.returncode, done.stdout


def test_an_application_is_answered_by_the_python_that_measured(board, good, tmp_path):
    assert ask(board)[0] == ExitCode.PROVEN
    path = board.root / "verdicts" / f"{good['old'].id}.json"
    verdict = json.loads(path.read_text())
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexport PYTHONPATH={tmp_path}\nexec {AGENT_PYTHON} "$@"\n')
    other.chmod(0o755)
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime/__init__.py").write_text('__version__ = "9.9"')
    path.write_text(json.dumps({**verdict, "python_path": str(other)}))
    code, line = ask(board)
    assert (code, "→ 9.9" in line) == (ExitCode.EXPIRED, True)
    path.write_text(json.dumps({**verdict, "python_path": "/nowhere/python"}))
    assert ask(board) == (ExitCode.EXPIRED, "expired: the Python that measured is gone: /nowhere/python\n")


def test_a_verdict_of_threads_that_have_fewer_cpus_than_when_they_were_timed_is_expired(board, good, quick, sign):
    path = board.root / "verdicts" / f"{good['old'].id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cpus": 1000.0}))
    assert ask(board)[0] == ExitCode.PROVEN  # one thread has lost nothing
    bundle = sign(quick(candidates=[describe_candidate("int8", threads=1000)], counter=1_790_000_002))
    assert board.install(bundle).code == ExitCode.PROVEN
    assert ask(board)[0] == ExitCode.PROVEN  # no fewer than then
    path = board.root / "verdicts" / f"{bundle.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cpus": 1000.0}))
    code, line = ask(board)
    assert (code, "CPUs for 1000 threads: 1000 → " in line) == (ExitCode.EXPIRED, True), line


def test_an_application_is_told_of_a_changed_payload_and_of_a_board_without_a_release(board, good, tmp_path):
    assert ask(board, tmp_path / "nowhere")[0] == ExitCode.USAGE
    (board.root / "current/payload/int8/model.onnx").write_bytes(b"old weightz")
    assert ask(board)[0] == ExitCode.CONTENT


def test_asking_leaves_nothing_in_the_release(board):
    names = sorted(path for path in board.root.rglob("*"))
    assert ask(board)[0] == 0
    assert sorted(path for path in board.root.rglob("*")) == names


def test_the_verdict_goes_with_its_release(board_with_both, quick, sign):
    board = board_with_both
    bundle = sign(quick(counter=1_790_000_002))
    assert board.install(bundle, "--keep", "2").code == ExitCode.PROVEN
    board.assert_settled(bundle.id, board.previous)
    assert len(list((board.root / "verdicts").iterdir())) == len(board.list_releases()) == 2


def test_a_board_that_lost_the_runtime_says_so(board, quick_environment):
    board.environment = {**quick_environment, "PYTHONPATH": str(Path(__file__).parents[3])}
    code = "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; sys.argv[0] = 'agent';"
    code += "import runpy; runpy.run_module('toolchain.agent.install', run_name='__main__', alter_sys=True)"
    done = subprocess.run(
        [AGENT_PYTHON, "-c", code, "status", "--root", str(board.root)],
        capture_output=True,
        text=True,
        env=board.environment,
        check=False,
    )
    document = json.loads(done.stdout)
    assert done.returncode == ExitCode.EXPIRED
    assert document["reasons"] == ["onnxruntime 1.30.1 → none"]
