import pytest

from toolchain.search.page import describe_entries, render_page


def make_record(number, **values):
    defaults = {
        "number": number,
        "state": "complete",
        "verdict": "pass",
        "reasons": [],
        "entries": [{"method": "magnitude_pruning", "amount": 0.5, "finetune": {"epochs": 2}}],
        "precision": "int8",
        "metric": 0.9 - number / 100,
        "drop": number / 100,
        "reference": 0.9,
        "unit": "fraction",
        "size_bytes": 10_000 + 1_000 * number,
        "size_ratio": 4.0,
        "speedup": 2.0,
    }
    return {**defaults, **values}


def render(records, front):
    return render_page(model="net", target="cpu", records=records, front=[{**item, "recipe": None} for item in front])


@pytest.mark.parametrize(("speedup", "drawings"), [(2.0, 2), (None, 1)])
def test_the_page_draws_the_metric_over_size_and_speedup(speedup, drawings):
    records = [make_record(number, speedup=speedup) for number in range(3)]
    page = render(records, records[:1])
    assert page.count("<svg ") == drawings
    assert "90.00 %" in page
    assert "magnitude_pruning (amount 0.5, 2 epochs)" in page


def test_the_page_fetches_nothing():
    page = render([make_record(0)], [make_record(0)])
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_a_text_of_an_error_is_escaped():
    failed = {"number": 1, "state": "failed", "error": {"code": 2, "what": "<b>", "found": None}}
    assert "&lt;b&gt;" in render([make_record(0), failed], [])


def test_a_search_without_a_complete_trial_has_a_page():
    page = render([{"number": 0, "state": "stopped", "drop": 0.5}], [])
    assert "No trial was complete." in page
    assert "<svg" not in page


def test_many_trials_of_one_place_can_be_drawn():
    records = [make_record(number, size_bytes=1000, metric=0.9, drop=0.0) for number in range(20)]
    assert render(records, records).count("<svg ") == 2


def test_a_trial_without_entries_says_so():
    assert describe_entries([]) == "nothing but the precision"
