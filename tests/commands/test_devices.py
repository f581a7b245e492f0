"""The commands on a board: a real sshd on this machine, and the real command in a process of its own."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.native_board import make_key
from tests.tiny_project import finish
from toolchain.agent.contents import compute_sha256

LIMIT_S = 60  # ends a test that hangs; nothing is measured by it


@pytest.fixture
def lab(project, native):
    """Return a project with a device `native`."""
    (project.folder / "devices.toml").write_text(native.describe())
    return project


@pytest.fixture
def out(lab):
    return lab.out / "native"


def deploy(project, *arguments, device="native"):
    return project.run("deploy", "tiny", "--device", device, *arguments)


def read_active(native):
    """Return the active release's bundle_id, None where there is none."""
    link = native.root / "current"
    return link.readlink().name if link.is_symlink() else None


def count_sent_bytes(project, out):
    return next(line["size_bytes"] for line in project.read_log(out) if line["event"] == "sent")


def wait_until(condition):
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def assert_failed(project, result, code, kind, out):
    project.assert_message(result.stderr, kind)
    assert (result.code, result.stderr) == (code, result.stderr)
    report = project.read_report(out)
    assert (report["verdict"], report["exit_code"], report["error"]["code"]) == ("fail", code, code)


def test_a_deploy_proves_the_model_on_the_board_and_names_the_unit(lab, native, out):
    result = deploy(lab, "--target", "board")
    lab.assert_passed(result, out)
    report = lab.read_report(out)
    assert (report["device"]["name"], report["signature"], report["signer"]) == ("native", "unsigned", None)
    assert read_active(native) == report["bundle_id"]
    assert "device       native: " in result.stdout
    assert (out / "bundle" / "manifest.json").read_bytes() == (native.root / "current" / "manifest.json").read_bytes()
    assert count_sent_bytes(lab, out) > 0
    assert native.list_sessions() == []


def test_what_the_board_has_is_not_sent_again(lab, out):
    assert deploy(lab).code == 0
    assert count_sent_bytes(lab, out) > 0
    lab.assert_passed(deploy(lab), out)
    assert count_sent_bytes(lab, out) == 0
    lab.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 0.07")  # another manifest, the same files
    lab.assert_passed(deploy(lab), out)
    assert count_sent_bytes(lab, out) == 0


def test_the_reports_of_several_devices_lie_beside_each_other_and_the_first_failure_is_the_exit_code(lab, native):
    gone = native.describe("gone", host="nobody@127.0.0.1", ssh_config="")
    (lab.folder / "devices.toml").write_text(
        native.describe("a") + gone.replace('ssh_config = ""\n', "") + native.describe("c")
    )
    result = lab.run("deploy", "tiny", "--device", "a,gone,c", "--json")
    assert (result.code, result.stderr) == (16, result.stderr)
    document = json.loads(result.stdout)
    assert document["exit_code"] == 16
    assert document["devices"]["gone"]["error"]["code"] == 16
    for name in ("a", "c"):
        assert document["devices"][name]["verdict"] == "pass"
        assert lab.read_report(lab.out / name)["device"]["name"] == name
    assert lab.read_report(lab.out / "gone")["exit_code"] == 16
    assert lab.run("deploy", "tiny", "--device", "a,c").code == 0


def test_a_device_of_another_target_is_exit_2(lab, out):
    result = deploy(lab, "--target", "real")
    assert result.code == 2
    lab.assert_message(result.stderr, "usage")
    assert "expected board, found real" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no device is called native"),
        ("[native]\ntarget = 'board'\nhost = 'x'\nport = 22\n", "devices.toml: native: port"),
    ],
)
def test_a_wrong_list_of_devices_is_exit_2_and_leaves_nothing(lab, text, message):
    (lab.folder / "devices.toml").write_text(text)
    result = deploy(lab)
    lab.assert_stopped(result, 2, "usage")
    assert message in result.stderr
    assert not (lab.folder / "dist").exists()


def test_a_board_that_is_switched_off_is_exit_16_and_the_report_of_before_is_gone(lab, native, out):
    assert deploy(lab).code == 0
    native.stop()
    assert_failed(lab, deploy(lab), 16, "unreachable", out)
    native.start()
    lab.assert_passed(deploy(lab), out)


