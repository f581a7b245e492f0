from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.compress.quantization.knapsack import Choice, choose_options

choices = st.builds(Choice, size=st.integers(1, 40).map(float), cost=st.floats(0, 10))
problems = st.lists(st.lists(choices, min_size=1, max_size=4), min_size=1, max_size=5)


@given(problems, st.integers(1, 20))
def test_the_choice_is_the_best_that_fits(items, tenths):
    # 10,000 steps of a budget of 10 or 20 … hold whole sizes without rounding.
    budget = 10.0 * tenths
    totals = [
        sum(choice.cost for choice in chosen)
        for chosen in product(*items)
        if sum(choice.size for choice in chosen) <= budget - 0.001 * budget
    ]
    found = choose_options(items, budget=budget)
    if found is None:
        assert not totals
        return
    chosen = [row[index] for row, index in zip(items, found, strict=True)]
    assert sum(choice.size for choice in chosen) <= budget
    assert not totals or sum(choice.cost for choice in chosen) <= min(totals) + 1e-9


@pytest.mark.parametrize("budget", [0.0, 1.5])
def test_a_budget_below_the_smallest_options_has_no_choice(budget):
    assert choose_options([[Choice(size=1, cost=0)], [Choice(size=1, cost=0)]], budget=budget) is None
