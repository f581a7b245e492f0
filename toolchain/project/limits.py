"""The limits that gates declare: read from a recipe's [gates] by what each gate says of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from toolchain.errors import suggest_name, usage
from toolchain.project.members import list_members, load_member
from toolchain.project.seams import GATES

if TYPE_CHECKING:
    from toolchain.agent.measure.gates.limit import Limit


def split_limits(
    table: Mapping[str, Any], own: Collection[str], *, where: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the keys of [gates] that a recipe checks itself, and the limits that gates have declared, checked.

    Args:
        table: as it was written.
        own: the keys that are no gate's own.
        where: the file.

    Raises:
        ToolchainError: (exit 2) an unknown key, with the known ones; a value that is no limit.
    """
    asked = {key: value for key, value in table.items() if key not in own}
    if not asked:  # gates are not even imported
        return dict(table), {}
    declared = list_limits()
    for key, value in asked.items():
        place = f"{where}: gates.{key}"
        if key not in declared:
            known = sorted({*own, *declared})
            raise usage(
                "unknown key in the recipe",
                where=place,
                expected=f"one of {', '.join(known)}",
                found=key,
                fix=suggest_name(key, known, otherwise="remove it"),
            )
        problem = declared[key].find_problem(value)
        if problem is not None:
            raise usage(
                f"{key} is no limit: {problem}",
                where=place,
                expected=declared[key].describe(),
                found=repr(value),
                fix=f"correct gates.{key}",
            )
    return {key: value for key, value in table.items() if key in own}, asked


def list_limits() -> dict[str, Limit]:
    """Return every limit that a gate declares, by its name."""
    gates = [load_member(member) for member in list_members(GATES).values()]
    return {limit.name: limit for gate in gates for limit in getattr(gate, "LIMITS", ())}
