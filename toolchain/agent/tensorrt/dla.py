"""The DLA, the fixed-function accelerator of some Jetsons: what cannot run on it is refused, or listed.

DLA takes strongly typed networks, and is in TensorRT up to 10.7 and from 11.4.1 on (NVIDIA's "Working with DLA"); which
layers it takes is TensorRT's to say, layer by layer.
"""
# ruff: noqa: TID252 - in a bundle this package is called agent, not toolchain.agent

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from ..errors import ExitCode, ToolchainError

# Layers that compute nothing at run time, so that it does not matter where they would.
FOLDED = ("CONSTANT",)


@dataclass(frozen=True)
class Dla:
    """A wish to run on DLA core `core`; `gpu_fallback` allows the GPU for what that cannot take."""

    core: int
    gpu_fallback: bool


def place_on_dla(trt: Any, builder: Any, network: Any, config: Any, dla: Dla) -> Tuple[str, ...]:
    """Put a network on the DLA; return the layers that run on the GPU instead, in the order of the network.

    Raises ToolchainError (exit 12): there is no such core, or layers that it cannot take and no fallback was asked for.
    """
    cores = builder.num_DLA_cores
    if not 0 <= dla.core < cores:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "this board or this TensorRT has no such DLA core",
            "dla.core",
            f"0 to {cores - 1}" if cores else "no DLA",
            str(dla.core),
            "TensorRT has DLA up to 10.7, and from 11.4.1 on for AGX Orin; build for the GPU elsewhere",
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = dla.core
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    refused = tuple(
        layer.name for layer in layers if layer.type.name not in FOLDED and not config.can_run_on_DLA(layer)
    )
    if refused and not dla.gpu_fallback:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "the DLA cannot take all of this model",
            f"{len(refused)} of {len(layers)} layers: {', '.join(refused)}",
            fix="allow gpu_fallback, or build for the GPU",
        )
    if refused:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    return refused
