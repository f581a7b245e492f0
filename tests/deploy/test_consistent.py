"""A record that contradicts itself is none: what one part says, the other must be able to carry."""

import dataclasses

import pytest

from tests.made_record import make_evaluation, make_manifest, make_metric, make_parity, make_record, make_varying
from tests.report.explained_run import make_times, make_worst
from toolchain.agent.measure.conditions import Conditions
from toolchain.agent.measure.layer_times import KERNELS_MAX, Kernel, Peaks
from toolchain.agent.measure.validity import Validity
from toolchain.agent.measure.worst import SAMPLES_MAX, TEXT_MAX
from toolchain.deploy.consistent import check_consistent
from toolchain.errors import ExitCode, ToolchainError

QUIET = {"monotonic_ns": 0, "run_delay_ns": 0, "cpu_ns": 0, "steal_ns": 0}
LATER = {"monotonic_ns": 10**9, "run_delay_ns": 0, "cpu_ns": 10**9, "steal_ns": 0}


def make_conditions(*, counters=None, events=None, clocks=None):
    before = Conditions({}, {"policy0 limit": 10**9}, {"cpu0": 0}, counters=QUIET)
    after = Conditions(
        {}, clocks or {"policy0 limit": 10**9}, events or {"cpu0": 0}, counters={**LATER, **(counters or {})}
    )
    return before, after


def make_honest(**changes):
    return make_record(**{"conditions": make_conditions(), "throttled": False, **changes})


FIRST = make_honest().candidates[0].placement.layers[0].name


def change_first(record, **changes):
    first, *others = record.candidates
    return dataclasses.replace(record, candidates=(dataclasses.replace(first, **changes), *others))


def change_evaluation(**changes):
    return change_first(make_honest(), evaluation=make_evaluation(**changes))


def change_latency(**changes):
    record = make_honest()
    return change_first(record, latency=dataclasses.replace(record.candidates[0].latency, **changes))


def change_times(**changes):
    record = make_honest()
    good = {"kernels": (Kernel("a", "Conv", 5.0),), "sha256": record.candidates[0].payload.sha256, **changes}
    return change_first(record, layer_times=make_times(**good))


def change_parity(**changes):
    return change_evaluation(parity=(dataclasses.replace(make_parity(), **changes),))


def change_drift(**changes):
    evaluation = make_evaluation()
    return change_evaluation(drift=(dataclasses.replace(evaluation.drift[0], **changes),))


def change_metric(**changes):
    return change_evaluation(metric=dataclasses.replace(make_metric(0.001), **changes))


def test_an_honest_record_is_believed():
    check_consistent(change_times(), make_manifest())
    check_consistent(change_times(kernels=(Kernel("a", "Conv", 5.0, layers=(FIRST,)),)), make_manifest())
    check_consistent(change_times(peaks=None, peaks_problem="no peaks here"), make_manifest())
    check_consistent(change_times(kernels=(), problem="the runtime does not tell"), make_manifest())
    check_consistent(change_evaluation(worst=(make_worst()[0],)), make_manifest())
    check_consistent(make_honest(), make_manifest())
    check_consistent(make_honest(latency_sample=make_manifest().golden.samples - 1), make_manifest())
    check_consistent(change_evaluation(metric=None), make_manifest())
    check_consistent(make_honest(throttled=True, conditions=make_conditions(events={"cpu0": 1})), make_manifest())
    disturbed = make_conditions(counters={"run_delay_ns": 5 * 10**8})
    check_consistent(make_honest(conditions=disturbed, validity=Validity(problems=("others",))), make_manifest())


