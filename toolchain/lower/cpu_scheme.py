"""How numbers become integers on a CPU, whose kernels are much alike in every runtime."""

from __future__ import annotations

from toolchain.lower.qdq_plan import Scheme

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""The features of an x86 CPU that sums int8 products in 32 bits, one of which is enough."""


def choose_scheme(arch: str, cpu_features: frozenset[str], requested: str) -> Scheme:
    """Return how int8 is stored for a CPU; `requested` is the target's activation_type.

    Without VNNI, x86 multiplies uint8 by int8 into saturating int16 (vpmaddubsw): two products of full range
    overflow, so weights keep 7 bits there, or more where a runtime's policy knows which two (lower/safe_scales.py). ARM's
    and VNNI's dot products sum in int32.
    """
    activation = "uint8" if requested == "auto" else requested
    saturates = arch == "x86_64" and not cpu_features & VNNI
    reason = f"{activation} activations, " + (
        "7-bit weights: this x86 CPU has no VNNI, its int8 products saturate at 16 bits"
        if saturates
        else "8-bit weights: the CPU sums int8 products in 32 bits"
    )
    return Scheme(
        activation_type="int8" if activation == "int8" else "uint8",
        symmetric=False,
        weight_bits=7 if saturates else 8,
        reason=reason,
        saturates=saturates,
    )
