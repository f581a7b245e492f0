"""Which candidate has its turn: by the target's order and by what was measured, before anything is evaluated."""

import dataclasses
from itertools import combinations

import pytest

from tests.made_record import make_candidate, make_evaluation, make_facts, make_manifest, make_parity, make_record
from toolchain.agent.candidates import Candidate, name_candidates
from toolchain.agent.errors import ExitCode
from toolchain.agent.measure.judge import judge_record
from toolchain.agent.measure.quantiles import Ratio, summarize_latency
from toolchain.agent.measure.turns import find_rival, find_turn

GOOD = make_evaluation(parity=(make_parity(100.0),))
BAD = make_evaluation(parity=(make_parity(3.0),))
# Of the numbers of a test half a percent is not known: less than two sessions differ by.
SPREAD = 1.005


def make(*rows, evaluations=(), **changes):
    """Return record and manifest of rows (precision, runtime, threads, ms), all of them evaluated and good but for changes."""
    waiting = dict(evaluations)
    ways = [
        Candidate(precision, runtime=runtime, threads=threads, pins_threads=False, path="payload/int8/model.onnx")
        for precision, runtime, threads, _ in rows
    ]
    names = name_candidates(ways)
    made = [
        make_candidate(
            way.precision if way.precision != "fp16" else "bf16",
            evaluation=waiting.get(name, GOOD),
            latency=summarize_latency([row[3]] * 100, steady=True),
            over_later={},
        )
        for way, name, row in zip(ways, names, rows, strict=True)
    ]
    candidates = [
        dataclasses.replace(
            each, precision=way.precision, runtime=way.runtime, threads=way.threads, pins_threads=way.pins_threads
        )
        for each, way in zip(made, ways, strict=True)
    ]
    for first, later in combinations(range(len(rows)), 2):
        ratio = rows[later][3] / rows[first][3]
        bounds = Ratio(ratio=ratio, low=ratio / SPREAD, high=ratio * SPREAD)
        over = {**candidates[first].over_later, names[later]: bounds}
        candidates[first] = dataclasses.replace(candidates[first], over_later=over)
    gates = dataclasses.replace(make_manifest().gates, sqnr_db_min={}, int8_share_min=None, metric_drop_max=0.1)
    devices = {way.runtime: make_facts(runtime=way.runtime) for way in ways}
    record = make_record(candidates=tuple(candidates), devices=devices)
    return record, make_manifest(candidates=tuple(ways), gates=gates, **changes)


def ship(record, manifest):
    """Return the name of what is shipped, and the status of each."""
    judged = judge_record(record, manifest)
    names = [item.name for item in judged.candidates if item.status == "shipped"]
    return (names[0] if names else None), [item.status for item in judged.candidates]


def ort(precision, threads, ms):
    return (precision, "onnxruntime", threads, ms)


def vino(precision, threads, ms):
    return (precision, "openvino", threads, ms)


def test_a_precision_has_to_beat_the_fastest_of_all_later_ones_and_not_the_next_alone():
    record, manifest = make(ort("int8", 1, 1.0), ort("fp16", 1, 1.2), ort("float32", 1, 0.8))
    manifest = dataclasses.replace(manifest, gates=dataclasses.replace(manifest.gates, latency_p90_ms_max=None))
    shipped, statuses = ship(record, manifest)
    assert (shipped, statuses) == ("float32", ["rejected", "rejected", "shipped"])
    assert find_rival(record, 0) == find_rival(record, 1) == 2
    assert find_rival(record, 2) is None


def test_the_first_precision_that_beats_all_later_ones_is_shipped():
    shipped, statuses = ship(*make(ort("int8", 1, 1.0), ort("float32", 1, 2.0)))
    assert (shipped, statuses) == ("int8", ["shipped", "not needed"])


def test_int8_whose_speed_is_that_of_its_threads_alone_is_not_faster_than_float():
    rows = (ort("int8", 1, 1.05), ort("int8", 2, 0.6), ort("float32", 1, 1.0), ort("float32", 2, 0.55))
    shipped, statuses = ship(*make(*rows))
    assert shipped == "float32 2 threads"
    assert statuses == ["not needed", "rejected", "not needed", "shipped"]


