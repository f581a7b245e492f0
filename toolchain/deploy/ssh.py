"""The connection through the system's OpenSSH: its config, aliases, jump hosts, agents and known_hosts all work."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import selectors
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from toolchain.agent.temporary import SHORT_PARENT, TemporaryFolder
from toolchain.deploy.connection import lost
from toolchain.errors import ExitCode, ToolchainError, malformed, missing

_READY = b"edge-toolchain: connected"
# The longest path of a Unix socket is 107 bytes (unix(7)); ssh adds 17 to that of its control socket while it makes it.
_SOCKET_FOLDER_BYTES_MAX = 64
_SOCKET_NAME, _ERRORS_NAME = "s", "errors"
_CLOSE_S = 3
# Of stdout and of stderr of a shell that greets; a message of the day has some kilobytes.
_GREETING_BYTES_MAX = 1 << 20
# Of what ssh writes in one piece, so that the file of a board which does not stop ends so far before its limit at most.
_MARGIN_BYTES = 1 << 16


class SshConnection:
    """One connection to a host that all commands share.

    The first process (ControlMaster) holds it, and runs a command that ends when we do: whatever kills this process,
    nothing stays behind.
    """

    def __init__(
        self, host: str, *, config: Path | None = None, options: Sequence[str] = (), stall_s: int = 30
    ) -> None:
        """Prepare a connection to a host of ssh.

        Args:
            host: an alias of the user's ssh config, or USER@ADDRESS.
            config: an ssh config in place of the user's.
            options: NAME=VALUE each, before those of the config.
            stall_s: a connection without a sign of life for so long is lost.
        """
        self._host = host
        self._stall_s = stall_s
        self._ssh = ["ssh", *([] if config is None else ["-F", str(config)])]
        self._options = [f"-o{option}" for option in options]
        self._strictness = "yes"
        self._folder: TemporaryFolder | None = None
        self._master: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        return self._host

    def open(self) -> None:
        """Connect; see Connection."""
        if self._master is not None:
            return
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        self._strictness = self._choose_strictness()
        self._folder = TemporaryFolder(_find_short_folder())
        command = f"echo '{_READY.decode()}'; exec cat >/dev/null"
        options = ["ControlMaster=yes", "ControlPersist=no"]
        with (self._folder.path / _ERRORS_NAME).open("wb") as errors:
            self._master = subprocess.Popen(
                self._list_arguments(options, command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # an interrupt of the terminal is ours to handle
            )
        self._folder.note_process(self._master.pid)
        _limit_files(self._master.pid)
        if not self._wait_until_ready(self._master):
            said = self._read_errors()
            raise self._refuse_talk() if len(said) > _GREETING_BYTES_MAX - _MARGIN_BYTES else self._explain(said)

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command over the open connection; see Connection."""
        if self._master is None or self._folder is None or not self._has_socket():
            raise lost(self._host, self._read_errors().rpartition("\n")[2] or "no connection")
        process = subprocess.Popen(
            # Without the shared connection ssh would make another one; it must not.
            self._list_arguments(["ControlMaster=no", "ProxyCommand=false"], command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._folder.note_process(process.pid)
        return process

    def _has_socket(self) -> bool:
        # ssh removes it before it ends.
        return self._folder is not None and (self._folder.path / _SOCKET_NAME).exists()

    def close(self) -> None:
        """Disconnect; see Connection."""
        master, self._master = self._master, None
        if master is not None:
            for pipe in (master.stdin, master.stdout):
                if pipe is not None:
                    pipe.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                master.wait(_CLOSE_S)
            master.kill()
            master.wait()
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def _list_arguments(self, options: Sequence[str], command: str) -> list[str]:
        folder = None if self._folder is None else self._folder.path
        every = [
            f"ControlPath={folder}/{_SOCKET_NAME}",
            f"StrictHostKeyChecking={self._strictness}",
            "BatchMode=yes",  # nobody is there to answer a question
            f"ConnectTimeout={self._stall_s}",
            f"ServerAliveInterval={max(1, self._stall_s // 3)}",
            "ServerAliveCountMax=3",
            # What the user's config may say of this host for a person's session.
            "ClearAllForwardings=yes",
            "RemoteCommand=none",
            "LogLevel=INFO",
        ]
        own = [f"-o{option}" for option in (*options, *every)]  # of two values, ssh takes the first
        return [*self._ssh, "-T", *own, *self._options, "--", self._host, command]

    def _explain(self, said: str) -> ToolchainError:
        return explain_unreachable(self._host, said, " ".join([*self._ssh, *self._options]))

    def _choose_strictness(self) -> str:
        """Return StrictHostKeyChecking: "yes", but where the user's config accepts new hosts; never changed ones."""
        try:
            done = subprocess.run(
                [*self._ssh, *self._options, "-G", "--", self._host],
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=self._stall_s,
            )
        except FileNotFoundError as error:
            raise missing("there is no ssh", where="PATH", fix="install OpenSSH's client: openssh-client") from error
        except subprocess.TimeoutExpired as error:
            raise self._explain("ssh -G does not return") from error
        if done.returncode:
            raise self._explain(done.stderr.partition("\n")[0])
        # ssh prints "no" and "off" as false; they would let a changed key pass.
        accepts_new = re.search(r"^stricthostkeychecking (false|no|off|accept-new)$", done.stdout, re.MULTILINE)
        return "accept-new" if accepts_new else "yes"

    def _wait_until_ready(self, master: subprocess.Popen[bytes]) -> bool:
        # Twice ConnectTimeout, which a jump host has for itself.
        end_s = time.monotonic() + 2 * self._stall_s
        output = b""
        if master.stdout is None:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(master.stdout, selectors.EVENT_READ)
            while (left_s := end_s - time.monotonic()) > 0 and selector.select(left_s):
                block = os.read(master.stdout.fileno(), 4096)
                output += block
                if _READY in output:
                    return True
                if not block:
                    return False
                if len(output) > _GREETING_BYTES_MAX:
                    raise self._refuse_talk()
        return False

    def _refuse_talk(self) -> ToolchainError:
        return malformed(
            "the board's shell does not stop talking",
            where=self._host,
            expected=f"at most {_GREETING_BYTES_MAX >> 20} MiB before the first command",
            found="more",
            fix="look at what the account's shell runs at a login",
        )

    def _read_errors(self) -> str:
        if self._folder is None or self._master is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._master.wait(_CLOSE_S)
        text = (self._folder.path / _ERRORS_NAME).read_text(encoding="utf-8", errors="replace")
        return text.replace("\r", "").strip()


def explain_unreachable(host: str, said: str, ssh: str) -> ToolchainError:
    """Return the error (exit 16) for what ssh said when it could not connect."""
    last_line = said.rpartition("\n")[2] or "no answer"

    def refuse(what: str, found: str, fix: str) -> ToolchainError:
        return ToolchainError(ExitCode.UNREACHABLE, what, where=host, found=found, fix=fix)

    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said or "key revoked" in said.lower():
        place = re.search(r"Offending \S+ key in (\S+)", said)
        known = re.search(r"^\s*(ssh-keygen -f [\"'][\w./@ -]+[\"'] -R [\"'][\w.:@\[\]-]+[\"'])$", said, re.MULTILINE)
        forget = known[1].strip() if known else f"ssh-keygen -R {host}"
        return refuse(
            "the board's host key changed, so nothing was sent",
            f"another key than {place[1] if place else 'known_hosts'} has",
            f"it may be another machine; if the board was set up anew, compare its key on its own console, then {forget}",
        )
    if "Host key verification failed" in said:
        fix = f"connect once by hand and compare the fingerprint with the board's: {ssh} {host}"
        return refuse("the board's host key is not known yet, so nothing was sent", last_line, fix)
    if "Permission denied" in said:
        fix = f"put your public key on the board (ssh-copy-id {host}); a key with a passphrase needs ssh-add"
        return refuse("the board does not let you in", last_line, fix)
    return refuse("the board cannot be reached", last_line, f"make this work first: {ssh} {host} true")


def _limit_files(process_id: int) -> None:
    """End a process that writes a file without end: what a board's shell says on stderr goes to one (prlimit(2))."""
    if hasattr(resource, "prlimit"):  # Linux
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process_id, resource.RLIMIT_FSIZE, (_GREETING_BYTES_MAX, _GREETING_BYTES_MAX))


def _find_short_folder() -> str | None:
    # None is Python's own choice, which follows TMPDIR.
    return None if len(os.fsencode(tempfile.gettempdir())) <= _SOCKET_FOLDER_BYTES_MAX else SHORT_PARENT
