"""No text of a model, of data, of a recipe or of a board reaches a reader raw, wherever it is shown or kept."""

import ast
import html
import io
import json
import re
import tomllib
import xml.etree.ElementTree as ET
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from onnx import TensorProto, helper

import toolchain
from tests.hostile_texts import HOSTILE, SURROGATE, find_raw, has_forged_line
from tests.report.explained_run import explain_run
from toolchain.agent.command import answer_command
from toolchain.agent.install.audit import AuditLog
from toolchain.agent.install.folder import Folder
from toolchain.cli import begin, devices
from toolchain.cli.exits import run_command
from toolchain.cli.stdout import print_rows, show_report
from toolchain.errors import ExitCode, ToolchainError
from toolchain.measure.bench import print_bench
from toolchain.measure.bisect import print_bisection
from toolchain.measure.compare import print_comparison
from toolchain.measure.doctor import print_findings
from toolchain.measure.print_inspection import print_inspection
from toolchain.report import write_reports
from toolchain.report.error_document import build_error_report
from toolchain.report.statement import build_statement, encode_statement
from toolchain.report.terminal import print_report
from toolchain.run.progress import Progress
from toolchain.search.page import render_page

# Closed vocabularies: no text of others gets into them.
_CLOSED = {"verdict", "status", "signature", "unit", "direction", "schema", "precision", "scope"}
TEXT = HOSTILE + SURROGATE


