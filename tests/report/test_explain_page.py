"""The page in a real browser: every plot drawn, nothing refused, nothing fetched, nothing hidden, axe-core content."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from tests.hostile_texts import HOSTILE, find_raw
from tests.report.explained_run import PEAKS, explain_run, make_media, make_times
from toolchain.agent.measure.layer_times import Kernel
from toolchain.agent.measure.worst import Answer, WorstSample
from toolchain.report.error_document import build_error_report
from toolchain.report.explain_page import explain_report
from toolchain.report.html import render_html
from toolchain.report.latency_figures import draw_latency
from toolchain.report.make_plot_library import LIBRARY
from toolchain.report.sample_media import draw_text

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# The browser of a root without a sandbox of its own, that asks nobody anything.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PLOTS = {"plot-times", "plot-roof-shares", "plot-roofline", "plot-sqnr", "plot-classes", "plot-ranges"}
PAGE_BYTES_MAX = 2_000_000
HOSTILE_NAME = f"</script><img src=x onerror=alert(1)><!--{HOSTILE}"


TEXTS = {
    7: f"<script>alert(1)</script>{HOSTILE}",
    9: "\u202e\u2067\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd \u0645\u0631\u062d\u0628\u0627 abc\u200f",
    11: "a" * 10_000,
}


def render(run, media=None, **changes):
    report = {**run.report(), **changes}
    return render_html(report, drawings=draw_latency(report, run.samples), media=media or make_media(run))


def poison(run):
    """The run with hostile names of layers, classes, tensors and modules."""
    times = make_times()
    kernels = (Kernel(HOSTILE_NAME, "Conv", 50.0), *times.kernels)
    notes = run.graphs["int8", "onnxruntime"]
    ranges = {HOSTILE_NAME: (-1.0, 1.0), **notes.ranges}
    modules = {"conv1": HOSTILE_NAME}
    output = replace(run.manifest.output, classes=(HOSTILE_NAME, "b", "c"))
    return explain_run(replace(times, kernels=kernels)).but(
        graphs={("int8", "onnxruntime"): replace(notes, modules=modules, ranges=ranges)},
        manifest=replace(run.manifest, output=output),
    )


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page and wait for its plots; what went wrong is in page.problems, what was asked for in page.requests."""
    contexts = []

    def open_page(html, **options):
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.problems, page.asked = [], []
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("dialog", lambda dialog: (page.problems.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        if 'class="plot"' in html and options.get("java_script_enabled", True):
            page.wait_for_function("document.documentElement.dataset.plots === 'done'", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()


def list_drawn(page):
    found = page.eval_on_selector_all(
        ".plot", "all => all.map(one => [one.id, one.classList.contains('drawn'), one.querySelector('svg') !== null])"
    )
    return {name for name, is_drawn, has_svg in found if is_drawn and has_svg}


def list_violations(page):
    import axe_playwright_python

    page.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    assert found["passes"]  # it looked
    return [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in found["violations"]]


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 1200, "height": 900}},
        {"viewport": {"width": 390, "height": 844}},
        {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    ],
    ids=["desktop", "phone", "dark"],
)
def test_every_plot_is_drawn_and_axe_finds_nothing(visit, options):
    page = visit(render(explain_run()), **options)
    assert list_drawn(page) == PLOTS
    assert page.problems == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    wide = "[...document.querySelectorAll('.plot svg')].filter(one => one.getBoundingClientRect().right > innerWidth).length"
    assert page.evaluate(wide) == 0
    assert list_violations(page) == []


def test_a_layer_picked_in_one_plot_is_marked_in_all_and_told(visit):
    page = visit(render(explain_run()))
    count_marked = (
        "[...document.querySelectorAll('.plot path')].filter(p => p.getAttribute('fill') === 'var(--picked)').length"
    )
    assert page.evaluate(count_marked) == 0
    page.select_option("#layer", "1")
    page.wait_for_function(f"{count_marked} === 4")
    assert "features.0" in page.inner_text("#picked-layer")
    assert page.locator("tr.picked").count() == 1
    page.locator("#plot-times .mark-rect path").nth(2).click()
    page.wait_for_function("document.getElementById('layer').value === '2'")
    assert page.problems == []


