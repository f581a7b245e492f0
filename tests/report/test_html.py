from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from toolchain.agent.measure.placement import Layer, Placement
from toolchain.errors import usage
from toolchain.report.error_document import build_error_report
from toolchain.report.html import flatten, list_bars, list_figures, list_spans, render_html, summarize
from toolchain.report.latency_figures import draw_latency

VOID = {"meta", "br", "link", "hr", "img", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; a tag that is closed out of order is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def drawings(passing_run):
    """The drawings of `run`, made once."""
    return draw_latency(passing_run.report(), passing_run.samples)


@pytest.fixture
def render(drawings):
    return lambda run: render_html(run.report(), drawings=drawings)


def error_page():
    error = usage("unknown <key>", where="recipe.toml: gate", fix="remove it")
    report = build_error_report(error=error, model="m", target="t", stages=[], provenance={})
    return render_html(report, drawings=[])


@pytest.mark.parametrize("name", ["run", "failed_run", "float_run"])
def test_a_page_is_well_formed_and_its_ids_are_unique(name, request, render):
    page = Page(render(request.getfixturevalue(name)))
    ids = [value for key, value in page.attributes if key == "id"]
    assert ids
    assert len(ids) == len(set(ids))


def test_a_page_refers_to_nothing_outside_itself(run, render):
    text = render(run)
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "image"} & {tag for tag, _ in page.tags}
    references = [value for key, value in page.attributes if key in {"src", "href", "xlink:href", "action", "data"}]
    assert all(value.startswith("#") for value in references)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text
    assert ("http-equiv", "Content-Security-Policy") in page.attributes


def test_every_reference_inside_a_drawing_has_its_target(run, render):
    text = render(run)
    ids = {value for key, value in Page(text).attributes if key == "id"}
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert targets
    assert set(targets) <= ids


def test_a_page_says_the_verdict_and_the_key_figures(run, render):
    text = Page(render(run)).text
    for part in ("PASS", "resnet8", "2.03×", "3.10×", "−0.05", "96.5 %", "slower in int8", "not signed"):
        assert part in text


def test_a_failed_page_says_why(failed_run, render):
    text = Page(render(failed_run)).text
    assert "FAIL" in text
    assert "top1 drops by 1.35 points" in text
    assert "PASS" not in text


def test_whatever_the_data_holds_is_text(run, drawings):
    attack = "\"'><script>alert(1)</script>"
    candidate = run.record.candidates[0]
    evaluation = candidate.evaluation
    layer = Layer(name=attack, op=attack, precision=attack, macs=7)
    attacked = run.but(provenance={attack: {attack: attack}}, notes=(attack,)).with_candidate(
        evaluation=dataclasses.replace(
            evaluation,
            parity=(dataclasses.replace(evaluation.parity[0], output=attack),),
        ),
        placement=Placement(layers=(*candidate.placement.layers, layer)),
    )
    device = dataclasses.replace(run.record.devices["onnxruntime"], cpu=attack)
    attacked = attacked.with_manifest(model=attack).with_record(devices={"onnxruntime": device})
    report = attacked.with_verdict(reasons=(attack,), verdict="fail", exit_code=18).report()
    report["metric"] |= {"name": attack, "unit": attack}
    page = Page(render_html(report, drawings=drawings))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("alert(1)") >= 8


def test_a_precision_without_a_colour_of_its_own_has_the_common_one(run, render):
    first, second, *others = run.record.candidates[0].placement.layers
    named = dataclasses.replace(second, precision="bf16 x")
    run = run.with_record(pinned="int8").with_candidate(placement=Placement(layers=(first, named, *others)))
    layers = [
        attributes["class"] for tag, attributes in Page(render(run)).tags if tag == "span" and "title" in attributes
    ]
    assert layers[:3] == ["float32", "other", "int8"]


def test_every_drawing_is_described_in_words(run, render):
    page = Page(render(run))
    images = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(images) == 3
    assert all(attributes["aria-label"] for attributes in images)
    assert "p99 0.295 ms" in images[0]["aria-label"]


def test_drawings_take_their_colours_from_the_page(drawings):
    for drawing in drawings:
        assert "var(--deployed)" in drawing.svg
        assert not re.search(r"(?:fill|stroke): *#", drawing.svg)


