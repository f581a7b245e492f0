"""Bias correction (Nagel et al. 2019, arXiv:1906.04721, section 4.2): what rounding weights does to a mean is undone.

Rounded weights shift the mean of a layer's output, channel by channel, most in depthwise convolutions with their few
weights. The shift is measured on calibration samples, layer by layer with those before it rounded and corrected, and
goes into the bias. The weights stay as they are: the deployment rounds them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions, select_layers
from toolchain.compress.material import Material
from toolchain.compress.outputs import Inputs, copy_model, run_model
from toolchain.compress.quantization.batch_norm import fold_batch_norms
from toolchain.compress.quantization.fake_quantization import round_weight
from toolchain.errors import usage

SUMMARY = "put into the biases what rounding the weights will do to the mean of every channel"
TRAINS = False


class Options(LayerOptions):
    """How the deployment will round, and how much data the means are taken over."""

    bits: int = Field(default=8, ge=2, le=8)
    """7 for x86 CPUs without VNNI, whose int8 products saturate at 16 bits."""
    per_channel: bool = True
    """One scale for each output channel, as in this toolchain's int8."""
    samples: int = Field(default=64, ge=1)
    """Calibration samples; all of them pass through the model at once."""


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Fold batch norms, then correct the bias of every selected layer."""
    select_layers(draft.model, options, method="bias_correction")
    fold_batch_norms(draft, material, method="bias_correction")
    model = draft.model.eval()
    layers = select_layers(model, options, method="bias_correction")
    inputs = material.inputs(options.samples)
    means: dict[str, list[Tensor]] = {name: [] for name in layers}
    _run_with_hooks(model, layers, inputs, lambda name, output: means[name].append(_mean(output)))
    _check_called_once(means, material)

    rounded = copy_model(model)
    copies = {name: rounded.get_submodule(name) for name in layers}
    for name, layer in layers.items():
        copies[name].weight.data = round_weight(layer.weight.detach(), options.bits, per_channel=options.per_channel)
    shifts: dict[str, Tensor] = {}

    def correct(name: str, output: Tensor) -> Tensor:
        shifts[name] = means[name][0] - _mean(output)
        return output + _spread(shifts[name], output)

    _run_with_hooks(rounded, copies, inputs, correct)
    for name, shift in shifts.items():
        draft.add_bias(name)
        layers[name].bias.data += shift  # type: ignore[union-attr]  # add_bias gave it one
    return layers


def _run_with_hooks(
    model: nn.Module, layers: dict[str, Any], inputs: Inputs, on_output: Callable[[str, Tensor], Tensor | None]
) -> None:
    """Run the model once; each layer's output is told, and replaced by what comes back."""
    handles = [
        layer.register_forward_hook(lambda _module, _inputs, output, name=name: on_output(name, output))
        for name, layer in layers.items()
    ]
    try:
        run_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()


def _mean(output: Tensor) -> Tensor:
    """Return the mean of each output channel: axis 1 of pictures `(N, C, H, W)`, the last of everything else."""
    axis = _channel_axis(output)
    return output.mean(dim=[other for other in range(output.ndim) if other != axis])


def _spread(values: Tensor, output: Tensor) -> Tensor:
    shape = [1] * output.ndim
    shape[_channel_axis(output)] = -1
    return values.reshape(shape)


def _channel_axis(output: Tensor) -> int:
    return 1 if output.ndim == 4 else output.ndim - 1


def _check_called_once(means: dict[str, list[Tensor]], material: Material) -> None:
    """Refuse a layer inside of MultiheadAttention, which is not called, and one that is called several times."""
    other = [name for name, found in means.items() if len(found) != 1]
    if other:
        raise usage(
            f"bias_correction cannot correct the layer {other[0]}",
            where=material.where,
            expected="a layer that the model's forward calls as a module, once",
            found=f"{len(means[other[0]])} calls",
            fix=f'add "{other[0]}" to skip',
        )