def test_a_changed_host_key_is_exit_16_and_nothing_is_sent(lab, native, out):
    native.stop()
    native.change_host_key()
    native.start()
    result = deploy(lab)
    assert_failed(lab, result, 16, "unreachable", out)
    assert "host key changed" in result.stderr
    assert not native.root.exists()
    native.trust_host_key()
    lab.assert_passed(deploy(lab), out)


def test_a_board_without_python_is_exit_12(lab, native, out):
    (lab.folder / "devices.toml").write_text(native.describe(python="python-of-nobody"))
    result = deploy(lab)
    assert_failed(lab, result, 12, "incompatible", out)
    assert "install python3 on the board" in result.stderr
    (lab.folder / "devices.toml").write_text(native.describe())
    lab.assert_passed(deploy(lab), out)


def test_an_interrupted_host_is_exit_130_and_the_board_stops_too(lab, native, out):
    process = lab.start("deploy", "tiny", "--device", "native")
    wait_until(lambda: (native.root / "releases").exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.code, result.stderr) == (130, result.stderr)
    assert "Traceback" not in result.stderr
    wait_until(lambda: not native.list_agents())
    assert not (out / "report.json").exists()
    lab.assert_passed(deploy(lab), out)


def test_a_second_deploy_to_a_busy_board_is_exit_17(lab, native, out):
    assert deploy(lab).code == 0
    holder = subprocess.Popen(
        ["flock", native.root / "lock", "sh", "-c", "echo held; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    result = deploy(lab)
    holder.communicate()
    assert_failed(lab, result, 17, "busy", out)
    lab.assert_passed(deploy(lab), out)


def test_a_signed_bundle_is_verified_by_an_enrolled_board_which_then_takes_no_other(lab, native, out):
    key, other = native.folder / "signer", native.folder / "stranger"
    signers = native.folder / "allowed_signers"
    signers.write_text(f'ci@example.org namespaces="edge-toolchain-bundle" {make_key(key)}\n')
    make_key(other)
    result = lab.run("enroll", "native", "--signers", signers)
    assert (result.code, result.stderr) == (0, result.stderr)
    assert "trusts    ci@example.org" in result.stdout
    result = deploy(lab, "--sign", key)
    lab.assert_passed(result, out)
    report = lab.read_report(out)
    assert (report["signature"], report["signer"]) == ("verified", "ci@example.org")
    [gate] = [gate for gate in report["gates"] if gate["name"] == "signature"]
    assert (gate["status"], gate["measured"]) == ("passed", "signed by ci@example.org")
    active = read_active(native)
    assert_failed(lab, deploy(lab), 10, "signature", out)
    assert_failed(lab, deploy(lab, "--sign", other), 10, "signature", out)
    assert read_active(native) == active
    lab.assert_passed(deploy(lab, "--sign", key), out)
    report = json.loads(lab.run("verify", out / "bundle", "--device", "native", "--json").stdout)
    assert (report["signature"], report["signer"]) == ("verified", "ci@example.org")
    result = lab.run("enroll", "native", "--signers", signers, "--json")
    assert json.loads(result.stdout)["replaced"] == [signers.read_text().strip()]


def test_a_target_that_requires_a_signature_stops_an_unsigned_deploy_before_the_work(lab, native, out):
    lab.edit("targets/board.toml", 'signature = "optional"', 'signature = "required"')
    result = deploy(lab)
    assert_failed(lab, result, 10, "signature", out)
    assert "--sign KEY" in result.stderr
    assert lab.read_report(out)["stages"] == []
    assert not native.root.exists()


def test_an_older_bundle_is_exit_13_and_one_with_time_left_passes(lab, native, out):
    lab.assert_passed(deploy(lab, "--counter", "2"), out)
    assert_failed(lab, deploy(lab, "--counter", "1"), 13, "replay", out)
    lab.assert_passed(deploy(lab, "--counter", "3", "--expires-days", "7"), out)


def test_verify_on_the_board_proves_the_release_again_and_renews_its_verdict_alone(lab, native, out):
    lab.assert_passed(deploy(lab), out)
    state = (native.root / "state.json").read_bytes()
    result = lab.run("verify", out / "bundle", "--device", "native", "--json")
    assert (result.code, result.stderr) == (0, result.stderr)
    report = json.loads(result.stdout)
    assert (report["verdict"], report["device"]["name"]) == ("pass", "native")
    assert (native.root / "state.json").read_bytes() == state
    last = json.loads((native.root / "log.jsonl").read_text().splitlines()[-1])
    assert (last["command"], last["verdict"], last["proven"]["payload"]) == (
        "check",
        "done",
        report["artifact"]["path"].partition("bundle/")[2],
    )
    payload = next((native.root / "current" / "shipped").resolve().glob("*.onnx"))
    payload.write_bytes(payload.read_bytes()[:-1] + b"\x00")
    result = lab.run("verify", out / "bundle", "--device", "native")
    lab.assert_message(result.stderr, "content")
    assert result.code == 11


def test_verify_of_a_bundle_that_the_board_does_not_have_is_exit_2(lab, deployed):
    result = lab.run("verify", deployed.out / "bundle", "--device", "native")
    lab.assert_message(result.stderr, "usage")
    assert result.code == 2


def test_rollback_and_status_show_what_is_active(lab, native, out):
    result = lab.run("rollback", "--device", "native")
    assert result.code == 2
    lab.assert_passed(deploy(lab), out)
    first = read_active(native)
    lab.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 0.07")
    lab.assert_passed(deploy(lab), out)
    second = read_active(native)
    assert first != second
    result = lab.run("rollback", "--device", "native")
    assert (result.code, result.stderr) == (0, result.stderr)
    assert read_active(native) == first
    payload = next((native.root / "current" / "shipped").resolve().iterdir())
    precision, sha256 = payload.parent.name, compute_sha256(payload)
    assert f"rolled back: {second} -> {first}\ncurrent   {first}\nprevious  {second}\ncounter   0\n" in result.stdout
    assert f"proven    tiny {precision}, " in result.stdout
    assert f"payload   payload/{precision}/model.onnx  sha256 {sha256}\n" in result.stdout
    result = lab.run("status", "--device", "native")
    assert result.code == 0
    assert f"current   {first}" in result.stdout
    assert "active    as its manifest says" in result.stdout
    result = lab.run("rollback", "--device", "native", "--json")
    document = json.loads(result.stdout)
    assert (result.code, document["rolled_back"]) == (0, {"from": first, "to": second})
    assert (document["current"], document["previous"], document["counter"]) == (second, first, 0)
    active = {"model": "tiny", "precision": precision, "runtime": "onnxruntime", "threads": 1, "pins_threads": False}
    active |= {"payload": f"payload/{precision}/model.onnx", "sha256": sha256}
    assert document["active"] == active
    document = json.loads(lab.run("status", "--device", "native", "--json").stdout)
    assert (document["current"], document["verified"], document["expired"], document["active"]) == (
        second,
        True,
        False,
        active,
    )


def test_devices_shows_which_can_be_reached(lab, native):
    (lab.folder / "devices.toml").write_text(native.describe() + native.describe("off", host="nowhere.invalid"))
    result = lab.run("devices", "--json")
    assert result.code == 0
    rows = json.loads(result.stdout)
    assert rows["native"]["reachable"]
    assert not rows["off"]["reachable"]
    assert rows["off"]["fix"]
    assert "NOT reachable" in lab.run("devices").stdout


def test_without_devices_it_says_what_to_write(project):
    result = project.run("devices")
    assert (result.code, json.loads(project.run("devices", "--json").stdout)) == (0, {})
    assert "[lab-pi]" in result.stdout


def test_doctor_shows_what_a_board_has_and_lacks(lab, native):
    result = lab.run("doctor", "--device", "native")
    assert (result.code, result.stderr) == (0, result.stderr)
    assert "onnxruntime" in result.stdout
    bare = native.folder / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    bare.chmod(0o755)
    (lab.folder / "devices.toml").write_text(native.describe(python=str(bare)))
    result = lab.run("doctor", "--device", "native", "--json")
    (row,) = json.loads(result.stdout)
    lacking = [check for check in row["checks"] if not check["ok"]]
    assert (result.code, row["exit_code"]) == (3, 3)
    assert [check["name"] for check in lacking] == ["target board"]
    assert "pip install onnxruntime" in lacking[0]["fix"]
