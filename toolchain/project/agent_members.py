"""Metrics, decoders and runtimes from outside: files that the agent's code does not lie beside, made known to it here.

On a board such a file lies among the agent's own, where the bundle's writer and the installer's sender put it.
"""

from __future__ import annotations

from toolchain.agent.measure.members import find_outside, register_member
from toolchain.project.members import Member, find_member
from toolchain.project.seams import DECODERS, METRICS, RUNTIMES, Seam


def use_member(seam: Seam, name: object, *, where: str | None = None) -> Member:
    """Return a metric, a decoder or a runtime that the agent's code in this process can find from now on.

    Raises ToolchainError (exit 2) as find_member does.
    """
    member = find_member(seam, name, where=where)
    if not member.is_ours:
        from toolchain.agent.measure import decoders, metrics, runtimes

        register_member({METRICS: metrics, DECODERS: decoders, RUNTIMES: runtimes}[seam], member.name, member.path)
    return member


def list_arguments(**names: str | None) -> list[str]:
    """Return the options by which an agent in another process here finds what this one uses: metrics=NAME, runtimes=NAME."""
    arguments = []
    for seam in (METRICS, DECODERS, RUNTIMES):
        name = names.get(seam.name)
        path = None if name is None else find_outside(seam.package, name)
        arguments += [] if path is None else ["--member", f"{seam.name}:{name}={path}"]
    return arguments