def test_no_name_of_others_becomes_markup_or_code(visit):
    html = render(poison(explain_run()))
    assert html.count("<script") == len(PLOTS) + 2  # a specification each, the library, and what draws
    page = visit(html)
    assert list_drawn(page) == PLOTS
    assert page.problems == []
    assert page.locator("img[src=x]").count() == 0
    assert "</script><img" in page.inner_text("body")


def test_texts_are_shown_with_both_answers_and_steer_nothing(visit):
    width = 390
    media = {index: draw_text(text) for index, text in TEXTS.items()}
    page = visit(render(explain_run(), media), viewport={"width": width, "height": 900})
    shown = [item.inner_text() for item in page.locator(".samples li").all()]
    assert page.problems == []
    assert "<script>alert(1)</script>" in shown[0]
    assert "\\u202e" in shown[0]
    assert "Trouser" in shown[0]
    assert "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd" in shown[1]
    assert "\\u2067" in shown[1]
    assert "a" * 800 in shown[2].replace("\n", "")
    assert "the first 800 of 10,000 characters" in shown[2]
    assert [text for text in shown if find_raw(text.replace("\n", ""))] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    boxes = [item.bounding_box() for item in page.locator(".samples li, .samples .text").all()]
    assert all(box["height"] > 0 and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert list_violations(page) == []


def test_an_empty_text_is_told_as_one():
    assert "an empty text" in render(explain_run(), {7: draw_text("")})


def test_of_what_a_model_reads_both_texts_and_the_right_one_are_shown():
    run = explain_run()
    answers = [Answer(text=f"<b>{HOSTILE}"), Answer(text="")]
    sample = WorstSample(
        index=7, sqnr_db=12.5, differs=False, label=None, reference=answers[0], deployed=answers[1], text="right"
    )
    evaluation = replace(run.record.candidates[0].evaluation, worst=(sample,))
    run = run.with_candidate(evaluation=evaluation)
    (shown,) = explain_report(run.report(), media={}).samples
    assert shown.answers == (("float", f"<b>{HOSTILE}"), ("artifact", "an empty text"), ("label", "right"))
    page = render(run)
    assert "<b>" not in page
    assert find_raw(page) == []


def test_a_plot_that_cannot_be_drawn_says_so_and_the_others_are_drawn(visit):
    broken = render(explain_run()).replace('"mark":{"type":"bar"', '"mark":{"type":"nothing"', 1)
    page = visit(broken)
    assert list_drawn(page) == PLOTS - {"plot-times"}
    assert "could not be drawn" in page.inner_text("#plot-times")


def test_without_scripts_a_page_says_what_is_missing_and_has_the_numbers(visit):
    page = visit(render(explain_run()), java_script_enabled=False)
    assert page.locator(".undrawn:visible").count() == len(PLOTS)
    assert page.locator("table.layers tbody tr").count() == 11


def test_a_printed_plot_is_on_one_page_and_pages_are_few(visit):
    page = visit(render(explain_run()))
    pdf = page.pdf(format="A4", print_background=True)
    assert 1 < pdf.count(b"/Type /Page\n") + pdf.count(b"/Type/Page\n") <= 10
    page.emulate_media(media="print")
    kept = page.eval_on_selector_all(".plot", "all => all.map(one => getComputedStyle(one).breakInside)")
    assert set(kept) == {"avoid"}


def test_a_page_with_all_of_it_is_under_two_megabytes():
    assert len(render(explain_run()).encode()) < PAGE_BYTES_MAX
    assert LIBRARY.stat().st_size < 400_000


def test_a_report_of_before_and_one_of_an_error_have_no_script():
    run = explain_run()
    before = run.report()
    del before["explanation"]
    failed = build_error_report(error=_make_error(), model="m", target="t", stages=[], provenance={})
    for report in (before, failed):
        html = render_html(report, drawings=[])
        assert "<script" not in html
        assert "script-src 'none'" in unescape(html)


def _make_error():
    from toolchain.errors import usage

    return usage("unknown key", where="recipe.toml", fix="remove it")


def test_what_layers_take_is_unknown_where_the_runtime_does_not_tell():
    silent = make_times(kernels=(), runs=0, run_us=0.0, peaks=None, problem="the agent <does> not read them")
    html = render(explain_run(silent))
    assert "The times of the layers are not known: the agent &lt;does&gt; not read them." in html
    assert "plot-times" not in html


def test_without_peaks_the_page_says_why_and_has_the_times(visit):
    html = render(explain_run(make_times(peaks=None, peaks_problem="nobody <measures> them")))
    assert "this device&#39;s peak is not known: nobody &lt;measures&gt; them." in html.replace("'", "&#39;")
    page = visit(html)
    assert list_drawn(page) == PLOTS - {"plot-roof-shares", "plot-roofline"}


def test_what_the_profiler_takes_is_not_called_the_models():
    run = explain_run()
    run_us = run.record.candidates[0].layer_times.run_us
    for p50_ms, name, is_in_kernels in (
        (run_us / 1000, "in no kernel", False),
        (run_us / 4000, "profiler, in no kernel", True),  # the kernels alone take longer than a run
    ):
        report = run.report()
        report["latency"]["deployed"]["p50_ms"] = p50_ms
        html = render_html(report, drawings=[])
        assert f'"layer":"{name}"' in html
        assert ("of each are the profiler" in html) is is_in_kernels


def test_layers_without_a_time_are_named_and_of_many_the_rest_is_counted():
    report = explain_run().report()
    costs = report["explanation"]["layers"]
    assert costs["untimed"] == []
    assert "Without a time of" not in render_html(report, drawings=[])
    costs["untimed"] = ["conv<1>"]
    assert "Without a time of its own: conv&lt;1&gt;." in render_html(report, drawings=[])
    costs["untimed"] = [f"conv{number}" for number in range(10)]
    assert "conv6, conv7, 2 more." in render_html(report, drawings=[])


def test_a_report_of_before_layers_without_a_time_were_named_is_shown():
    report = explain_run().report()
    for key in ("untimed", "peaks_problem"):
        del report["explanation"]["layers"][key]
    assert "What each layer costs" in render_html(report, drawings=[])


def test_a_precision_without_a_colour_of_its_own_is_in_the_legend_and_does_not_look_like_none():
    run = explain_run()
    int8 = run.record.candidates[0]
    first = int8.placement.layers[0]
    layers = (replace(first, precision="bf16"), *int8.placement.layers[1:])
    html = render(run.with_candidate(placement=replace(int8.placement, layers=layers)))
    legend = html.partition("What each layer costs")[2].partition('<p class="legend">')[2].partition("</p>")[0]
    assert [name for name in ("bf16", "int8", "no MACs") if f"</svg>{name}</span>" in legend] == [
        "bf16",
        "int8",
        "no MACs",
    ]
    assert legend.count("url(#hatch-rest)") == 1


def test_kernels_around_layers_are_called_by_their_operator_in_plots_and_by_their_name_in_the_table():
    html = render(explain_run())
    assert "QuantizeLinear: input_quantize" in html
    assert '<th scope="row">input_quantize</th>' in html


def test_a_layer_whose_name_is_a_number_has_its_operator_beside_it():
    report = explain_run().report()
    for place, (module, name) in enumerate(((None, "0"), ("5", "conv"))):
        report["explanation"]["layers"]["layers"][place + 1] |= {
            "module": module,
            "name": name,
            "op": "Convolution + Relu",
        }
    html = render_html(report, drawings=[])
    assert '<th scope="row">0 (Convolution)' in html
    assert '<th scope="row">5 (Convolution)' in html


def test_layers_over_the_peak_are_called_so():
    slow = replace(PEAKS, int8_gmacs=10.0)
    html = render(explain_run(make_times(peaks=slow)))
    assert "over the measured peak" in html


def test_a_number_that_json_cannot_hold_is_refused_and_not_drawn_as_something_else():
    run = explain_run()
    report = run.report()
    report["explanation"]["ranges"][0]["high"] = float("inf")
    with pytest.raises(ValueError, match="JSON"):
        explain_report(report, media={})


def test_worst_samples_that_cannot_be_shown_are_told_in_words():
    report = explain_run().report()
    html = render_html(report, drawings=[], media={}, media_problem="OSError: gone")
    assert "The samples could not be shown: OSError: gone" in html
    assert "Trouser 2.00, T-shirt/top no number" in html
    assert json.dumps(report)
