import os
import signal
import subprocess
import sys
import time

import pytest

from tests.native_board import make_key
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.bundle.sign import sign_manifest
from toolchain.deploy.board import Board
from toolchain.deploy.remote import RemoteTransport
from toolchain.deploy.ssh import SshConnection
from toolchain.deploy.transport import Shipment
from toolchain.errors import ExitCode, ToolchainError

SETTINGS = MeasureSettings(latency_samples=11, latency_limit_s=0.1)


def ignore(step, done, total):
    pass


@pytest.fixture
def open_transport(native, tmp_path):
    """Return a function that returns a transport to the native board."""

    def open_to(**options):
        settings = {"root": str(native.root), "python": sys.executable, "stall_s": 30, **options}
        connection = SshConnection("native", config=native.ssh_config, stall_s=settings["stall_s"])
        return RemoteTransport(tmp_path / "dist", device="native", board=Board(connection, **settings))

    return open_to


@pytest.fixture
def bundle(make_bundle):
    return make_bundle()


def deploy(transport, bundle, on_progress=ignore, **options):
    with transport:
        sent_bytes = transport.place_bundle(Shipment(bundle=bundle, settings=SETTINGS, **options), on_progress)
        return sent_bytes, transport.measure_bundle(ignore)


def assert_stopped(code, transport, bundle, on_progress=ignore, **options):
    with pytest.raises(ToolchainError) as caught:
        deploy(transport, bundle, on_progress, **options)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def once(action):
    """Return a listener that acts at the first bytes that are sent."""
    events = []

    def act(step, done, total):
        events.append((step, done, total))
        if len(events) == 1:
            action()

    return act


def list_releases(native):
    return sorted(path.name for path in (native.root / "releases").glob("*"))


def test_a_bundle_is_installed_and_measured_and_sent_once(native, open_transport, bundle):
    steps = []
    sent_bytes, measured = deploy(open_transport(), bundle, lambda *event: steps.append(event))
    assert measured.document["verdict"] == "pass"
    assert sent_bytes == sum(entry.size_bytes for entry in read_manifest(bundle)[0].files)
    assert steps[-1] == ("send, bytes", sent_bytes, sent_bytes)
    assert deploy(open_transport(), bundle)[0] == 0
    assert list_releases(native) == [measured.document["record"]["bundle_id"]]


def test_a_session_that_is_killed_while_bytes_are_sent_is_exit_15_and_the_next_deploy_goes_on(
    native, open_transport, bundle
):
    assert_stopped(
        ExitCode.CONNECTION_LOST, open_transport(), bundle, once(lambda: native.signal_sessions(signal.SIGKILL))
    )
    assert not (native.root / "current").exists()
    sent_bytes, measured = deploy_when_free(open_transport, bundle)
    assert measured.document["verdict"] == "pass"
    assert sent_bytes <= sum(entry.size_bytes for entry in read_manifest(bundle)[0].files)


def deploy_when_free(open_transport, bundle):
    """Deploy as soon as the agent of the broken connection has seen that its host is gone."""
    end_s = time.monotonic() + 60  # ends a test that hangs; nothing is measured by it
    while True:
        try:
            return deploy(open_transport(), bundle)
        except ToolchainError as error:
            if error.code != ExitCode.BUSY or time.monotonic() > end_s:
                raise


def test_what_came_before_a_drop_is_not_sent_again(native, open_transport, bundle):
    whole = sum(entry.size_bytes for entry in read_manifest(bundle)[0].files)

    def wait_and_kill():
        end_s = time.monotonic() + 60
        while not any(path.is_file() and path.stat().st_size for path in (native.root / "staging").rglob("*/*/*")):
            assert time.monotonic() < end_s
            time.sleep(0.01)
        native.signal_sessions(signal.SIGKILL)

    assert_stopped(ExitCode.CONNECTION_LOST, open_transport(), bundle, once(wait_and_kill))
    sent_bytes, measured = deploy_when_free(open_transport, bundle)
    assert 0 < sent_bytes < whole
    assert measured.document["verdict"] == "pass"


