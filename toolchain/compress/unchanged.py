"""What a method that changed nothing says: no success."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from toolchain.compress.draft import Draft, find_module
from toolchain.compress.layers import Weighted
from toolchain.errors import usage
from toolchain.module.structure import Edit, KeepZeros


def digest_weights(draft: Draft) -> dict[str, bytes]:
    """Return a hash of each parameter's shape and numbers, by name."""
    return {
        name: hashlib.blake2b(
            str(tuple(parameter.shape)).encode() + parameter.detach().cpu().contiguous().flatten().numpy().tobytes()
        ).digest()
        for name, parameter in draft.model.named_parameters()
    }


def refuse_unchanged(
    draft: Draft, weights: Mapping[str, bytes], edits: Sequence[Edit], *, method: str, where: str
) -> None:
    """Refuse (exit 2) a method after which the model is as before: weights and edits are those before it.

    That zeros are to stay is something new only of a layer that has some.
    """
    new = [edit for edit in draft.edits if edit not in edits and not _keeps_nothing(draft, edit)]
    if new or digest_weights(draft) != weights:
        return
    raise usage(
        f"{method} changed nothing",
        where=where,
        expected="weights, shapes or modules that differ from those before it",
        found="the same ones",
        fix=f"ask more of {method}, or leave it out of the recipe",
    )


def _keeps_nothing(draft: Draft, edit: Edit) -> bool:
    if not isinstance(edit, KeepZeros):
        return False
    layer = find_module(draft.model, edit.module)
    return not isinstance(layer, Weighted) or bool((layer.weight != 0).all())
