"""The reports of a deploy that ends before its flow begins, or outside of it: its own, or none of anybody's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.cli.exits import explain, was_interrupted
from toolchain.cli.places import Place
from toolchain.deploy.lock import lock_folder
from toolchain.errors import ExitCode, ToolchainError, storage
from toolchain.report import remove_reports, write_reports
from toolchain.run.screen import Screen

if TYPE_CHECKING:
    from toolchain.report.shape import Report


@contextmanager
def begin_reports(places: Sequence[Place]) -> Iterator[None]:
    """Remove what earlier deploys said in these folders; an error in the block is reported in each of them.

    An interrupt leaves none. A folder that another deploy has at this moment is that one's, and is left alone.

    Raises ToolchainError: what explain makes of an error; exit 14 where an old report cannot be removed.
    """
    try:
        for place in places:
            if place.folder.is_dir():
                _forget(place.folder)
        yield
    except Exception as error:
        failure = explain(error)
        for place in places:
            if place.may_be_made or place.folder.is_dir():
                _report(place, failure)
        if failure is error:
            raise
        raise failure from error


@contextmanager
def report_errors(place: Place) -> Iterator[None]:
    """Do so for one folder that is taken; an error that the flow has reported itself keeps that report, but for an interrupt.

    Raises ToolchainError: what explain makes of an error.
    """
    try:
        remove_reports(place.folder)
        yield
    except Exception as error:
        if was_interrupted():  # a library that swallowed it goes on half-imported, and fails with a reason that is none
            remove_reports(place.folder)
            raise KeyboardInterrupt from error
        failure = explain(error)
        if not (place.folder / "report.json").exists():
            _write_error(place, failure)
        if failure is error:
            raise
        raise failure from error


def _forget(folder: Path) -> None:
    with _take(folder) as is_ours:
        if not is_ours:
            return
        remove_reports(folder)
        try:
            (folder / "log.jsonl").unlink(missing_ok=True)
        except OSError as error:
            raise storage(error) from error


def _report(place: Place, failure: ToolchainError) -> None:
    with suppress(ToolchainError), _take(place.folder) as is_ours:
        if is_ours:
            _write_error(place, failure)


@contextmanager
def _take(folder: Path) -> Iterator[bool]:
    """Yield whether the folder is ours for the block; it is not where another deploy has it."""
    try:
        lock = lock_folder(folder)
    except ToolchainError as error:
        if error.code != ExitCode.BUSY:
            raise
        yield False
        return
    with lock:
        yield True


def _write_error(place: Place, failure: ToolchainError) -> None:
    """Write the reports of a run that an error ended; where that fails, the error itself matters more."""
    try:
        remove_reports(place.folder)  # such as a statement of the verdict that the run did not end with
        write_reports(place.folder, _build_report(place, failure))
    except (ToolchainError, PackageNotFoundError) as problem:
        reason = f"{problem.what}, {problem.found}" if isinstance(problem, ToolchainError) else problem
        Screen(sys.stderr).line(f"there is no report of this run in {place.folder}: {reason}")


def _build_report(place: Place, failure: ToolchainError) -> Report:
    from toolchain.report.error_document import build_error_report
    from toolchain.run.provenance import describe_run

    return build_error_report(
        error=failure, model=place.model, target=place.target, stages=[], provenance=describe_run(None)
    )