def test_a_connection_that_stalls_is_exit_15(native, open_transport, bundle):
    listener = once(lambda: native.signal_sessions(signal.SIGSTOP))
    error = assert_stopped(ExitCode.CONNECTION_LOST, open_transport(stall_s=2), bundle, listener)
    assert error.found
    native.signal_sessions(signal.SIGKILL)
    assert deploy_when_free(open_transport, bundle)[1].document["verdict"] == "pass"


def test_an_agent_that_is_stopped_is_exit_15(native, open_transport, bundle):
    def stop_agents():
        for process_id in native.list_agents():
            os.kill(process_id, signal.SIGSTOP)

    error = assert_stopped(ExitCode.CONNECTION_LOST, open_transport(stall_s=2), bundle, once(stop_agents))
    assert "no sign of life" in error.found
    for process_id in native.list_agents():
        os.kill(process_id, signal.SIGCONT)
    assert deploy_when_free(open_transport, bundle)[1].document["verdict"] == "pass"


def test_an_interrupted_host_leaves_no_agent_on_the_board(native, open_transport, bundle):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(open_transport(), bundle, once(interrupt))
    end_s = time.monotonic() + 60
    while native.list_agents():
        assert time.monotonic() < end_s
        time.sleep(0.01)
    assert deploy(open_transport(), bundle)[1].document["verdict"] == "pass"


def test_a_board_that_is_busy_is_exit_17(native, open_transport, bundle):
    deploy(open_transport(), bundle)
    command = ["flock", native.root / "lock", "sh", "-c", "echo held; cat"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert_stopped(ExitCode.BUSY, open_transport(), bundle)
    holder.communicate()
    deploy(open_transport(), bundle)


def test_a_verdict_that_is_no_is_returned_and_the_board_keeps_what_it_had(
    native, open_transport, bundle_inputs, write_model, tmp_path
):
    from toolchain.bundle import write_bundle

    write_bundle(bundle_inputs(), tmp_path / "good")
    write_bundle(bundle_inputs(candidates={"float32": write_model("nan")}), tmp_path / "bad")
    _, good = deploy(open_transport(), tmp_path / "good")
    _, bad = deploy(open_transport(), tmp_path / "bad")
    assert (bad.document["verdict"], bad.document["exit_code"]) == ("fail", ExitCode.PARITY)
    assert (native.root / "current").readlink().name == good.document["record"]["bundle_id"]


def test_a_bundle_that_changed_on_the_way_is_exit_11(native, open_transport, bundle, tmp_path):
    payload = tmp_path / "dist" / "bundle" / "payload" / "int8" / "model.onnx"
    whole = payload.stat().st_size if payload.exists() else None
    assert whole is None
    transport = open_transport()
    listener = once(lambda: payload.write_bytes(payload.read_bytes()[:-1] + b"\0"))
    assert_stopped(ExitCode.CONTENT, transport, bundle, listener)
    assert not (native.root / "current").exists()
    deploy(open_transport(), bundle)


def test_the_board_names_who_signed(native, open_transport, bundle, tmp_path):
    key = tmp_path / "signer"
    native.root.mkdir()
    (native.root / "allowed_signers").write_text(f"ci@example.org {make_key(key)}\n")
    assert_stopped(ExitCode.SIGNATURE, open_transport(), bundle)
    signature = sign_manifest((bundle / "manifest.json").read_bytes(), key)
    _, measured = deploy(open_transport(), bundle, signature=signature, signature_required=True)
    assert measured.signer == "ci@example.org"


def test_a_required_signature_on_a_board_that_trusts_nobody_is_exit_10(open_transport, bundle, tmp_path):
    make_key(tmp_path / "signer")
    signature = sign_manifest((bundle / "manifest.json").read_bytes(), tmp_path / "signer")
    assert_stopped(ExitCode.SIGNATURE, open_transport(), bundle, signature=signature, signature_required=True)
