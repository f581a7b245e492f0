import pytest

from toolchain.lower.each import do_each, take_each


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers):
    assert list(do_each(pow, range(20), range(20), workers=workers)) == [number**number for number in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_what_fails_for_one_item_is_raised(workers):
    with pytest.raises(ZeroDivisionError):
        list(do_each(lambda number: 1 / number, [2, 1, 0, 1], workers=workers))


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_items_are_taken_than_are_worked_on_and_one(workers):
    taken = []

    def take():
        for number in range(100):
            taken.append(number)
            yield number

    results = do_each(lambda number: number, take(), workers=workers)
    assert next(results) == 0
    assert len(taken) <= workers + 2


def test_what_was_taken_is_let_go_in_the_order_of_the_items():
    items = [3, 1, 2]
    left = [(item, len(items)) for item in take_each(items)]
    assert left == [(3, 2), (1, 1), (2, 0)]
