"""What every gate must hold: it fails what is bad by a reason and a code of the contract, and nothing that is good."""

import dataclasses
from types import SimpleNamespace

import pytest

from tests.contracts.claims import find_broken_claims, pair_claims
from tests.made_record import (
    LEVEL,
    STRICT,
    UNKNOWN,
    make_candidate,
    make_drift,
    make_evaluation,
    make_footprint,
    make_manifest,
    make_metric,
    make_parity,
    make_placement,
    make_record,
)
from toolchain.agent.errors import ExitCode
from toolchain.agent.measure import gates
from toolchain.agent.measure.gates import PHASES, Case
from toolchain.agent.measure.gates.row import Row
from toolchain.agent.measure.quantiles import summarize_latency
from toolchain.project.limits import list_limits
from toolchain.project.members import list_members, load_member
from toolchain.project.recipe import GatesSection
from toolchain.project.seams import GATES

FAMILY = {name: load_member(member) for name, member in list_members(GATES).items()}
STATUSES = {"passed", "failed", "invalid", "undecided", "skipped"}
CODES = {ExitCode.PARITY, ExitCode.LATENCY, ExitCode.INVALID, ExitCode.METRIC}

# What makes a good candidate one that the gate fails, by the gate's file.
FAILING = {
    "drift": {"manifest": {"metric": SimpleNamespace(name=None, reference=None)}, "drift": (make_drift(1.0),)},
    "latency": {"latency": summarize_latency([9.0] * 100, steady=True)},
    "measurement": {"over_reference": UNKNOWN},
    "memory": {"manifest": {"gates": dataclasses.replace(STRICT, limits={"memory_peak_mb_max": 79.9})}},
    "metric": {"metric": make_metric(0.2)},
    "outputs": {"mismatch": "an output is missing"},
    "parity": {"parity": (make_parity(1.0),)},
    "placement": {"placement": make_placement(1, 99)},
    "precision": {"placement": make_placement(0, 100), "no_int8": True},
    "size": {"manifest": {"gates": dataclasses.replace(STRICT, limits={"size_bytes_max": 101_872.0})}},
    "speed": {"over_later": {"float32": LEVEL}},
    "start": {"manifest": {"gates": dataclasses.replace(STRICT, limits={"start_ms_max": 105.0})}},
    "throttling": {"record": {"throttled": True}},
}

EXCEPTIONS = {
    ("drift", "its_rows_begin_with_its_name"): "it judges two things of an output: its distance, and the answers in it",
}


def make_case(**changes):
    evaluated = {name: changes.pop(name) for name in ("mismatch", "parity", "drift", "metric") if name in changes}
    manifest, record = changes.pop("manifest", {}), changes.pop("record", {})
    if changes.pop("no_int8", False):
        placement = changes["placement"]
        changes["placement"] = dataclasses.replace(placement, layers=placement.layers[1:])
    changes.setdefault("footprint", make_footprint())
    candidate = make_candidate(evaluation=make_evaluation(**evaluated), **changes)
    made = make_record(candidates=(candidate, make_candidate("float32")), **record)
    return Case(candidate=candidate, record=made, manifest=make_manifest(**{"gates": STRICT, **manifest}))


def find(gate):
    return FAMILY.get(gate) or BROKEN[gate]


def judge(gate, **changes):
    return find(gate).judge(make_case(**changes))


def what_is_good_passes(gate):
    rows = judge(gate)
    assert rows
    assert {row.status for row in rows} <= {"passed", "skipped"}


def what_is_bad_fails_by_a_reason_and_a_code_of_the_contract(gate):
    rows = [row for row in judge(gate, **FAILING.get(gate, {})) if row.status in ("failed", "invalid")]
    assert rows
    for row in rows:
        assert row.reason
        assert ExitCode(row.code) in CODES
        assert (row.code == ExitCode.INVALID) == (row.status == "invalid")


def every_row_says_what_was_measured_and_required(gate):
    for changes in ({}, FAILING.get(gate, {})):
        for row in judge(gate, **changes):
            assert isinstance(row, Row)
            assert row.status in STATUSES
            assert row.measured
            assert row.required


def only_what_fails_has_a_code(gate):
    for changes in ({}, FAILING.get(gate, {})):
        for row in judge(gate, **changes):
            assert (row.code != ExitCode.PROVEN) == (row.status in ("failed", "invalid"))


def its_rows_begin_with_its_name(gate):
    for row in judge(gate):
        assert row.name.split()[0] == find(gate).NAME


def the_same_case_is_judged_the_same(gate):
    case = make_case()
    assert find(gate).judge(case) == find(gate).judge(case)


def its_limits_are_named_by_their_bound_and_are_nobody_elses(gate):
    for limit in getattr(find(gate), "LIMITS", ()):
        assert limit.name.endswith(("_max", "_min"))
        assert limit.name not in GatesSection.model_fields
        assert limit.find_problem(limit.least) is None
        assert limit.find_problem(limit.most) is None
        for value in (True, "1", float("nan"), limit.least - 1, limit.most * 2, None):
            assert limit.find_problem(value)


CLAIMS = (
    what_is_good_passes,
    what_is_bad_fails_by_a_reason_and_a_code_of_the_contract,
    every_row_says_what_was_measured_and_required,
    only_what_fails_has_a_code,
    its_rows_begin_with_its_name,
    the_same_case_is_judged_the_same,
    its_limits_are_named_by_their_bound_and_are_nobody_elses,
)


@pytest.mark.parametrize(("claim", "gate"), pair_claims(CLAIMS, FAMILY, exceptions=EXCEPTIONS))
def test_every_gate_keeps_the_contract(claim, gate):
    claim(gate)


def test_every_gate_of_the_folder_has_its_place_in_the_order():
    assert sorted(gate.__name__.rpartition(".")[2] for _, phase in PHASES for gate in phase) == sorted(FAMILY)


def test_host_and_agent_know_the_same_limits():
    assert list_limits() == gates.list_limits()


def make_row(**changes):
    good = {"name": "made", "group": "made", "status": "passed", "measured": "1", "required": "2", "reason": None}
    return Row(**{**good, "code": 0, **changes})


# Gates that break the contract, and the claims that catch each.
BROKEN = {
    "lenient": SimpleNamespace(NAME="made", judge=lambda case: [make_row()]),
    "silent": SimpleNamespace(NAME="made", judge=lambda case: []),
    "harsh": SimpleNamespace(NAME="made", judge=lambda case: [make_row(status="failed", reason="bad", code=18)]),
    "without_a_reason": SimpleNamespace(NAME="made", judge=lambda case: [make_row(status="failed", code=18)]),
    "without_a_code": SimpleNamespace(NAME="made", judge=lambda case: [make_row(status="failed", reason="bad")]),
    "of_another_name": SimpleNamespace(
        NAME="other", judge=lambda case: [make_row(status="failed", reason="bad", code=3)]
    ),
}
_GOOD, _BAD = what_is_good_passes.__name__, what_is_bad_fails_by_a_reason_and_a_code_of_the_contract.__name__
CAUGHT_BY = {
    "lenient": {_BAD},
    "silent": {_GOOD, _BAD},
    "harsh": {_GOOD},
    "without_a_reason": {_GOOD, _BAD},
    "without_a_code": {_GOOD, _BAD, only_what_fails_has_a_code.__name__},
    "of_another_name": {_GOOD, _BAD, its_rows_begin_with_its_name.__name__},
}


@pytest.mark.parametrize("gate", BROKEN)
def test_a_gate_that_breaks_the_contract_is_caught(gate):
    assert find_broken_claims(CLAIMS, gate) == CAUGHT_BY[gate]
