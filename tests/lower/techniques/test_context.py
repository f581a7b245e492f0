import math

import pytest

from toolchain.lower.adjustment import Adjustment
from toolchain.lower.techniques import context
from toolchain.lower.techniques.context import improve_in_context


@pytest.fixture
def improve(subject, samples, monkeypatch):
    """Return what improves the net for a gate, and tells which layers were in float meanwhile."""
    seen, work = [], context.improve_numbers
    monkeypatch.setattr(
        context,
        "improve_numbers",
        lambda *arguments, **options: seen.append(arguments[4]) or work(*arguments, **options),
    )

    def run(sqnr_db_min, enough_db=math.inf):
        found = improve_in_context(
            subject.bench,
            [subject.bench],
            subject.plan,
            subject.policy,
            subject.ranges,
            samples,
            frozenset(),
            sqnr_db_min=sqnr_db_min,
            enough_db=enough_db,
            start_steps=lambda _name, _total: lambda: None,
        )
        return found, seen.pop()

    return run


def test_all_layers_are_improved_together_where_they_keep_the_gate(subject, improve):
    found, in_float = improve(subject.measure_db(Adjustment()) - 1)
    assert (in_float, found.alone_db) == (frozenset(), {})
    assert found.techniques
    assert found.others[0].build == found.bench.build != subject.bench.build


def test_layers_that_cannot_stay_are_in_float_meanwhile_and_the_loudest_are_taken(subject, improve):
    gate_db = subject.measure_db(Adjustment()) + 1
    _, in_float = improve(gate_db, enough_db=-200.0)
    found, _ = improve(gate_db, enough_db=-200.0)
    assert in_float < set(subject.plan.weighted_layers)
    loudest = sorted(found.alone_db, key=found.alone_db.get)[: len(in_float)]
    assert in_float == set(loudest) != set()


def test_layers_that_numbers_can_keep_in_int8_are_improved_with_all_others(subject, improve):
    """Else each would have learned nothing, and could not come back: EfficientNet-Lite0 lost ten layers so, and a third of its speed."""
    plain_db = subject.measure_db(Adjustment())
    whole, _ = improve(plain_db - 1)
    gained_db = whole.bench.measure_sqnr_db(frozenset()) - subject.bench.measure_sqnr_db(frozenset())
    assert gained_db > 1.0
    found, in_float = improve(subject.bench.measure_sqnr_db(frozenset()) + gained_db / 2)
    assert in_float == frozenset()
    assert found.bench.measure_sqnr_db(frozenset()) == whole.bench.measure_sqnr_db(frozenset())


def test_all_layers_are_improved_together_where_something_else_decides(improve):
    found, in_float = improve(None)
    assert (in_float, found.alone_db) == (frozenset(), {})


def test_a_ranking_is_handed_on_where_nothing_was_improved_since(subject, improve):
    gate_db = subject.measure_db(Adjustment()) + 1
    left, _ = improve(gate_db, enough_db=-200.0)
    assert (left.alone_db.keys(), left.techniques) == (set(subject.plan.weighted_layers), ())
    improved, _ = improve(gate_db)
    assert bool(improved.alone_db) is (improved.bench.build == subject.bench.build)
