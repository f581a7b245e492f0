"""What commands print: a person's form, or one JSON document on stdout for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolchain.report.shape import Report
from toolchain.run.screen import Screen


def show_report(report: Report, *, as_json: bool, out: Path | None, is_part: bool = False) -> int:
    """Print the report of a run and return its exit code; for machines a person's form goes to stderr.

    is_part: a document for machines comes later, with other reports in it.
    """
    from toolchain.report.terminal import print_report

    with _allow_no_reader():
        print_report(report, stream=sys.stderr if as_json else sys.stdout, out_dir=out)
        if as_json and not is_part:
            write_json(report)
    return report["exit_code"]


def print_rows(rows: Any, *, as_json: bool, show: Callable[..., None] | None = None) -> None:
    """Print the rows of a command; without `show` they are a name and a text each."""
    with _allow_no_reader():
        if as_json:
            write_json(rows)
        elif show is not None:
            show(rows, stream=sys.stdout)
        else:
            width = max((len(name) for name in rows), default=0)
            screen = Screen(sys.stdout)
            for name, text in rows.items():
                screen.named(name, str(text), width=width)


@contextmanager
def _allow_no_reader() -> Iterator[None]:
    """Let the verdict's exit code stand where nobody reads its words any more, such as `| head -1`."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes a SystemExit of it
        write_nowhere()


def write_nowhere() -> None:
    """Let what is still to be written on stdout go nowhere: its reader is gone, or its disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())  # what is still buffered is written at the exit
    os.close(nowhere)


def write_failure(document: Any) -> None:
    """Print the JSON document of a command that failed; where stdout takes none, as on a full disk, its exit code tells."""
    try:
        write_json(document)
        sys.stdout.flush()
    except OSError:
        write_nowhere()


def write_json(document: Any) -> None:
    """Print one JSON document for machines, in ASCII: its strings keep their values."""
    sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
