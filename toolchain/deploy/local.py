"""The transport of this machine: the bundle lands in the output folder, and its agent runs here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import toolchain.agent
from toolchain.agent.bundle_files import SIGNATURE_NAME
from toolchain.agent.contents import check_contents
from toolchain.agent.durable import sync_path, write_file
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.facts import Facts, read_facts
from toolchain.agent.measure.machine_speed import SPEED_MEMORY
from toolchain.agent.measure.settings import DEFAULTS, MeasureSettings, list_arguments
from toolchain.deploy.agent_output import follow_progress, read_agent_output
from toolchain.deploy.lock import lock_folder
from toolchain.deploy.swap import replace_folder, restore_folder
from toolchain.deploy.transport import AgentResult, Measured, OnProgress, Shipment
from toolchain.errors import ExitCode, ToolchainError, explain_storage
from toolchain.project import agent_members
from toolchain.project.agent_members import use_member
from toolchain.project.members import list_members
from toolchain.project.seams import METRICS, RUNTIMES
from toolchain.run.cache import cache_root, hash_file

# The folder of our package comes last among Python's, for a checkout that is not installed.
_PACKAGE_FOLDER = Path(toolchain.agent.__file__).parent.parent.parent
_START = (
    "import runpy, sys\n"
    "sys.path.append(sys.argv.pop(1))\n"
    "runpy.run_module('toolchain.agent', run_name='__main__', alter_sys=True)\n"
)
_PARTIAL = "bundle.partial-"
_PREVIOUS = "bundle.previous"


def _copy_folder(source: Path, target: Path) -> None:
    # Links are copied as links, and then refused by check_contents.
    target.mkdir()
    for path in sorted(source.iterdir()):
        copy = target / path.name
        if path.is_dir() and not path.is_symlink():
            _copy_folder(path, copy)
        else:
            shutil.copy2(path, copy, follow_symlinks=False)
            if not copy.is_symlink():
                sync_path(copy)
    sync_path(target)


class LocalTransport:
    """Deploys to OUT/bundle on this machine."""

    def __init__(self, out: Path) -> None:
        self._out = out.absolute()
        self._lock: BinaryIO | None = None
        self._settings = DEFAULTS

    @property
    def device(self) -> str | None:
        return None

    @property
    def bundle(self) -> Path:
        """The folder of the placed bundle."""
        return self._out / "bundle"

    def __enter__(self) -> Self:
        """Take OUT for this deploy; the lock goes with the process, however it ends."""
        self._lock = lock_folder(self._out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read_facts(self, runtime: str) -> Facts:
        return read_facts(runtime)

    def place_bundle(self, shipment: Shipment, on_progress: OnProgress | None = None) -> int:  # noqa: ARG002 - a copy on one disk shows none
        """Copy a bundle to OUT/bundle in one step; see Transport."""
        self._settings = shipment.settings
        with explain_storage():
            self._settle()
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._out))
            try:
                copy = partial / "bundle"
                _copy_folder(shipment.bundle, copy)
                if shipment.signature is not None:
                    write_file(copy / SIGNATURE_NAME, shipment.signature)
                manifest, _ = read_manifest(copy)
                check_contents(copy, manifest)
                replace_folder(copy, self.bundle, self._out / _PREVIOUS)
            finally:
                self._settle()
        return 0

    def _settle(self) -> None:
        # After a deploy that ended anywhere: the old bundle or the new one in its place, and nothing beside it.
        restore_folder(self.bundle, self._out / _PREVIOUS)
        for path in (*self._out.glob(f"{_PARTIAL}*"), self._out / _PREVIOUS):
            shutil.rmtree(path, ignore_errors=True)

    def measure_bundle(self, on_progress: OnProgress) -> Measured:
        return measure_folder(self.bundle, self._settings, on_progress)


def measure_folder(
    bundle_dir: Path, settings: MeasureSettings, on_progress: OnProgress, *, pinned: str | None = None
) -> Measured:
    """Have this toolchain's agent measure a bundle's folder on this machine; see Transport."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.json"
        memory = cache_root() / SPEED_MEMORY
        arguments = ["verify", str(bundle_dir.absolute()), "--samples", str(path), "--speed-memory", str(memory)]
        arguments += list_arguments(settings) + _list_members(bundle_dir)
        result = run_agent([*arguments, *([] if pinned is None else ["--pinned", pinned])], on_progress)
        return Measured(document=result.document, samples_ms=json.loads(path.read_text(encoding="utf-8")))


def _list_members(bundle_dir: Path) -> list[str]:
    """Return how the agent finds the bundle's metric and runtime where they are from outside; unknown ones it refuses.

    Raises ToolchainError (exit 11) for a metric that is another one here than in the bundle: the value to compare with is
    not of it.
    """
    manifest, _ = read_manifest(bundle_dir)
    names = {METRICS: manifest.metric.name, RUNTIMES: manifest.runtime}
    for seam, name in names.items():
        if name in list_members(seam):
            member = use_member(seam, name)
            own = f"agent/measure/{seam.name}/{name}.py"
            told = next((entry.sha256 for entry in manifest.files if entry.path == own), None)
            if seam is METRICS and not member.is_ours and told not in (None, hash_file(member.path)):
                what, fix = f"the metric {name} is another one here than in the bundle", "deploy the model again"
                raise ToolchainError(
                    ExitCode.CONTENT,
                    what,
                    where=str(member.path),
                    expected=told,
                    found=hash_file(member.path),
                    fix=fix,
                )
    return agent_members.list_arguments(metrics=manifest.metric.name, runtimes=manifest.runtime)


def run_agent(arguments: Sequence[str], on_progress: OnProgress) -> AgentResult:
    """Run this toolchain's own agent in a fresh process on this machine, such as with ["verify", FOLDER].

    It is the code that a bundle carries, but not the copy that lies in one: whoever made a bundle runs nothing here.
    Raises the ToolchainError that the agent reports, or exit 1 where it died.
    """
    command = [sys.executable, "-P", "-B", "-c", _START, str(_PACKAGE_FOLDER), *arguments]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stdout,
        subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, encoding="utf-8", errors="replace") as process,
    ):
        try:
            stderr = follow_progress(process.stderr or (), on_progress)
            return_code = process.wait()
        except BaseException:
            process.kill()  # an agent does not outlive the deploy that started it
            raise
        stdout.seek(0)
        return read_agent_output(return_code, stdout.read(), stderr)
