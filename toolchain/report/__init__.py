"""The report of a run: report.json, report.html, junit.xml, summary.md, and the table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.agent.manifest import Manifest
from toolchain.agent.printable import encode_json
from toolchain.errors import ToolchainError, storage
from toolchain.report.junit import render_junit
from toolchain.report.shape import Report
from toolchain.report.statement import STATEMENT_NAME, STATEMENT_SIGNATURE_NAME
from toolchain.report.summary import render_summary
from toolchain.run.atomic import remove_with_partials, write_atomically
from toolchain.run.extras import find_extra, write_install

if TYPE_CHECKING:
    from toolchain.report.html import Drawing
    from toolchain.report.sample_media import Media

__all__ = ["REPORT_FILES", "SUMMARY_NAME", "remove_reports", "write_reports"]

SUMMARY_NAME = "summary.md"

REPORT_FILES = ("report.json", "junit.xml", SUMMARY_NAME, "report.html", STATEMENT_NAME, STATEMENT_SIGNATURE_NAME)
"""Every file in OUT that says how a run ended; a run begins with none of them."""


def write_reports(
    out_dir: Path,
    report: Report,
    samples: Mapping[str, Sequence[float]] | None = None,
    *,
    evaluation: tuple[Path, Manifest] | None = None,
) -> None:
    """Write report.json, junit.xml, summary.md and report.html, all of them or none, each whole.

    What cannot be drawn is said on the page; it changes neither the other files nor the verdict.

    Args:
        out_dir: the folder, made when it is not there.
        report: what build_report or build_error_report returned.
        samples: the latency samples in ms by "reference" and precision; None draws none.
        evaluation: the bundle and its manifest, of which the page shows the worst samples; None shows them in words.

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
        write_atomically(out_dir / "report.html", _render_page(report, samples or {}, evaluation).encode())
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


def _render_page(
    report: Report, samples: Mapping[str, Sequence[float]], evaluation: tuple[Path, Manifest] | None
) -> str:
    # Here, and not above: whoever only builds or prints a report does not wait for the template engine.
    from toolchain.report.html import render_html

    drawings, drawing_problem = _try_drawing(report, samples)
    media, media_problem = _try_samples(report, evaluation)
    return render_html(
        report, drawings=drawings, drawing_problem=drawing_problem, media=media, media_problem=media_problem
    )


def _try_drawing(report: Report, samples: Mapping[str, Sequence[float]]) -> tuple[Sequence[Drawing], str | None]:
    # Of a run that an error stopped, or on an emulated board: nothing to draw, and no matplotlib needed.
    if not samples:
        return [], None
    try:
        from toolchain.report.latency_figures import draw_latency

        return draw_latency(report, samples), None
    except ModuleNotFoundError as error:
        return [], _explain_missing(error)
    except Exception as error:  # noqa: BLE001 - whatever a drawing library raises, the numbers must reach the reader
        return [], f"{type(error).__name__}: {error}"


def _try_samples(report: Report, evaluation: tuple[Path, Manifest] | None) -> tuple[Media, str | None]:
    explanation = report.get("explanation")
    if evaluation is None or explanation is None:
        return {}, None
    try:
        from toolchain.report.sample_media import draw_samples

        return draw_samples(*evaluation, [sample["index"] for sample in explanation["worst_samples"]]), None
    except ModuleNotFoundError as error:
        return {}, _explain_missing(error)
    except Exception as error:  # noqa: BLE001 - as above
        return {}, f"{type(error).__name__}: {error}"


def _explain_missing(error: ModuleNotFoundError) -> str:
    return f"{error.name} is not installed: {write_install(find_extra(error.name or ''))}"
