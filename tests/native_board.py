"""A board that is this machine: a real sshd on the loopback address, with keys and configs of its own."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolchain.errors import ExitCode, ToolchainError

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
# Of the board; `make test-board` names that of the emulated one.
AGENT_PYTHON = os.environ.get("AGENT_PYTHON", sys.executable)
_START_S = 30  # ends a test whose sshd does not start; nothing is measured by it


def make_key(path):
    """Make a key pair without a passphrase and return the public half, as `ssh-ed25519 AAAA...`."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text().strip()


def assert_unreachable(connection):
    with pytest.raises(ToolchainError) as caught:
        connection.open()
    assert caught.value.code == ExitCode.UNREACHABLE
    assert caught.value.fix
    return caught.value


class NativeBoard:
    """An sshd with the user's own account; what is deployed lies in `root`."""

    def __init__(self, folder, *, environment=None):
        """environment: what commands on the board have beside their own."""
        if _SSHD is None:
            pytest.skip("there is no sshd: apt-get install openssh-server")
        self.folder = folder
        self.root = folder / "board"
        self.key = folder / "key"
        self.ssh_config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self._sshd = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "authorized_keys").write_text(make_key(self.key) + "\n")
        self.change_host_key()
        self.trust_host_key()
        lines = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host_key",
            "AuthorizedKeysFile": folder / "authorized_keys",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            # bash reads a user's .bashrc for a command over ssh, unless another shell started it.
            "SetEnv": " ".join(f"{name}={value}" for name, value in {"SHLVL": 2, **(environment or {})}.items()),
        }
        (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        lines = {
            "Host": "native",
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": getpass.getuser(),
            "IdentityFile": self.key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "none",
        }
        self.ssh_config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))

    def start(self):
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks up the part of it that talks with strangers
        log = self.folder / "sshd.log"
        command = [_SSHD, "-D", "-f", self.folder / "sshd_config", "-E", log]
        self._sshd = subprocess.Popen(command, start_new_session=True)
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and self._sshd.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.01)
        pytest.fail(f"sshd does not start: {log.read_text()}")

    @property
    def process_id(self):
        """Of the sshd that waits for connections."""
        return self._sshd.pid

    def stop(self):
        """Switch the board off: no sshd, no session."""
        if self._sshd is not None:
            sessions = self.list_sessions()
            self._sshd.kill()
            self._sshd.wait()
            self._sshd = None
            for process_id in sessions:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)

    def list_sessions(self):
        """Return the processes that serve a connection."""
        return list_children(self._sshd.pid)

    def signal_sessions(self, number):
        for process_id in self.list_sessions():
            os.kill(process_id, number)

    def list_agents(self):
        """Return the processes on the board that work in its folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (path / "cwd").readlink().is_relative_to(self.root):
                    found.append(int(path.name))
        return found

    def change_host_key(self):
        for path in self.folder.glob("host_key*"):
            path.unlink()
        make_key(self.folder / "host_key")

    def trust_host_key(self):
        public = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def forget_host_key(self):
        self.known_hosts.write_text("")

    def describe(self, name="native", *, target="board", **options):
        """Return the table of devices.toml for this board."""
        lines = {
            "target": target,
            "host": "native",
            "ssh_config": str(self.ssh_config),
            "root": str(self.root),
            "python": AGENT_PYTHON,
            "stall_s": 30,
            **options,
        }
        values = {key: value if isinstance(value, int) else f'"{value}"' for key, value in lines.items()}
        return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


def list_children(process_id):
    children = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == process_id:
                children.append(int(path.parent.name))
    return children