def poison(value, key=""):
    """Return a document in which every text, and every name of a free field, is hostile."""
    if isinstance(value, str):
        return value if key in _CLOSED else f"{value}{TEXT}"
    if isinstance(value, dict):
        return {name: poison(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [poison(item, key) for item in value]
    return value


@pytest.fixture(scope="module")
def report():
    document = poison(explain_run().but(device="unit", notes=("note",)).report())
    document["provenance"] |= {f"data {TEXT}": {TEXT: TEXT, "list": [TEXT]}}
    return document


def build_failed():
    error = ToolchainError(ExitCode.MALFORMED, TEXT, where=TEXT, expected=TEXT, found=TEXT, fix=TEXT)
    return build_error_report(error=error, model=TEXT, target=TEXT, stages=[], provenance={"command": TEXT})


def assert_clean(text, *, has_bars=False):
    """The text says something of what is hostile, and nothing of it raw; no line of it is forged."""
    assert "\\x1b]0;title" in text or "\\u001b]0;title" in text
    assert find_raw(text, may_have_colours=has_bars) == []
    assert not has_forged_line(text)


@pytest.mark.parametrize("name", ["report.json", "report.html", "junit.xml", "summary.md"])
@pytest.mark.parametrize("is_failed", [False, True], ids=["measured", "stopped"])
def test_no_file_of_a_report_holds_it(report, tmp_path, name, is_failed):
    document, samples = (build_failed(), None) if is_failed else (report, dict(explain_run().samples))
    write_reports(tmp_path, document, samples)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert_clean(html.unescape(text) if name == "summary.md" else text)  # there, what is escaped is escaped again
    assert "latency could not be drawn" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (
        json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == document
    )  # the values are the true ones
    ET.parse(tmp_path / "junit.xml")


def test_no_page_takes_it_for_markup(report, tmp_path):
    write_reports(tmp_path, report)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    # What stands in a script element is the library's, ours, or JSON in which no text has an angle bracket.
    specs = re.findall(r'<script type="application/json" id="[a-z-]+">(.*?)</script>', text, re.DOTALL)
    assert len(specs) == text.count("<script") - 2 == 6
    assert all(not set("<>&") & set(spec) and json.loads(spec) for spec in specs)
    assert "alert(1)</script>" not in text


def test_the_statement_does_not_hold_it(report):
    data = encode_statement(build_statement(report, {"runtime": HOSTILE}))
    assert_clean(data.decode("utf-8"))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_the_report_on_a_terminal_does_not_show_it(report, encoding):
    for document in (report, build_failed()):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        print_report(document, stream=stream, out_dir=Path(TEXT))
        stream.flush()
        assert_clean(stream.buffer.getvalue().decode(encoding).replace("\n", ""))
        assert not has_forged_line(stream.buffer.getvalue().decode(encoding))


def test_json_on_stdout_does_not_show_it(report, capsys):
    show_report(report, as_json=True, out=None)
    out = capsys.readouterr().out
    assert_clean(out)
    assert out.isascii()


BENCHED = {"payload": TEXT, "candidate": TEXT, "is_shipped": True, "threads": 1, "pins_threads": True}
ROW = {"sqnr_db": 1.0, "cosine": 1.0, "max_abs": 0.0, "p99_abs": 0.0, "nonfinite": 0}
LATENCY = {f"{name}{part}_ms": 1.0 for name in ("p50", "p90", "p99") for part in ("", "_upper")} | {"samples": 3}
SPEEDUP = {"ratio": 1.0, "low": None, "high": None, "note": TEXT}
STATE = {
    "current": TEXT,
    "previous": TEXT,
    "counter": 1,
    "reasons": [TEXT],
    "releases": [TEXT, {TEXT: TEXT}],
    "verdict": dict.fromkeys(("signer", "model", "precision", "time", "payload", "sha256"), TEXT)
    | {"engine": {"path": TEXT, "sha256": TEXT}},
    "damage": {"what": TEXT, "where": TEXT, "found": TEXT},
    "log_tail": [{"who": TEXT}, TEXT],
    "log_damage": [TEXT],
    "rolled_back": {"from": TEXT, "to": TEXT},
    "notes": [TEXT],
}
FINDING = {"name": TEXT, "expected": TEXT, "found": TEXT, "ok": False, "fix": TEXT, "needs": None}
TENSOR = {"name": TEXT, "dtype": TEXT, "shape": [TEXT, None, 3]}
GRAPH = {
    "inputs": [TENSOR],
    "outputs": [TENSOR],
    "opset": {TEXT: 1},
    "ir_version": 9,
    "producer": TEXT,
    "nodes": 1,
    "operators": {TEXT: 1},
    "parameters": 1,
    "weights_bytes": 1,
    "macs": 1,
    "uncounted": [TEXT],
    "live_bytes": None,
    "largest_activations": [{"name": TEXT, "shape": [1], "size_bytes": 1}],
}
ON_TARGET = {"target": TEXT, "runtime": TEXT, "precision": [TEXT], "int8": [TEXT], "int8_share_macs": 1.0}
INSPECTED = {
    "kind": "onnx",
    "path": TEXT,
    "size_bytes": 1,
    "graph": GRAPH,
    "targets": [{**ON_TARGET, "kept_in_float": {TEXT: TEXT}, "refused": TEXT, "came_quantized": False}],
}
INSPECTED_BUNDLE = {
    "kind": "bundle",
    "path": TEXT,
    "size_bytes": 1,
    "bundle_id": TEXT,
    "model": TEXT,
    "target": TEXT,
    "runtimes": [TEXT],
    "threads": [1],
    "signed": False,
    "counter": 1,
    "expires": TEXT,
    "compatible": {TEXT: TEXT, "runtime_versions": {TEXT: TEXT}},
    "gates": {TEXT: TEXT},
    "inputs": [TENSOR],
    "outputs": [TENSOR],
    "metric": {"name": TEXT, "reference": 1.0},
    "golden_samples": 1,
    "candidates": [{"name": TEXT, "path": TEXT, "size_bytes": 1, "graph": GRAPH}],
}
CONVERTED = {
    "weights": TEXT,
    "tensors": 1,
    "taken": TEXT,
    "prefix_removed": TEXT,
    "types_changed": {TEXT: 1},
    "counters_reset": 1,
    "same_as": [TEXT],
    "left_out": [TEXT],
}
PRINTERS = {
    "compare": (
        print_comparison,
        [{**ROW, "a": TEXT, "b": TEXT, "output": TEXT, "layer": TEXT, "op": TEXT, "leaves": True}],
    ),
    "bench": (print_bench, [{**BENCHED, "latency": LATENCY, "speedup": SPEEDUP}]),
    "bisect": (
        print_bisection,
        {
            "precision": "int8",
            "sqnr_db_min": 20.0,
            "sqnr_db": {TEXT: 1.0},
            "keep": [{"name": TEXT, "op": TEXT, "reason": TEXT}],
        },
    ),
    "doctor": (
        print_findings,
        {
            "toolchain": TEXT,
            "python": TEXT,
            "cache": TEXT,
            "needed": [FINDING],
            "extras": {TEXT: [FINDING]},
            "datasets": {TEXT: FINDING},
            "runtimes": {TEXT: {**FINDING, "facts": {"runtime_version": TEXT, "cpu": TEXT, "details": {TEXT: TEXT}}}},
        },
    ),
    "devices": (
        devices._print_devices,
        {TEXT: {"reachable": False, "target": TEXT, "place": TEXT, "problem": TEXT, "fix": TEXT}},
    ),
    "doctor of a board": (
        devices._print_examined,
        [{"device": TEXT, "target": TEXT, "checks": [FINDING], "facts": {TEXT: [TEXT], "cpu": TEXT}}],
    ),
    "status": (devices._print_status, STATE),
    "rollback": (devices._print_rolled_back, STATE),
    "enroll": (devices._print_enrolled, {"signers": [TEXT], "replaced": [TEXT]}),
    "inspect": (print_inspection, INSPECTED),
    "inspect of a bundle": (print_inspection, INSPECTED_BUNDLE),
    "init": (begin._print_begun, {"recipe": TEXT, "said": [TEXT], "missing": [TEXT], "next": TEXT}),
    "convert": (begin._print_conversion, CONVERTED),
    "rows": (None, {TEXT: TEXT}),
}


@pytest.mark.parametrize("name", PRINTERS)
@pytest.mark.parametrize("as_json", [False, True], ids=["people", "machines"])
def test_no_command_shows_it(name, as_json, capsys):
    show, rows = PRINTERS[name]
    print_rows(rows, as_json=as_json, show=show)
    out = capsys.readouterr().out
    assert_clean(out)
    assert "[red]markup[/red]" in out


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream_type", [io.StringIO, Terminal], ids=["plain", "terminal"])
def test_neither_progress_nor_its_log_shows_it(stream_type, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = stream_type()
    path = tmp_path / "log.jsonl"
    with (
        Progress(stream=stream, log_path=path, read_clock_s=iter(range(0, 10_000, 100)).__next__) as progress,
        suppress(ValueError),
        progress.stage(TEXT),
    ):
        progress.note(TEXT)
        progress.steps(TEXT, 2)()
        raise ValueError(TEXT)
    shown = stream.getvalue()
    for control in ("\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[1A", "\r"):  # what the bars need
        shown = shown.replace(control, "")
    assert_clean(shown, has_bars=True)
    assert_clean(path.read_text(encoding="utf-8"))


def test_the_page_of_a_search_does_not_show_it():
    record = {
        "number": 0,
        "state": "complete",
        "verdict": "pass",
        "reasons": [TEXT],
        "precision": TEXT,
        "unit": "\x1b\u202e\udce9",
        "entries": [{"method": TEXT, TEXT: TEXT}],
        "metric": 0.9,
        "drop": 0.0,
        "reference": 0.9,
        "size_bytes": 9,
        "size_ratio": 4.0,
        "speedup": 2.0,
        "recipe": TEXT,
    }
    failed = {"number": 1, "state": "failed", "error": {"code": 2, "what": TEXT, "found": TEXT}}
    page = render_page(model=TEXT, target=TEXT, records=[record, failed], front=[record])
    assert_clean(page)
    assert "<script" not in page


@pytest.mark.parametrize(
    "arguments",
    [[TEXT], ["models", TEXT], ["models", f"--{TEXT}"], ["error"], ["crash"]],
    ids=["command", "argument", "option", "error", "crash"],
)
def test_no_end_of_a_command_shows_it(arguments, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path))
    app = typer.Typer()

    @app.command()
    def models():
        """Take nothing."""

    @app.command()
    def error():
        raise ToolchainError(ExitCode.MALFORMED, TEXT, where=TEXT, expected=TEXT, found=TEXT, fix=TEXT)

    @app.command()
    def crash():
        raise RuntimeError(TEXT)

    monkeypatch.setattr("sys.argv", ["toolchain", *arguments])
    assert run_command(app)
    assert_clean(capsys.readouterr().err)
    for path in tmp_path.glob("traceback.txt"):
        assert find_raw(path.read_text(encoding="utf-8")) == []
    assert (tmp_path / "traceback.txt").exists() == (arguments == ["crash"])


def test_neither_the_agent_nor_the_log_of_a_board_shows_it(tmp_path, capsys):
    def fail(_arguments):
        raise RuntimeError(TEXT)

    assert answer_command(fail, []) == ExitCode.UNEXPECTED
    said = capsys.readouterr()
    assert_clean(said.out)
    assert find_raw(said.err) == []
    log = AuditLog(Folder(tmp_path), command=TEXT, who=TEXT)
    log.write(TEXT, TEXT, TEXT, reason=TEXT)
    log.close()
    assert_clean((tmp_path / "log.jsonl").read_text(encoding="utf-8"))


def test_names_of_a_model_reach_no_reader_raw(tmp_path, monkeypatch, capsys):
    """From a file to the screen: the refusal of a model whose names are hostile, and the lowering of it."""
    name = HOSTILE.replace("\x00", "")
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])
    output = helper.make_tensor_value_info(f"{name} out", TensorProto.FLOAT, [1, 4])
    node = helper.make_node("NoSuchOp", [name], [f"{name} out"], name=name)
    graph = helper.make_graph([node], name, [value], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", **{name: np.zeros((4, 4), np.float32)})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))
    command = ["toolchain", "lower", "model.onnx", "--calibration", "data.npz", "-o", "out"]
    monkeypatch.setattr("sys.argv", command)
    code = run_command(toolchain.cli.create_app())
    said = capsys.readouterr()
    assert code == ExitCode.MALFORMED, said.err
    assert find_raw(said.out + said.err) == []
    assert not has_forged_line(said.err)


# Who writes to a stream of people or of machines: what others print goes through one of them.
WRITERS = tomllib.loads((Path(__file__).parent / "writers.toml").read_text())["writers"]
_PACKAGE = Path(toolchain.__file__).parent


_CALLS = (
    *("print", "typer.echo", "traceback.print_exc", "warnings.warn"),
    *("sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write", "stream.write", "_stream.write"),
)
_LIBRARIES = {"jinja2", "rich.console", "rich.table", "rich.text"}


def list_writes(source):
    """Return the lines on which a module writes to a stream by itself, or takes a library that does."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).removesuffix("lines").removeprefix("self.") in _CALLS:
            found.append(node.lineno)
        if isinstance(node, ast.ImportFrom) and node.module in _LIBRARIES:
            found.append(node.lineno)
    return found


def test_everything_else_writes_through_them():
    modules = {path.relative_to(_PACKAGE).as_posix(): list_writes(path.read_text()) for path in _PACKAGE.rglob("*.py")}
    assert {name for name, lines in modules.items() if lines} == set(WRITERS), (
        "print with toolchain/run/screen.py, or say in tests/writers.toml why this module writes to a stream by itself"
    )
    assert all(WRITERS.values())


@pytest.mark.parametrize(
    "line",
    [
        *("print(name)", "sys.stderr.write(name)", "sys.stdout.write(name)", "stream.writelines(names)"),
        *("from rich.console import Console", "sys.stdout.buffer.write(data)", "from jinja2 import Environment"),
        "self._stream.write(name)",
    ],
)
def test_a_write_that_goes_around_them_is_found(line):
    assert list_writes(f"def show():\n    {line}\n") == [2]
