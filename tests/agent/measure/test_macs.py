"""MACs from shapes, by hand: what a layer multiplies, and what shapes do not tell."""

import pytest

from toolchain.agent.measure.macs import (
    count_conv,
    count_conv_transpose,
    count_matmul,
    count_nothing,
    count_recurrent,
    multiply,
)


@pytest.mark.parametrize(
    ("count", "shapes", "output", "macs"),
    [
        (count_conv, [[1, 4, 8, 8], [6, 4, 3, 3]], [1, 6, 6, 6], 6 * 6 * 6 * 4 * 9),
        (count_conv, [[1, 4, 8, 8], [4, 1, 3, 3]], [1, 4, 6, 6], 4 * 6 * 6 * 9),
        (count_conv_transpose, [[1, 4, 5, 5], [4, 6, 2, 2]], [1, 6, 6, 6], 4 * 5 * 5 * 6 * 4),
        (count_matmul, [[2, 3, 5], [5, 7]], [2, 3, 7], 2 * 3 * 7 * 5),
        (count_matmul, [[5], [5, 7]], [7], 35),
        (count_recurrent, [[4, 2, 3], [1, 20, 3], [1, 20, 5]], [4, 1, 2, 5], 4 * 2 * (60 + 100)),
        (count_nothing, [[4, 2, 3]], [4], None),
        (count_conv, [[1, 4, 8, 8]], [1, 6, 6, 6], None),
        (count_matmul, [[2, 3], []], [2], None),
        (count_recurrent, [[4, 2, 3], [1, 20, 3]], [4, 1, 2, 5], None),
    ],
)
def test_macs_are_what_the_shapes_multiply_or_unknown(count, shapes, output, macs):
    assert count(shapes, output, 1) == macs


def test_the_product_of_nothing_is_one():
    assert (multiply([]), multiply([2, 3])) == (1, 6)
