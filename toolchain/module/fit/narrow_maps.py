"""Convolutions of maps narrower than their stride, kept out of bfloat16 on CPUs.

Their weight's gradient in bfloat16 holds memory that nobody wrote: NaN, infinity or just other numbers (PyTorch 2.14 with
oneDNN 3.12 on a CPU with AVX512-BF16, any number of groups). What lies in that memory is luck, often the right gradient of
before: no test can ask PyTorch for the wrong one. A MobileNetV2 at pictures of 8x8 meets it, a keyword spotter at its last
frames too. Such maps are small: float32 costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


class NarrowMapsInFloat32(TorchFunctionMode):
    """While it is entered, autocast on a CPU leaves a convolution alone whose map is narrower than its stride."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func not in _CONVOLUTIONS or not torch.is_autocast_enabled("cpu") or not _is_narrow(args, kwargs):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_to_float32, args), **{name: _to_float32(value) for name, value in kwargs.items()})


def _is_narrow(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether the last axis of the input (..., W) is shorter than the stride along it."""
    features: Tensor = args[0] if args else kwargs["input"]
    stride: int | Sequence[int] = kwargs.get("stride", args[3] if len(args) > 3 else 1)
    along_width = stride if isinstance(stride, int) else stride[-1]
    return features.device.type == "cpu" and features.shape[-1] < along_width


def _to_float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value
