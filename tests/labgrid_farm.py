"""A labgrid farm on this machine: its own coordinator, exporter and client, with one place."""

import getpass
import socket
import subprocess
import sys
import time

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


def start(module, *arguments, folder):
    """Start a part of the farm in a folder of its own: the coordinator keeps its places in it."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
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
        self._processes = []

    def start(self):
        """Start the coordinator, the exporter and the place; `stop` ends what was started, even where this fails."""
        folder = self._folder
        self._processes.append(start("labgrid.remote.coordinator", "-l", self.coordinator, folder=folder))
        self.run_until("places", lambda text: True)
        exporter = ["-c", self.coordinator, "-n", "exporter", "--hostname", "localhost", folder / "exports.yaml"]
        self._processes.append(start("labgrid.remote.exporter", *exporter, folder=folder))
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