def test_int8_that_is_faster_on_as_many_threads_is_shipped_on_the_faster_number():
    rows = (ort("int8", 1, 0.5), ort("int8", 2, 0.3), ort("float32", 1, 1.0), ort("float32", 2, 0.55))
    assert ship(*make(*rows)) == ("int8 2 threads", ["not needed", "shipped", "not needed", "not needed"])


@pytest.mark.parametrize(
    ("other_ms", "shipped"), [(1.0, "int8 onnxruntime"), (0.999, "int8 onnxruntime"), (0.9, "int8 openvino")]
)
def test_the_first_runtime_is_kept_unless_another_one_is_surely_faster(other_ms, shipped):
    rows = (ort("int8", 1, 1.0), vino("int8", 1, other_ms), ort("float32", 1, 2.0), vino("float32", 1, 2.0))
    assert ship(*make(*rows))[0] == shipped


def test_a_faster_runtime_that_does_not_pass_leaves_it_to_the_first():
    rows = (ort("int8", 1, 1.0), vino("int8", 1, 0.5), ort("float32", 1, 2.0), vino("float32", 1, 2.0))
    record, manifest = make(*rows, evaluations={"int8 openvino": BAD})
    assert ship(record, manifest) == ("int8 onnxruntime", ["shipped", "rejected", "not needed", "not needed"])


def test_of_several_that_are_surely_faster_than_the_first_the_fastest_has_its_turn():
    record, manifest = make(ort("int8", 1, 1.0), ort("int8", 2, 0.6), ort("int8", 4, 0.4), ort("float32", 1, 3.0))
    assert find_turn(record, manifest, ()) == 2
    assert find_turn(record, manifest, {2}) == 1
    assert find_turn(record, manifest, {1, 2}) == 0
    assert find_turn(record, manifest, {0, 1, 2}) == 3
    assert find_turn(record, manifest, {0, 1, 2, 3}) is None


def test_what_cannot_ship_whatever_it_computes_is_not_evaluated_after_the_first_of_its_precision():
    rows = (ort("int8", 1, 1.0), ort("int8", 2, 1.0), ort("float32", 1, 0.5), ort("float32", 2, 0.5))
    record, manifest = make(*rows)
    assert find_turn(record, manifest, ()) == 0
    assert find_turn(record, manifest, {0}) == 2
    demanded = dataclasses.replace(manifest.gates, precision_required="float32")
    rows = (ort("int8", 1, 0.1), ort("int8", 2, 0.1), ort("float32", 1, 0.5), ort("float32", 2, 0.5))
    record, manifest = make(*rows)
    assert find_turn(record, dataclasses.replace(manifest, gates=demanded), {0}) == 2


def test_where_nothing_is_known_of_speed_the_order_of_the_target_stands():
    record, manifest = make(ort("int8", 1, 1.0), ort("int8", 2, 0.1), ort("float32", 1, 0.01), emulated=True)
    unknown = {name: Ratio(ratio=None, low=None, high=None) for name in record.names}
    blank = tuple(
        dataclasses.replace(each, over_later=unknown, latency=summarize_latency([], steady=False))
        for each in record.candidates
    )
    assert find_turn(dataclasses.replace(record, candidates=blank), manifest, ()) == 0


def test_what_is_pinned_alone_has_its_turn():
    record, manifest = make(ort("int8", 1, 1.0), ort("int8", 2, 0.1), ort("float32", 1, 3.0))
    pinned = dataclasses.replace(record, pinned="int8 1 thread")
    assert find_turn(pinned, manifest, ()) == 0
    assert find_turn(pinned, manifest, {0}) is None
    assert find_turn(dataclasses.replace(record, pinned="int8 9 threads"), manifest, ()) is None


def test_a_board_that_did_not_run_the_one_whose_turn_it_was_proves_nothing():
    rows = (ort("int8", 1, 1.0), ort("int8", 2, 0.5), ort("float32", 1, 3.0))
    record, manifest = make(*rows)
    idle = dataclasses.replace(record.candidates[1], evaluation=None)
    judged = judge_record(
        dataclasses.replace(record, candidates=(record.candidates[0], idle, record.candidates[2])), manifest
    )
    assert (judged.verdict, judged.exit_code, judged.shipped) == ("invalid", ExitCode.INVALID, None)
