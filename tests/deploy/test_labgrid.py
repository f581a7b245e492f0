"""A labgrid farm on this machine: its own coordinator, exporter and client, with one place."""

import getpass
import os
import socket
import subprocess
import sys
import time

import pytest

from tests.native_board import assert_unreachable
from toolchain.deploy.labgrid import LabgridConnection
from toolchain.errors import ExitCode, ToolchainError

pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'edge-toolchain[labgrid]'")

LIMIT_S = 60  # ends a test that hangs; nothing is measured by it
EXPORTS = """
rack:
  NetworkService:
    address: 127.0.0.1
    port: {port}
    username: {user}
"""
ENVIRONMENT = """
targets:
  main:
    resources:
      RemotePlace:
        name: bench
    drivers:
      SSHDriver:
        keyfile: {key}
options:
  coordinator_address: {coordinator}
"""


CONNECT = """
import sys
from pathlib import Path
from toolchain.deploy.labgrid import LabgridConnection
from toolchain.errors import ToolchainError

connection = LabgridConnection(Path(sys.argv[1]), config=Path(sys.argv[2]))
try:
    connection.open()
    stdout, _ = connection.start("set -- $SSH_CONNECTION; echo $3 $4").communicate()
    print(stdout.decode(), end="")
except ToolchainError as error:
    print(error)
    sys.exit(int(error.code))
finally:
    connection.close()
"""


def start(module, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class Farm:
    """The processes of a farm; its place `bench` leads to the native board."""

    def __init__(self, folder, native):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
        self._folder = folder
        (folder / "exports.yaml").write_text(EXPORTS.format(port=native.port, user=getpass.getuser()))
        self.environment = folder / "env.yaml"
        self.environment.write_text(ENVIRONMENT.format(key=native.key, coordinator=self.coordinator))
        self.config = folder / "ssh_config"
        self.config.write_text(f"UserKnownHostsFile {native.known_hosts}\nIdentitiesOnly yes\nIdentityAgent none\n")
        self._processes = [start("labgrid.remote.coordinator", "-l", self.coordinator)]
        self.run_until("places", lambda text: True)
        exporter = ["-c", self.coordinator, "-n", "exporter", "--hostname", "localhost", folder / "exports.yaml"]
        self._processes.append(start("labgrid.remote.exporter", *exporter))
        self.run_until("resources", lambda text: "exporter/rack/NetworkService" in text)
        self.run("-p", "bench", "create")
        self.run("-p", "bench", "add-match", "exporter/rack/NetworkService")

    def run(self, *arguments, check=True):
        command = [sys.executable, "-m", "labgrid.remote.client", "-x", self.coordinator, *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True, cwd=self._folder)

    def run_until(self, command, holds):
        end_s = time.monotonic() + LIMIT_S
        while True:
            done = self.run(command, check=False)
            if done.returncode == 0 and holds(done.stdout):
                return
            assert time.monotonic() < end_s, done.stderr

    def stop(self):
        for process in self._processes:
            process.kill()
            process.wait()

    def connect(self):
        """Connect in a process of its own, as labgrid keeps one session a process; return (exit code, said)."""
        command = [sys.executable, "-c", CONNECT, self.environment, self.config]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def farm(native, tmp_path):
    folder = tmp_path / "farm"
    folder.mkdir()
    made = Farm(folder, native)
    yield made
    made.stop()


def test_an_acquired_place_leads_to_its_board_and_a_changed_host_key_is_refused(farm, native):
    code, said, stderr = farm.connect()
    assert (code, stderr) == (ExitCode.UNREACHABLE, "")
    assert "place bench is not acquired" in said
    assert "labgrid-client -p PLACE acquire" in said
    farm.run("-p", "bench", "acquire")
    assert farm.connect() == (0, f"127.0.0.1 {native.port}\n", "")
    native.stop()
    native.change_host_key()
    native.start()
    code, said, _ = farm.connect()
    assert code == ExitCode.UNREACHABLE
    assert "host key changed" in said


def test_an_environment_that_is_not_there_is_exit_2(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        LabgridConnection(tmp_path / "env.yaml").open()
    assert caught.value.code == ExitCode.USAGE


def test_an_environment_without_an_ssh_driver_leads_nowhere(tmp_path):
    path = tmp_path / "env.yaml"
    path.write_text("targets:\n  main:\n    resources: {}\n")
    assert_unreachable(LabgridConnection(path))


def test_without_labgrid_it_is_exit_3_with_the_way_to_get_it(tmp_path):
    (tmp_path / "env.yaml").write_text("targets: {}\n")
    script = f"""
import sys
sys.modules["labgrid"] = None
from pathlib import Path
from toolchain.deploy.labgrid import LabgridConnection
from toolchain.errors import ToolchainError
try:
    LabgridConnection(Path({str(tmp_path / "env.yaml")!r})).open()
except ToolchainError as error:
    print(int(error.code), error.fix)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "3 python -m pip install 'edge-toolchain[labgrid]'\n"
