"""The DLA, the fixed-function accelerator of some Jetsons: what cannot run on it is refused, or listed.

DLA takes strongly typed networks, and is in TensorRT up to 10.7 and from 11.4.1 on (NVIDIA's "Working with DLA"); which
layers it takes is TensorRT's to say, layer by layer.
"""

from __future__ import annotations

from typing import Any, Tuple

from ...build_spec import BuildSpec
from ...errors import ExitCode, ToolchainError

# Layers that compute nothing at run time, so that it does not matter where they would.
FOLDED = ("CONSTANT",)


def place_on_dla(trt: Any, builder: Any, network: Any, config: Any, spec: BuildSpec) -> Tuple[str, ...]:
    """Put a network on the DLA core that `spec` names; return the layers that run on the GPU instead, in the order of the network.

    Raises ToolchainError (exit 12): there is no such core, or layers that it cannot take and no fallback was asked for.
    """
    cores, core = builder.num_DLA_cores, spec.dla_core
    if core is None or not 0 <= core < cores:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "this board or this TensorRT has no such DLA core",
            where="build.dla_core",
            expected=f"0 to {cores - 1}" if cores else "no DLA",
            found=str(core),
            fix="TensorRT has DLA up to 10.7, and from 11.4.1 on for AGX Orin; build for the GPU elsewhere",
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    refused = tuple(
        layer.name for layer in layers if layer.type.name not in FOLDED and not config.can_run_on_DLA(layer)
    )
    if refused and not spec.gpu_fallback:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "the DLA cannot take all of this model",
            where=f"{len(refused)} of {len(layers)} layers: {', '.join(refused)}",
            fix="set gpu_fallback = true in the target's [build], or build for the GPU",
        )
    if refused:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    return refused
