"""What the payload takes, for those who look: from what was measured, and nothing where another agent says other words."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from tests.made_record import make_candidate, make_footprint, make_manifest, make_record
from toolchain.agent.install.took import describe_took

OWN = {"precision": "int8", "runtime": "onnxruntime", "threads": 1, "pins_threads": False}
INT8 = SimpleNamespace(shipped=SimpleNamespace(**OWN))


def describe(record, **manifest):
    return describe_took({"record": record}, make_manifest(**manifest), INT8)


def make_measured(footprint):
    return asdict(make_record(candidates=(make_candidate(footprint=footprint), make_candidate("float32"))))


def listed(document):
    """Return a document as JSON has it."""
    if isinstance(document, dict):
        return {name: listed(value) for name, value in document.items()}
    return [listed(value) for value in document] if isinstance(document, (list, tuple)) else document


def test_it_is_the_start_and_the_peak_at_the_largest_batch_of_the_proven_payload():
    record = listed(make_measured(make_footprint()))
    assert describe(record) == {"start_ms": 103.0, "peak_bytes": 80_000_000, "batch": 64}


def test_an_emulated_board_tells_no_time():
    assert describe(listed(make_measured(make_footprint())), emulated=True) == {"peak_bytes": 80_000_000, "batch": 64}


@pytest.mark.parametrize(
    "record",
    [
        *(None, [], {}, {"candidates": 5}, {"candidates": [5]}, {"candidates": [{"payload": None}]}),
        {"candidates": [OWN]},
        {"candidates": [{**OWN, "footprint": {"runs": "many"}}]},
        {"candidates": [{"precision": "int8", "footprint": {"runs": "many"}}]},
        listed(make_measured(None)),
        listed(make_measured(make_footprint(runs=()))),
    ],
)
def test_what_was_not_measured_or_is_said_in_other_words_is_left_out(record):
    assert describe(record) == {}
