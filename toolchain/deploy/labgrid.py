"""The connection to a board of a labgrid farm: labgrid says which place it is, where it is and who may log in."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolchain.deploy.ssh import SshConnection
from toolchain.errors import ExitCode, ToolchainError, missing, usage

_TARGET = "main"


class LabgridConnection:
    """Connects to what the SSHDriver of a labgrid environment is bound to; the place must be acquired.

    labgrid's own connection takes any host key (it sets StrictHostKeyChecking=no and UserKnownHostsFile=/dev/null), and
    a board that is another one must not get a bundle. So its settings are taken, and the user's known_hosts decides.
    """

    def __init__(self, environment: Path, *, config: Path | None = None, stall_s: int = 30) -> None:
        self._environment = environment
        self._config = config
        self._stall_s = stall_s
        self._ssh: SshConnection | None = None

    @property
    def place(self) -> str:
        return f"labgrid {self._environment.name}" if self._ssh is None else self._ssh.place

    def open(self) -> None:
        """Ask labgrid where the board is, and connect; see Connection."""
        if self._ssh is None:
            host, options = self._find_service()
            self._ssh = SshConnection(host, config=self._config, options=options, stall_s=self._stall_s)
        self._ssh.open()

    def start(self, command: str) -> subprocess.Popen[bytes]:
        if self._ssh is None:
            raise ValueError("the connection is not open")
        return self._ssh.start(command)

    def close(self) -> None:
        if self._ssh is not None:
            self._ssh.close()

    def _find_service(self) -> tuple[str, Sequence[str]]:
        """Return the address of the board and the options of ssh that labgrid has for it."""
        if not self._environment.is_file():
            raise usage(
                "there is no labgrid environment", where=str(self._environment), fix="correct labgrid = in devices.toml"
            )
        try:
            from labgrid import Environment
            from labgrid.util.proxy import proxymanager
        except ModuleNotFoundError as error:
            fix = "python -m pip install 'edge-toolchain[labgrid]'"
            raise missing("labgrid is not installed", where=error.name, fix=fix) from error
        logging.getLogger("labgrid").setLevel(logging.CRITICAL)  # what goes wrong is said once, below
        try:
            driver: Any = (
                Environment(str(self._environment)).get_target(_TARGET).get_driver("SSHDriver", activate=False)
            )
            service = driver.networkservice
            driver.target.await_resources([service])
            proxy = proxymanager.get_command(service, service.address, service.port)
        except Exception as error:  # labgrid raises everything from AttributeError to Exception itself
            raise ToolchainError(
                ExitCode.UNREACHABLE,
                "labgrid does not lead to the board",
                where=str(self._environment),
                expected=f"a target {_TARGET} with an SSHDriver, at a place that you acquired",
                found=f"{type(error).__name__}: {error}",
                fix=f"make this work first: labgrid-client -c {self._environment} ssh; "
                "a place is taken with: labgrid-client -p PLACE acquire",
            ) from error
        options = [f"Port={service.port}"]
        if user := driver.username or service.username:
            options.append(f"User={user}")
        if driver.keyfile:
            options.append(f"IdentityFile={driver.target.env.config.resolve_path(driver.keyfile)}")
        if proxy:
            options.append(f"ProxyCommand={' '.join(proxy)}")
        return service.address, options
