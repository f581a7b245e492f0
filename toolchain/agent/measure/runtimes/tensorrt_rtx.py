"""TensorRT for RTX: the host builds its engines ahead of time (toolchain/lower/), and no board opens one yet."""

from __future__ import annotations

from ..traits import LibraryPlaces, Traits

TRAITS = Traits(
    install="python -m pip install 'edge-toolchain[rtx]'",
    libraries=LibraryPlaces(beside=("tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt_rtx_libs")),
    engine="host",
    lowered_with=("tensorrt_rtx_cu13",),
)
