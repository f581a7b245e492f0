from __future__ import annotations

import io

import pytest

from toolchain.errors import usage
from toolchain.report.error_document import build_error_report
from toolchain.report.terminal import print_report


class Stream(io.TextIOWrapper):
    """A stream of one encoding that may say that it is a terminal."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


def print_to_text(report, **options):
    stream = Stream(**options)
    print_report(report, stream=stream)
    return stream.text()


def test_layers_in_float_are_grouped_by_their_reason(run):
    report = run.report()
    fallback = report["placement"]["fallbacks"][0]
    many = [{**fallback, "name": f"layer{index}", "share_macs": 0.05, "reason": "slower"} for index in range(6)]
    report["placement"]["fallbacks"] = [*many, {**fallback, "name": "alone", "share_macs": None, "reason": "wider"}]
    text = " ".join(print_to_text(report).split())
    assert "6 layers (30.0 %), layer0, layer1, layer2, layer3 and 2 more: slower" in text
    assert "alone: wider" in text


@pytest.mark.parametrize(("name", "word"), [("run", "PASS"), ("failed_run", "FAIL"), ("float_run", "PASS")])
def test_the_verdict_comes_first_and_last(name, word, request):
    lines = print_to_text(request.getfixturevalue(name).report()).splitlines()
    assert lines[0].startswith(word)
    assert next(line for line in reversed(lines) if line[0] != " ").startswith(word)


def test_float_and_deployed_stand_side_by_side(run):
    text = print_to_text(run.report())
    for value in ("92.50 %", "92.45 %", "316 kB", "102 kB", "3.10× smaller", "2.03× as fast (2.01–2.05)"):
        assert value in text
    assert "≤ 0.283" in text


def test_what_was_not_shipped_is_named_with_the_reason(float_run):
    text = " ".join(print_to_text(float_run.report()).split())
    assert "int8 was not shipped: it is not faster than float32: 0.94" in text


def test_layers_kept_in_float_and_stages_and_warnings_are_named(run):
    text = print_to_text(run.report())
    assert "conv1 (3.5 %): slower in int8" in text
    assert "compress cached" in text
    assert "lower 9.81 s" in text
    assert "the bundle is not signed" in text


def test_a_failed_run_gives_its_reasons_under_the_verdict(failed_run):
    lines = print_to_text(failed_run.report()).splitlines()
    assert "exit 18" in lines[0]
    assert "17.2 dB" in lines[1]


def test_the_files_are_named_where_they_lie(run, tmp_path):
    stream = Stream()
    print_report(run.report(), stream=stream, out_dir=tmp_path)
    assert str(tmp_path / "report.html") in stream.text().replace("\n", "").replace(" ", "")


def test_an_error_before_measuring_gives_place_and_fix():
    error = usage("unknown key in the recipe", where="recipe.toml: gate", expected="gates", fix="correct its spelling")
    text = print_to_text(build_error_report(error=error, model="m", target="t", stages=[], provenance={}))
    assert text.startswith("FAIL  m on t  (exit 2)")
    for part in ("unknown key in the recipe", "recipe.toml: gate", "gates", "correct its spelling"):
        assert part in text


@pytest.mark.parametrize("name", ["run", "failed_run", "float_run"])
def test_no_line_is_wider_than_80_columns(name, request):
    assert max(len(line) for line in print_to_text(request.getfixturevalue(name).report()).splitlines()) <= 80


def test_a_pipe_gets_no_escape_sequences_and_a_terminal_gets_colour(run):
    assert "\x1b" not in print_to_text(run.report())
    assert "\x1b[1;32m" in print_to_text(run.report(), terminal=True)


def test_no_color_is_respected(run, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;32m" not in print_to_text(run.report(), terminal=True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_that_lacks_a_sign_gets_another(run, encoding):
    text = print_to_text(run.report(), encoding=encoding)
    assert "<= 0.283" in text
    assert "as fast" in text


def test_names_cannot_send_escape_sequences_or_markup_to_the_terminal(run):
    run = run.with_manifest(model="evil\x1b]0;title\x07[red]name")
    text = print_to_text(run.report(), terminal=True)
    assert "\x1b]" not in text
    assert "\x07" not in text
    assert "[red]name" in text


def test_an_emulated_speed_is_not_stated(run):
    text = print_to_text(run.with_manifest(emulated=True).report())
    assert "as fast" not in text
    assert "emulated, no measurement" in text


def test_a_pass_does_not_begin_with_the_reasons_of_another_candidate(float_run):
    assert float_run.report()["reasons"]
    assert "its speed" not in print_to_text(float_run.report()).split("gate")[0]


def test_a_candidate_that_was_not_needed_is_named(run):
    assert "float32: int8 comes first in the target's order, and passed" in print_to_text(run.report())


def test_a_latency_that_was_not_measured_is_left_out(run):
    run = run.emulate()
    text = print_to_text(run.report())
    assert "p50" not in text
    assert "runs each" not in text
    assert "92.45 %" in text
