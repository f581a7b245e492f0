"""The gradient of a convolution's weight where the map is narrower than the stride, trained in bfloat16 on a CPU."""

import pytest
import torch
from torch import nn

from toolchain.module.fit.accelerator import _has_bfloat16
from toolchain.module.fit.narrow_maps import NarrowMapsInFloat32

BFLOAT16 = pytest.mark.skipif(
    not _has_bfloat16(on_cpu=True), reason="this CPU has no bfloat16: nothing is trained in it"
)


def litter():
    """Leave NaN in the memory that the next allocations get."""
    kept = [
        torch.full((size,), float("nan"), dtype=torch.bfloat16)
        for size in (2**n for n in range(6, 18))
        for _ in range(6)
    ]
    del kept


def find_error(layer, size):
    """Return the largest distance of a bfloat16 gradient from the float32 one, in the latter's maximum; NaN counts as inf."""
    x = torch.rand(8, layer.in_channels, *size, generator=torch.Generator().manual_seed(0)).contiguous()
    if len(size) == 2:
        x = x.to(memory_format=torch.channels_last)
    worst = 0.0
    for _ in range(20):
        layer.zero_grad()
        layer(x).float().square().sum().backward()
        expected = layer.weight.grad.clone()
        layer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16), NarrowMapsInFloat32():
            loss = layer(x).float().square().sum()
        litter()
        loss.backward()
        error = float((layer.weight.grad - expected).abs().max() / expected.abs().max())
        worst = max(worst, error if error == error else float("inf"))
    return worst


CASES = {
    "depthwise, 1x1": (lambda: nn.Conv2d(48, 48, 3, stride=2, padding=1, groups=48), (1, 1)),
    "grouped, one column": (lambda: nn.Conv2d(32, 32, 5, stride=2, padding=2, groups=8), (8, 1)),
    "dense, 2x2 by three": (lambda: nn.Conv2d(32, 64, 3, stride=3, padding=1), (2, 2)),
    "along one axis": (lambda: nn.Conv1d(48, 48, 3, stride=2, padding=1, groups=48), (1,)),
}


@BFLOAT16
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_float32(case):
    build, size = CASES[case]
    torch.manual_seed(0)
    assert find_error(build(), size) < 0.02


def test_a_map_as_wide_as_the_stride_stays_in_bfloat16():
    layer = nn.Conv2d(8, 8, 3, stride=2, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16), NarrowMapsInFloat32():
        assert layer(torch.rand(2, 8, 1, 2)).dtype == torch.bfloat16
        assert layer(torch.rand(2, 8, 2, 1)).dtype == torch.float32


def test_strides_and_inputs_are_read_by_name_too():
    x, weight = torch.rand(1, 2, 1, 1), torch.rand(4, 2, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16), NarrowMapsInFloat32():
        assert torch.conv2d(input=x, weight=weight, stride=(1, 2)).dtype == torch.float32
        assert torch.conv2d(input=x, weight=weight, stride=(2, 1)).dtype == torch.bfloat16


def test_without_autocast_nothing_changes():
    layer = nn.Conv2d(8, 8, 3, stride=2, padding=1).double()
    with NarrowMapsInFloat32():
        assert layer(torch.rand(2, 8, 1, 1).double()).dtype == torch.float64
