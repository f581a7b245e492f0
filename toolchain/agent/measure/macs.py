"""The MACs of a layer from the shapes of its tensors; None where they do not tell.

`weight` is the index of the weights, or of the second factor, among the shapes of the inputs.
"""

from __future__ import annotations

from typing import Callable, Iterable, List, Optional, Sequence

Shape = List[int]
CountMacs = Callable[[Sequence[Shape], Shape, int], Optional[int]]


def multiply(sizes: Iterable[int]) -> int:
    """Return the product; 1 of nothing."""
    product = 1
    for size in sizes:
        product *= size
    return product


def count_conv(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    """Return the MACs of a convolution."""
    # Weight (M, C/group, *kernel): each output element takes the C/group * kernel products of its output channel.
    if len(shapes) <= weight or not shapes[weight]:
        return None
    return multiply(output) * multiply(shapes[weight][1:])


def count_conv_transpose(shapes: Sequence[Shape], _output: Shape, weight: int) -> Optional[int]:
    """Return the MACs of a transposed convolution."""
    # Weight (C, M/group, *kernel): each input element is spread over the M/group * kernel of its input channel.
    if len(shapes) <= weight or not shapes[weight]:
        return None
    return multiply(shapes[0]) * multiply(shapes[weight][1:])


def count_matmul(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    """Return the MACs of a product of matrices."""
    # (..., M, K) * (..., K, N), either one possibly transposed: whichever way round, the last two of A are M and K.
    if len(shapes) <= weight or not shapes[0] or not shapes[weight]:
        return None
    if len(shapes[0]) == 1:
        return multiply(output) * shapes[0][0]
    columns_are_dropped = len(shapes[weight]) == 1
    rows = (output if columns_are_dropped else output[:-1])[-1:]
    depth, rest = divmod(multiply(shapes[0][-2:]), multiply(rows) or 1)
    return None if rest else multiply(output) * depth


def count_recurrent(shapes: Sequence[Shape], _output: Shape, weight: int) -> Optional[int]:
    """Return the MACs of a recurrent layer."""
    # X (T, N, I) or (N, T, I), W (D, gates * H, I), R (D, gates * H, H): every step of every sample uses W and R once.
    if len(shapes) <= weight + 1:
        return None
    return multiply(shapes[0][:2]) * (multiply(shapes[weight]) + multiply(shapes[weight + 1]))


def count_nothing(_shapes: Sequence[Shape], _output: Shape, _weight: int) -> Optional[int]:
    """Return None: shapes do not tell the work of such a layer."""
    return None
