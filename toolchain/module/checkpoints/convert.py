"""From a checkpoint to a weights file of one model: all of its tensors and no others, with every change said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from toolchain.agent.temporary import TemporaryFolder
from toolchain.errors import ToolchainError, malformed, usage
from toolchain.module.checkpoints.match import Match, count_types, list_tied, match_table
from toolchain.module.checkpoints.read import Checkpoint, read_checkpoint
from toolchain.module.weights import read_state, save_weights
from toolchain.run.cache import hash_file
from toolchain.run.progress import Progress

# Of each kind of difference; a network of another depth differs in hundreds.
_LISTED_MAX = 24
# What --take calls tensors that are in no table inside of the file.
WHOLE_FILE = "."


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion did."""

    weights: str
    sha256: str
    tensors: int
    taken: str
    """The keys that lead to the table, joined by /, and behind them the prefix; "." is the file itself."""
    prefix_removed: str
    types_changed: Mapping[str, int]
    counters_reset: int
    """Counters of batch normalization that the file lacks, and nothing but a training reads."""
    same_as: tuple[str, ...]
    """Choices that hold the same values."""
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A table under one prefix, by the name that --take knows."""

    name: str
    match: Match


def convert_checkpoint(path: Path, model: nn.Module, out: Path, *, take: str | None, progress: Progress) -> Conversion:
    """Write a checkpoint's weights of the model as a safetensors file, where they are all there and nothing else is.

    Args:
        path: what torch.save or safetensors wrote.
        model: as its builder returns it; it has the weights afterwards.
        out: the safetensors file; where they come from is written beside it.
        take: which weights, where there are several; None takes the only ones.
        progress: where the reading is shown.

    Raises ToolchainError: several weights of the model and none named, or a name that is none of them (exit 2); a file
    that is corrupt or unsafe, or whose weights differ from the model's in a name, a shape or a type (exit 23).
    """
    state = read_state(model)
    with TemporaryFolder() as folder:
        checkpoint = read_checkpoint(path, folder, progress=progress)
        choices = _list_choices(checkpoint, state)
        chosen, same = _choose(choices, take, path)
    match = chosen.match
    _check(match, state, path, chosen.name)
    types = count_types(match.tensors, state)
    model.load_state_dict(dict(match.tensors))
    others = [choice.name for choice in choices if choice is not chosen and choice.name not in same]
    done = Conversion(
        weights=str(out),
        sha256="",
        tensors=len(match.tensors),
        taken=chosen.name,
        prefix_removed=match.prefix,
        types_changed=types,
        counters_reset=len(match.reset),
        same_as=tuple(same),
        left_out=(*others, *match.beside, *checkpoint.left_out),
    )
    provenance = {"converted_from": path.name, "checkpoint_sha256": hash_file(path), **asdict(done)}
    for key in ("weights", "sha256"):
        del provenance[key]
    sha256 = save_weights(model, out, provenance)
    return Conversion(**{**asdict(done), "sha256": sha256})


def _list_choices(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> list[_Choice]:
    """Return the tables of the file under every prefix that may be the model's; the best first."""
    choices = []
    for table in checkpoint.tables:
        matches = match_table(load_file(table.file), state)
        for match in [match for match in matches if match.is_of_model] or matches[:1]:
            parts = [part for part in (table.place, match.prefix.rstrip(".")) if part]
            choices.append(_Choice(name="/".join(parts) or WHOLE_FILE, match=match))
    choices.sort(key=lambda choice: (not choice.match.is_whole, -choice.match.share))
    return choices


def _choose(choices: Sequence[_Choice], take: str | None, path: Path) -> tuple[_Choice, list[str]]:
    """Return what to take, and the names of those that hold the same values."""
    fitting = [choice for choice in choices if choice.match.is_of_model]
    if take is not None:
        named = [choice for choice in choices if choice.name == take]
        named = named or [choice for choice in choices if take in choice.name.split("/")]
        if len(named) != 1:
            raise usage(
                f"there are no weights {take} in the checkpoint" if not named else f"several weights are called {take}",
                where=f"{path}: --take",
                expected=f"one of {_write_names(named or fitting or choices)}",
                found=take,
                fix="write one of them",
            )
        return named[0], []
    if not fitting:
        return choices[0], []
    first, *others = fitting
    same = [other.name for other in others if _is_same(first.match, other.match)]
    if len(same) < len(others):
        differing = [choice for choice in fitting if choice.name not in same]
        raise usage(
            "the checkpoint holds several weights of this model, and they differ",
            where=str(path),
            expected="--take and the name of one",
            found=", ".join(f"{choice.name}{'' if choice.match.is_whole else ' (in part)'}" for choice in differing),
            fix=f"add --take {_suggest(differing)}, or another one of them; an average (ema) is what most trainings evaluate",
        )
    return first, same


def _suggest(choices: Sequence[_Choice]) -> str:
    averaged = [choice.name for choice in choices if "ema" in choice.name.lower() and choice.match.is_whole]
    return averaged[0] if averaged else choices[0].name


def _write_names(choices: Sequence[_Choice]) -> str:
    return ", ".join(choice.name for choice in choices)


def _is_same(one: Match, other: Match) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        tensor.dtype == other.tensors[name].dtype and torch.equal(tensor, other.tensors[name])
        for name, tensor in one.tensors.items()
    )


def _check(match: Match, state: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Refuse (exit 23) weights that are not the model's to the last tensor, with all that differs."""
    differing = {
        "missing": match.missing,
        "unexpected": match.unexpected,
        "other shapes": match.shapes,
        "other types": match.types,
        "NaN or infinity": match.broken,
        "tied in the model, and of two values": list_tied(match, state) if match.is_whole else (),
    }
    if not any(differing.values()):
        return
    raise _refuse(differing, len(state), f"{path}: {name}")


def _refuse(differing: Mapping[str, Sequence[str]], count: int, where: str) -> ToolchainError:
    found = "; ".join(f"{len(names)} {kind}: {_list_names(names)}" for kind, names in differing.items() if names)
    if set(filter(differing.get, differing)) == {"NaN or infinity"}:
        fix = "take the checkpoint of an earlier epoch, or train again with a smaller learning rate"
    else:
        fix = (
            "correct model.build and model.build_options until the builder returns the model that was trained; "
            "nothing is loaded in part"
        )
    return malformed(
        "the checkpoint is of another model, and was not converted",
        where=where,
        expected=f"the model's {count} tensors and no others",
        found=found,
        fix=fix,
    )


def _list_names(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED_MAX
    return ", ".join(names[:_LISTED_MAX]) + (f" and {rest} more" if rest > 0 else "")
