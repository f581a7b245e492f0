"""The report of a run: report.json, report.html, junit.xml, summary.md, and the table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from toolchain.agent.printable import encode_json
from toolchain.errors import ToolchainError, storage
from toolchain.report.junit import render_junit
from toolchain.report.shape import Report
from toolchain.report.statement import STATEMENT_NAME, STATEMENT_SIGNATURE_NAME
from toolchain.report.summary import render_summary
from toolchain.run.atomic import remove_with_partials, write_atomically
from toolchain.run.extras import find_extra, write_install

__all__ = ["REPORT_FILES", "SUMMARY_NAME", "remove_reports", "write_reports"]

SUMMARY_NAME = "summary.md"

REPORT_FILES = ("report.json", "junit.xml", SUMMARY_NAME, "report.html", STATEMENT_NAME, STATEMENT_SIGNATURE_NAME)
"""Every file in OUT that says how a run ended; a run begins with none of them."""


def write_reports(out_dir: Path, report: Report, samples: Mapping[str, Sequence[float]] | None = None) -> None:
    """Write report.json, junit.xml, summary.md and report.html, all of them or none, each whole.

    What cannot be drawn is said on the page; it changes neither the other files nor the verdict.

    Args:
        out_dir: the folder, made when it is not there.
        report: what build_report or build_error_report returned.
        samples: the latency samples in ms by "reference" and precision; None draws none.

    Raises:
        ToolchainError: the disk is full or the folder cannot be written (exit 14).
    """
    document = encode_json(report, indent=2) + "\n"
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        # The page takes a second to draw: until then none lies there, rather than that of an earlier run.
        (out_dir / "report.html").unlink(missing_ok=True)
        write_atomically(out_dir / "report.json", document.encode())
        write_atomically(out_dir / "junit.xml", render_junit(report))
        write_atomically(out_dir / SUMMARY_NAME, render_summary(report).encode())
        write_atomically(out_dir / "report.html", _render_page(report, samples or {}).encode())
    except BaseException as error:
        # The command does not end with the verdict's code: a report.json that says "pass" must not outlive that.
        with suppress(ToolchainError):
            remove_reports(out_dir)
        if isinstance(error, OSError):
            raise storage(error) from error
        raise


def remove_reports(out_dir: Path) -> None:
    """Remove the reports of an earlier run; raises ToolchainError (exit 14) where they cannot be removed."""
    try:
        for name in REPORT_FILES:
            remove_with_partials(out_dir / name)
    except OSError as error:
        raise storage(error) from error


def _render_page(report: Report, samples: Mapping[str, Sequence[float]]) -> str:
    # Here, and not above: whoever only builds or prints a report does not wait for the template engine.
    from toolchain.report.html import render_html

    # Of a run that an error stopped, or on an emulated board: nothing to draw, and no matplotlib needed.
    if not samples:
        return render_html(report, drawings=[])
    try:
        from toolchain.report.latency_figures import draw_latency

        return render_html(report, drawings=draw_latency(report, samples))
    except ModuleNotFoundError as error:
        problem = f"{error.name} is not installed: {write_install(find_extra(error.name or ''))}"
        return render_html(report, drawings=[], drawing_problem=problem)
    except Exception as error:  # noqa: BLE001 - whatever a drawing library raises, the numbers must reach the reader
        return render_html(report, drawings=[], drawing_problem=f"{type(error).__name__}: {error}")