def test_the_same_run_gives_the_same_page(run, render, drawings):
    assert render(run) == render(run)
    assert draw_latency(run.report(), run.samples) == drawings


def test_outliers_are_left_out_of_the_drawing_and_counted(run, drawings):
    note = drawings[0].note
    beyond = [value for name in ("reference", "int8") for value in run.samples[name] if value > 0.742]
    assert f"{len(beyond)} runs beyond 0.742 ms not drawn" in note
    assert f"{max(beyond):.2f} ms" in note


def test_distributions_far_apart_have_a_logarithmic_axis_that_says_so(run, drawings):
    assert "log" not in drawings[0].note
    run.samples["reference"] = [20 * value for value in run.samples["reference"]]
    far = draw_latency(run.report(), run.samples)[0]
    assert "logarithmic" in far.note
    assert "log scale" in far.svg


def test_samples_of_another_precision_draw_nothing(run):
    assert draw_latency(run.report(), {"reference": run.samples["reference"]}) == []
    assert draw_latency(run.report(), {**run.samples, "int8": []}) == []


@pytest.mark.parametrize("wrong", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_sample_that_is_no_duration_is_refused(run, wrong):
    run.samples["int8"][7] = wrong
    with pytest.raises(ValueError, match="not positive"):
        draw_latency(run.report(), run.samples)


def test_a_single_sample_and_equal_samples_are_drawn(run):
    assert len(draw_latency(run.report(), {"reference": [0.5], "int8": [0.25]})) == 2
    assert len(draw_latency(run.report(), {"reference": [0.5] * 9, "int8": [0.5] * 9})) == 2


def test_an_error_page_has_no_empty_sections():
    page = Page(error_page())
    assert "unknown <key>" in page.text
    assert "The run stopped before there was anything to measure." in page.text
    assert "remove it" in page.text
    for heading in ("Latency", "Numerical parity", "Candidates", "Stages", "Where the work runs"):
        assert heading not in page.text


def test_percentiles_from_too_few_samples_are_a_dash(run, render):
    latency = dataclasses.replace(run.record.candidates[0].latency, p99_ms=None, p99_upper_ms=None)
    text = Page(render(run.with_candidate(latency=latency))).text
    assert re.search(r"p99, ms 0\.\d+ \(≤ [\d.]+\) –", text)


def test_a_bar_is_as_long_as_its_value(run):
    size = next(bar for bar in list_bars(run.report()) if bar.label == "size")
    assert (size.reference_share, size.deployed_share) == (1.0, pytest.approx(101_873 / 316_000))


def test_stages_lie_one_after_another(run):
    spans = list_spans(run.report())
    for before, after in pairwise(spans):
        assert after.offset == pytest.approx(before.offset + before.share)
    assert spans[-1].offset + spans[-1].share == pytest.approx(1.0)


def test_a_run_of_no_duration_has_spans(run):
    assert list_spans(run.but(stages=()).report()) == []


def test_the_summary_does_not_praise_a_failed_run(failed_run):
    assert "did not reach its gates" in summarize(failed_run.report())


def test_nested_provenance_becomes_dotted_keys():
    assert flatten({"a": {"b": 1, "c": None}, "d": [1, 2]}) == [("a.b", "1"), ("d", "1, 2")]


def test_the_summary_does_not_state_the_numbers_of_an_invalid_measurement(run):
    report = run.with_verdict(verdict="invalid", exit_code=20).report()
    assert "as fast" not in summarize(report)


def test_the_summary_does_not_state_a_speed_on_an_emulated_board(run):
    report = run.emulate().report()
    assert "as fast" not in summarize(report)
    assert "smaller" in summarize(report)


def test_a_latency_that_was_not_measured_has_no_table(run):
    run = run.emulate()
    assert not any("steady" in warning for warning in run.report()["warnings"])
    text = Page(render_html(run.report(), drawings=[])).text
    assert "The latency was not measured: this board is emulated" in text
    assert "p99, ms" not in text


def test_a_float_artifact_of_the_same_size_has_a_number_in_its_tile(float_run):
    size = next(figure for figure in list_figures(float_run.report()) if "size" in figure.label)
    assert (size.value, size.label) == ("1.00×", "the same size")


def test_an_artifact_that_is_the_reference_itself_says_so(float_run, run, render):
    assert "the very file of the reference" in Page(render(float_run)).text
    assert "the very file of the reference" not in Page(render(run)).text
