"""Applies one entry of a recipe's [[compress]]: a method, and the training that wins back what it costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, cast

from pydantic import BaseModel

from toolchain.compress.draft import Draft
from toolchain.compress.layers import list_ties
from toolchain.compress.material import Material
from toolchain.compress.prepare import prepare_draft
from toolchain.compress.reach import Reach, measure_reach, take_inventory
from toolchain.compress.unchanged import digest_weights, refuse_unchanged
from toolchain.errors import usage
from toolchain.project.compress_entry import EntrySection, FinetuneSection
from toolchain.project.members import Member, blame_member, find_member, load_member
from toolchain.project.seams import METHODS
from toolchain.project.toml_file import check_table


class Method(Protocol):
    """What a module of a method offers."""

    SUMMARY: str
    """One line: what it does."""
    TRAINS: bool
    """Whether it trains by itself, with the entry's finetune; the others are followed by it where there is one."""
    Options: type[BaseModel]

    def apply(self, draft: Draft, options: Any, material: Material) -> Collection[str] | None:
        """Compress the draft in place; return the modules whose weights it worked on, None for all of the model's.

        Raises ToolchainError (exit 2) that names the layer where the method cannot do what is asked.
        """


def read_entry(entry: Mapping[str, Any], where: str) -> tuple[str, Any, FinetuneSection | None]:
    """Return an entry's method, its options and its training.

    Raises ToolchainError (exit 2): no method, an unknown one, a wrong option.
    """
    table = dict(entry)
    name = table.pop("method", None)
    method = _load_method(name, where)
    common = {key: table.pop(key) for key in EntrySection.model_fields if key in table}
    return (
        str(name),
        check_table(method.Options, table, what=f"the options of {name}", where=where),
        check_table(EntrySection, common, what="the entry", where=where).finetune,
    )


def compress_draft(draft: Draft, entry: Mapping[str, Any], material: Material) -> Reach:
    """Apply an entry to the draft, in place; return how much of the model's weights it worked on.

    Raises ToolchainError: exit 2 as read_entry does, and where the method does not fit the model or its place in the
    recipe, or changes nothing; exit 18 where a step that claims to change nothing changes an output; exit 24 where a training diverges.
    """
    name, options, finetune = read_entry(entry, material.where)
    method = _load_method(name, material.where)
    if fixed := draft.list_fixed():
        raise usage(
            f"{name} would change weights that are quantized already",
            where=material.where,
            expected=f"{name} before the method that quantizes",
            found=f"{fixed[0]} is quantized",
            fix="change the order of the entries",
        )
    if method.TRAINS:
        material.require_finetune(name)
    prepare_draft(draft, material)
    inventory, ties = take_inventory(draft.model), list_ties(draft.model)
    weights, edits = digest_weights(draft), draft.edits
    with blame_member(_find_method(name, material.where)):
        worked_on = method.apply(draft, options, material)
    reach = measure_reach(inventory, worked_on, options)
    if reach.share == 0:
        raise usage(
            f"{name} reaches none of the model's weights",
            where=material.where,
            expected="layers that it can work on",
            found=", ".join(f"{weight.name} ({weight.kind})" for weight in reach.unreached) or "all skipped",
            fix="leave this method out of the recipe, or correct layers and skip",
        )
    _refuse_parted(draft, ties, name, material)
    refuse_unchanged(draft, weights, edits, method=name, where=material.where)
    if finetune is not None and not method.TRAINS:
        material.fit(draft, finetune, name="finetune")
    draft.model.eval()
    return reach


def _refuse_parted(draft: Draft, ties: Sequence[tuple[str, ...]], method: str, material: Material) -> None:
    """Refuse a method that gave layers that share a weight each one of its own: the builder's model ties them again."""
    own = dict(draft.model.named_parameters(remove_duplicate=False))
    for tie in ties:
        left = [own[name] for name in tie if name in own]
        if any(parameter is not left[0] for parameter in left):
            layers = ", ".join(f'"{name.rpartition(".")[0]}"' for name in tie)
            raise usage(
                f"{method} would part a weight that several layers share",
                where=material.where,
                expected=f"one weight for {', '.join(tie)}",
                found="different ones",
                fix=f"skip = [{layers}], or build the model with a weight for each",
            )


def _load_method(name: object, where: str) -> Method:
    return cast("Method", load_member(_find_method(name, where)))


def _find_method(name: object, where: str) -> Member:
    return find_member(METHODS, name, where=f"{where}.method")