LIES = {
    "a latency of something else": lambda: make_honest(latency_scope="the kernel alone"),
    "no batch": lambda: make_honest(batch=0),
    "latency of a sample that the bundle does not have": lambda: make_honest(
        latency_sample=make_manifest().golden.samples
    ),
    "latency of a sample before the first": lambda: make_honest(latency_sample=-1),
    "the slower reference is the fastest": lambda: dataclasses.replace(
        make_honest(),
        references=tuple(
            dataclasses.replace(item, latency=dataclasses.replace(item.latency, p50_ms=value))
            for item, value in zip(make_honest().references, (1.0, 2.0), strict=True)
        ),
    ),
    "our file is the user's own": lambda: dataclasses.replace(
        make_honest(),
        references=tuple(dataclasses.replace(item, is_original=True) for item in make_honest().references),
    ),
    "no conditions": lambda: make_honest(conditions=(), throttled=None),
    "conditions of one moment": lambda: make_honest(conditions=make_conditions()[:1]),
    "throttled, and not said": lambda: make_honest(conditions=make_conditions(events={"cpu0": 3})),
    "nothing can be read, and not throttled": lambda: make_honest(conditions=(Conditions({}, {}, {}),) * 2),
    "others used the CPU, and no problem": lambda: make_honest(
        conditions=make_conditions(counters={"run_delay_ns": 5 * 10**8})
    ),
    "the clock went back, and no problem": lambda: make_honest(
        conditions=make_conditions(counters={"monotonic_ns": -5})
    ),
    "the clock's limit fell, and no problem": lambda: make_honest(
        conditions=make_conditions(clocks={"policy0 limit": 1})
    ),
    "a heavy tail, and no problem": lambda: change_latency(
        p90_ms=9.0, p90_upper_ms=9.0, p99_ms=None, p99_upper_ms=None
    ),
    "a quantile above its bound": lambda: change_latency(p50_upper_ms=0.5),
    "a quantile without its bound": lambda: change_latency(p90_upper_ms=None),
    "p90 under p50": lambda: change_latency(p90_ms=0.5),
    "p90 without p50": lambda: change_latency(p50_ms=None, p50_upper_ms=None),
    "no samples, and their mean": lambda: change_latency(samples=0),
    "samples without a mean": lambda: change_latency(mean_ms=None),
    "an error below 0": lambda: change_parity(max_abs=-0.1),
    "most errors larger than the largest": lambda: change_parity(p99_abs=0.2),
    "a cosine above 1": lambda: change_parity(cosine=1.5),
    "an SQNR without end": lambda: change_parity(sqnr_db=500.0),
    "less than no value not finite": lambda: change_parity(nonfinite=-1),
    "values not finite, and a good SQNR": lambda: change_parity(nonfinite=3),
    "no error, and an SQNR": lambda: change_parity(max_abs=0.0, p99_abs=0.0),
    "drift is another than parity, of one model": lambda: change_drift(sqnr_db=40.0),
    "parts of answers": lambda: change_drift(agreement=0.98765),
    "more channels lost than there are": lambda: change_drift(varying=make_varying(lost=11)),
    "less than no channel constant": lambda: change_drift(varying=make_varying(constant=-1)),
    "every channel constant, and a variation": lambda: change_drift(varying=make_varying(constant=10)),
    "another metric of the user's model": lambda: change_metric(reference=0.5, drop=0.5 - 0.924),
    "a drop that is none": lambda: change_metric(drop=0.0),
    "a metric of fewer samples": lambda: change_metric(samples=10),
    "layers of another payload": lambda: change_times(sha256="0" * 64),
    "a layer that takes less than no time": lambda: change_times(kernels=(Kernel("a", "Conv", -1.0),)),
    "a run of less than no time": lambda: change_times(run_us=-1.0),
    "a peak of bf16 below 0": lambda: change_times(peaks=Peaks(1.0, 1.0, 1.0, 1, bf16_gmacs=-1.0)),
    "a peak below 0": lambda: change_times(peaks=Peaks(-1.0, 1.0, 1.0, 1)),
    "peaks, and a reason for none": lambda: change_times(peaks_problem="no peaks here"),
    "a kernel of a layer that is none": lambda: change_times(kernels=(Kernel("a", "Conv", 5.0, layers=("strange",)),)),
    "a layer in two kernels": lambda: change_times(
        kernels=tuple(Kernel(name, "Conv", 5.0, layers=(FIRST,)) for name in "ab")
    ),
    "no layers, and no reason": lambda: change_times(kernels=()),
    "layers, and a reason for none": lambda: change_times(problem="gone"),
    "more layers than there may be": lambda: change_times(kernels=(Kernel("a", "Conv", 1.0),) * (KERNELS_MAX + 1)),
    "a worst sample beyond the last": lambda: change_evaluation(worst=(make_worst()[0],) * (SAMPLES_MAX + 1)),
    "a text without an end": lambda: change_evaluation(
        worst=(dataclasses.replace(make_worst()[0], text="a" * (TEXT_MAX + 1)),)
    ),
    "a sample of another set": lambda: change_evaluation(worst=(dataclasses.replace(make_worst()[0], index=10**6),)),
}


@pytest.mark.parametrize("name", LIES)
def test_a_record_that_contradicts_itself_is_refused(name):
    with pytest.raises(ToolchainError) as caught:
        check_consistent(LIES[name](), make_manifest())
    assert caught.value.code == ExitCode.INVALID
    assert caught.value.fix


def test_on_an_emulated_board_no_latency_is_measured():
    with pytest.raises(ToolchainError, match="contradicts itself"):
        check_consistent(make_honest(), make_manifest(emulated=True))
    with pytest.raises(ToolchainError, match="contradicts itself"):
        check_consistent(make_honest(conditions=(), throttled=None), make_manifest(emulated=True))
