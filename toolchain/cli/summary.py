"""Where the summaries of a deploy are handed to: a file, and the page of a GitHub Actions job."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from toolchain.cli.places import Place
from toolchain.errors import ToolchainError, storage
from toolchain.report import SUMMARY_NAME
from toolchain.run.atomic import write_atomically
from toolchain.run.screen import Screen

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub Actions names the file of the job's page."""


@contextmanager
def hand_summaries(places: Sequence[Place], file: Path | None) -> Iterator[None]:
    """Write the summaries that a deploy left in these places to a file, and add them to the page of a GitHub job.

    However the block ends: a deploy that failed has a summary too. The file of an earlier run goes first. Raises
    ToolchainError (exit 14): the file cannot be written. The job's page decides nothing: what cannot be added is told.
    """
    if file is not None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise storage(error) from error
    try:
        yield
    except Exception:
        try:
            _hand(places, file)
        except ToolchainError as problem:  # the error itself matters more
            Screen(sys.stderr).error(problem)
        raise
    _hand(places, file)


def _hand(places: Sequence[Place], file: Path | None) -> None:
    paths = [place.folder / SUMMARY_NAME for place in places]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
    page = os.environ.get(STEP_SUMMARY)
    if page and text:
        try:
            with Path(page).open("a", encoding="utf-8") as stream:
                stream.write(f"{text}\n")
        except OSError as error:
            Screen(sys.stderr).line(f"the summary is not on the job's page: {error}")
    if file is not None and text:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text.encode())
        except OSError as error:
            raise storage(error) from error
