"""The summary for a pull request: what decides stands in it, and names of others steer nothing."""

from markdown_it import MarkdownIt

from toolchain.errors import ExitCode, usage
from toolchain.report.error_document import build_error_report
from toolchain.report.summary import render_summary


def test_a_pass_shows_its_numbers_and_no_gate(run):
    text = render_summary(run.report())
    assert text.startswith("### PASS: resnet8 int8 on cpu (exit 0)\n")
    assert "| top1 |" in text
    assert "| gate |" not in text
    assert "gates passed." in text


def test_a_failure_shows_the_reasons_and_the_gate_that_failed(failed_run):
    text = render_summary(failed_run.report())
    assert text.startswith("### FAIL: resnet8")
    assert "| gate | status |" in text
    assert "| failed |" in text


def test_an_error_shows_what_where_and_the_fix():
    error = usage(
        "the recipe is wrong", where="recipe.toml: gates", expected="a number", found="a text", fix="write one"
    )
    text = render_summary(build_error_report(error=error, model="m", target="cpu", stages=[], provenance={}))
    assert f"(exit {int(ExitCode.USAGE)})" in text.splitlines()[0]
    for part in ("the recipe is wrong", "recipe.toml: gates", "a number", "a text", "write one"):
        assert part in text


def test_names_of_others_are_text_and_steer_nothing(run):
    hostile = "a|b [x](http://evil) <b>c</b> ![](y) *d* `e` @user #1 www.evil.org https://evil ~~f~~ $g$"
    report = {**run.report(), "model": hostile, "warnings": [hostile]}
    tokens = MarkdownIt("gfm-like", {"linkify": False}).enable("table").parse(render_summary(report))
    inline = [child for token in tokens for child in token.children or []]
    assert {child.type for child in inline} <= {"text", "text_special", "softbreak"}
    heading = "".join(child.content for child in tokens[1].children)
    assert heading == f"PASS: {hostile} int8 on cpu (exit 0)"
    for part in ("@", "://", "www."):
        assert part not in render_summary(report)
