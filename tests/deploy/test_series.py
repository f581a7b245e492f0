"""Latencies are believed as far as their samples carry them: quantiles and speedups are derived from those again."""

import dataclasses
import random

import pytest

from tests.made_record import make_candidate, make_manifest, make_record, make_reference
from toolchain.agent.measure.conditions import Conditions
from toolchain.agent.measure.latency import Measurement
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.agent.measure.validity import Validity
from toolchain.deploy.answer import _check_ratio
from toolchain.deploy.series import check_series
from toolchain.errors import ExitCode, ToolchainError

PATHS = {"reference": "payload/float32/model.onnx", "int8": "payload/int8/model.onnx"}
PATHS["float32"] = PATHS["reference"]
USUAL_NS = {PATHS["reference"]: 2_000_000, PATHS["int8"]: 1_000_000}
ROUNDS, BLOCK = 36, 10
SETTINGS = MeasureSettings(latency_samples=ROUNDS * BLOCK)


def measure(*, is_slowed=False):
    """Return a measurement as measure_latency makes it, of a machine that has two speeds where it is_slowed."""
    chance = random.Random(7)
    blocks = {path: [] for path in USUAL_NS}
    for number in range(ROUNDS):
        speed = 1.4 if is_slowed and number >= ROUNDS // 2 else 1.0
        for path, usual_ns in USUAL_NS.items():
            luck = 1.1 if speed > 1 and path == PATHS["int8"] else 1.0
            blocks[path].append([int(usual_ns * speed * luck * chance.uniform(1, 1.05)) for _ in range(BLOCK)])
    probes = [(1.4, 1.4) if is_slowed and number > ROUNDS // 2 else (1.0, 1.0) for number in range(ROUNDS + 1)]
    return Measurement(
        blocks_ns=blocks,
        steady=dict.fromkeys(blocks, True),
        probes_ns=probes,
        best_ns=(1.0, 1.0) if is_slowed else None,
    )


def make_conditions(spent_s):
    times_ns = (0, int(spent_s * 1e9))
    return tuple(Conditions({}, {}, {}, counters={"monotonic_ns": time_ns}) for time_ns in times_ns)


def make_honest(measurement=None, spent_s=1.5):
    """Return the samples of a measurement by name, and its record."""
    measured = measurement or measure()
    reference, int8 = PATHS["reference"], PATHS["int8"]
    ratio = measured.compare(reference, int8)
    candidates = (
        make_candidate("int8", latency=measured.summarize(int8), over_reference=ratio, over_later={"float32": ratio}),
        make_candidate(
            "float32",
            latency=measured.summarize(reference),
            over_reference=dataclasses.replace(
                ratio, ratio=1.0, low=1.0, high=1.0, full_speed=None, slowed=None, note=None
            ),
        ),
    )
    references = (make_reference("original"), make_reference("float32", latency=measured.summarize(reference)))
    record = make_record(candidates=candidates, references=references, conditions=make_conditions(spent_s))
    return {name: measured.list_samples_ms(path) for name, path in PATHS.items()}, record


def change_first(record, **changes):
    first, *others = record.candidates
    return dataclasses.replace(record, candidates=(dataclasses.replace(first, **changes), *others))


def assert_refused(samples_ms, record, settings=SETTINGS):
    with pytest.raises(ToolchainError) as caught:
        check_series(samples_ms, record, make_manifest(), settings)
    assert caught.value.code == ExitCode.INVALID
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("is_slowed", [False, True])
def test_what_was_derived_from_the_samples_is_believed(is_slowed):
    samples_ms, record = make_honest(measure(is_slowed=is_slowed))
    assert (record.candidates[0].over_later["float32"].slowed is not None) == is_slowed
    check_series(samples_ms, record, make_manifest(), SETTINGS)
    check_series(samples_ms, record, make_manifest(), None)


@pytest.mark.parametrize("int8_ns", [45_001, 45_012])
def test_two_speeds_are_believed_where_most_rounds_are_alike(int8_ns):
    """The median of all rounds is that of the many at full speed then, in ms the next number above or below."""
    slowed = ROUNDS // 3
    blocks = {
        PATHS["reference"]: [[ns] * BLOCK for ns in [56_000] * (ROUNDS - slowed) + [58_000] * slowed],
        PATHS["int8"]: [[int8_ns] * BLOCK] * ROUNDS,
    }
    measured = Measurement(
        blocks_ns=blocks,
        steady=dict.fromkeys(blocks, True),
        probes_ns=[(1.0, 1.0)] * (ROUNDS - slowed + 1) + [(1.4, 1.4)] * slowed,
        best_ns=(1.0, 1.0),
    )
    samples_ms, record = make_honest(measured)
    assert record.candidates[0].over_reference.full_speed == record.candidates[0].over_reference.ratio
    check_series(samples_ms, record, make_manifest(), SETTINGS)


def test_an_interval_that_a_wandering_series_stretched_below_zero_is_believed():
    measured = measure()
    fast = measured.blocks_ns[PATHS["int8"]]
    for number in range(ROUNDS):
        fast[number] = [value * (1 + 3 * number // ROUNDS * 10) for value in fast[number]]
    samples_ms, record = make_honest(measured, spent_s=30.0)
    assert record.candidates[0].over_later["float32"].low < 0
    check_series(samples_ms, record, make_manifest(), None)
    _check_ratio(record.candidates[0].over_later["float32"], "int8")


def test_an_emulated_board_has_no_samples():
    samples_ms, record = make_honest()
    manifest = make_manifest(emulated=True)
    check_series({}, record, manifest, SETTINGS)
    with pytest.raises(ToolchainError):
        check_series(samples_ms, record, manifest, SETTINGS)


QUANTILES = ("p50_ms", "p50_upper_ms", "p90_ms", "p90_upper_ms", "mean_ms", "cv")


@pytest.mark.parametrize("name", QUANTILES)
def test_a_quantile_that_is_not_that_of_the_samples_is_refused(name):
    samples_ms, record = make_honest()
    latency = record.candidates[0].latency
    better = dataclasses.replace(latency, **{name: getattr(latency, name) * 0.999})
    assert name in assert_refused(samples_ms, change_first(record, latency=better)).where
    worse = dataclasses.replace(record.reference.latency, **{name: getattr(record.reference.latency, name) * 1.001})
    references = (record.references[0], dataclasses.replace(record.references[1], latency=worse))
    assert_refused(samples_ms, dataclasses.replace(record, references=references))


def test_another_number_of_samples_than_there_are_is_refused():
    samples_ms, record = make_honest()
    latency = dataclasses.replace(record.candidates[0].latency, samples=100_000)
    assert_refused(samples_ms, change_first(record, latency=latency))


@pytest.mark.parametrize("name", ["over_later", "over_reference"])
@pytest.mark.parametrize("change", [{"ratio": 100.0, "high": 101.0}, {"low": 1.999}, {"high": 9.0}, {"low": 3.0}])
def test_a_speedup_that_is_not_that_of_the_samples_is_refused(name, change):
    samples_ms, record = make_honest()
    ratio = dataclasses.replace(record.candidates[0].over_reference, **change)
    told = {"over_later": {"float32": ratio}, "over_reference": ratio}
    assert_refused(samples_ms, change_first(record, **{name: told[name]}))


def test_a_speedup_in_every_respect_larger_is_refused():
    samples_ms, record = make_honest()
    ratio = record.candidates[0].over_later["float32"]
    larger = dataclasses.replace(ratio, ratio=3 * ratio.ratio, low=3 * ratio.low, high=3 * ratio.high)
    assert_refused(samples_ms, change_first(record, over_later={"float32": larger}))


@pytest.mark.parametrize("change", [{"slowed": 9.0}, {"full_speed": 0.1}, {"slowed": None}, {"low": 2.05}])
def test_two_speeds_that_the_samples_do_not_have_are_refused(change):
    samples_ms, record = make_honest(measure(is_slowed=True))
    ratio = dataclasses.replace(record.candidates[0].over_later["float32"], **change)
    assert_refused(samples_ms, change_first(record, over_later={"float32": ratio}))


def test_a_speedup_that_nobody_knows_is_refused_where_there_are_samples():
    samples_ms, record = make_honest()
    unknown = dataclasses.replace(record.candidates[0].over_later["float32"], ratio=None, low=None, high=None)
    assert_refused(samples_ms, change_first(record, over_later={"float32": unknown}))


def test_a_file_in_two_roles_is_as_fast_as_itself():
    samples_ms, record = make_honest()
    first, last = record.candidates
    faster = dataclasses.replace(last, over_reference=first.over_reference)
    assert_refused(samples_ms, dataclasses.replace(record, candidates=(first, faster)))


def test_samples_of_other_payloads_are_refused():
    samples_ms, record = make_honest()
    assert_refused({name: samples_ms[name] for name in ("reference", "int8")}, record)
    assert_refused({**samples_ms, "fp16": samples_ms["int8"]}, record)
    assert_refused({**samples_ms, "int8": []}, record)
    assert_refused({}, record)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_run_that_took_no_time_makes_the_measurement_worthless(value):
    samples_ms, record = make_honest()
    times = dict(samples_ms, int8=[value, *samples_ms["int8"][1:]])
    assert_refused(times, record)


def test_more_time_than_passed_is_refused():
    samples_ms, record = make_honest(spent_s=1.0)  # 36 rounds of 10 runs of 2 ms and of 1 ms
    assert "passed meanwhile" in assert_refused(samples_ms, record).expected


def test_fewer_samples_than_were_asked_for_are_those_of_a_measurement_whose_time_was_over():
    asked = MeasureSettings(latency_samples=10 * ROUNDS * BLOCK, latency_limit_s=20.0)
    samples_ms, record = make_honest(spent_s=19.9)
    check_series(samples_ms, record, make_manifest(), asked)
    assert_refused(*make_honest(), asked)
    worthless = dataclasses.replace(
        record, conditions=make_conditions(-1.0), validity=Validity(problems=("the clock",))
    )
    check_series(samples_ms, worthless, make_manifest(), asked)
