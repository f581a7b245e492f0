"""How a table of tensors fits a model: the prefix that its names have there, and everything that differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from toolchain.module.weights import fill_tied, find_tied, is_exact, is_finite

# What wrappers put into names, at any place: torch.compile, FSDP, activation checkpoints.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# A counter that batch normalization keeps for training; without it in the file the model's own stands, which is 0.
_COUNTER = ".num_batches_tracked"
# Below half of the model's tensors, by name and shape, a table is of something else: another network, an optimizer.
_SHARE_MIN = 0.5


@dataclass(frozen=True, kw_only=True)
class Match:
    """How one prefix of a table fits the model. Names are the model's but for `unexpected` and `beside`."""

    prefix: str
    """With the dot at its end; "" is none."""
    tensors: Mapping[str, Tensor]
    """Those of the model's names."""
    keys: frozenset[str]
    """The file's names that the prefix covers."""
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    """The file's names below the prefix that the model does not have."""
    beside: tuple[str, ...]
    """The file's names that are not below the prefix."""
    shapes: tuple[str, ...]
    """In words: a name, and both shapes."""
    types: tuple[str, ...]
    """In words: values that the model's type does not hold exactly."""
    broken: tuple[str, ...]
    """Names of tensors with NaN or infinity."""
    reset: tuple[str, ...]
    """Counters that the file lacks."""
    share: float
    """Of the model's tensors, those that are there by name and shape."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.unexpected or self.shapes or self.types or self.broken)

    @property
    def is_of_model(self) -> bool:
        """Whether it is the model's, by most of its tensors."""
        return self.share >= _SHARE_MIN


def match_table(table: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[Match]:
    """Return how a table fits the model's state, under every prefix that it may have; the best first.

    A prefix whose names another one covers, which fits as a whole, is none: parts of a model look like the model.
    """
    plain = {name: _unwrap(name, state) for name in table}
    times = Counter(plain.values())
    # Two names that would be one stay what they are: neither may silently take the other's place.
    named = {plain[name] if times[plain[name]] == 1 else name: (name, tensor) for name, tensor in table.items()}
    counts: Counter[str] = Counter()
    for name in named:
        parts = name.split(".")
        counts.update(
            "".join(f"{part}." for part in parts[:start])
            for start in range(len(parts))
            if ".".join(parts[start:]) in state
        )
    matches = [_match_prefix(prefix, named, state) for prefix in counts or [""]]
    matches = [_set_others_beside(match, matches) for match in matches]
    matches.sort(key=lambda match: (not match.is_whole, -match.share, len(match.prefix)))
    best = matches[0]
    return [match for match in matches if match is best or not (best.is_whole and match.keys <= best.keys)]


def _set_others_beside(match: Match, matches: Sequence[Match]) -> Match:
    """Return a match without the names of other weights of the model that lie below its own prefix, as `ema.` below none."""
    others: set[str] = set()
    for other in matches:
        if other.is_of_model and len(other.prefix) > len(match.prefix) and other.prefix.startswith(match.prefix):
            others |= other.keys
    found = others & set(match.unexpected)
    if not found:
        return match
    return replace(
        match,
        unexpected=tuple(name for name in match.unexpected if name not in found),
        beside=(*match.beside, *sorted(found)),
        keys=match.keys - found,
    )


def _unwrap(name: str, state: Mapping[str, Tensor]) -> str:
    """Return a name without what wrappers put into it."""
    return name if name in state else ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _match_prefix(prefix: str, named: Mapping[str, tuple[str, Tensor]], state: Mapping[str, Tensor]) -> Match:
    below = {name.removeprefix(prefix): item for name, item in named.items() if name.startswith(prefix)}
    tensors = {name: tensor for name, (_, tensor) in below.items() if name in state}
    fill_tied(tensors, find_tied(state))
    reset = tuple(name for name in state if name not in tensors and name.endswith(_COUNTER))
    tensors.update({name: state[name] for name in reset})
    same = [name for name, tensor in tensors.items() if tensor.shape == state[name].shape]
    counted = [name for name in state if not name.endswith(_COUNTER)]
    return Match(
        prefix=prefix,
        tensors=tensors,
        keys=frozenset(key for key, _ in below.values()),
        missing=tuple(name for name in state if name not in tensors),
        unexpected=tuple(key for name, (key, _) in below.items() if name not in state),
        beside=tuple(key for name, (key, _) in named.items() if not name.startswith(prefix)),
        shapes=tuple(
            f"{name} {_write_shape(tensors[name])} where the model has {_write_shape(state[name])}"
            for name in tensors
            if tensors[name].shape != state[name].shape
        ),
        types=tuple(
            f"{name} {_write_type(tensors[name])} where the model has {_write_type(state[name])}"
            for name in same
            if not _holds(tensors[name], state[name])
        ),
        broken=tuple(name for name in same if not is_finite(tensors[name], state[name])),
        reset=reset,
        share=sum(name in counted for name in same) / max(1, len(counted)),
    )


def _holds(found: Tensor, expected: Tensor) -> bool:
    """Return whether the model's type holds the values exactly, as float32 does those of float16, or 0.5 of float64."""
    if is_exact(found.dtype, expected.dtype):
        return True
    same_kind = found.is_floating_point() == expected.is_floating_point()
    cast = found.to(expected.dtype).to(found.dtype)
    return same_kind and torch.equal(cast.nan_to_num(), found.nan_to_num())


def _write_shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _write_type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def count_types(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Mapping[str, int]:
    """Return how many tensors change their type, by the change in words."""
    changed = [
        f"{_write_type(tensor)} to {_write_type(state[name])}"
        for name, tensor in tensors.items()
        if tensor.dtype != state[name].dtype
    ]
    return dict(Counter(changed))


def list_tied(match: Match, state: Mapping[str, Tensor]) -> Sequence[str]:
    """Return the tied weights that the file has two values for: the model could only have one."""
    return [
        f"{names[0]} and {name}"
        for names in find_tied(state)
        for name in names[1:]
        if names[0] in match.tensors and name in match.tensors
        if not torch.equal(match.tensors[names[0]], match.tensors[name])
    ]
