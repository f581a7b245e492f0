"""Writes models/NAME from what a user has: a Python file, a checkpoint or an ONNX file. Whole or not at all."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.agent.measure.targets import list_ragged_names
from toolchain.begin.brought import WEIGHTS, Brought, Tensor
from toolchain.begin.guess_task import Guess, guess_task
from toolchain.begin.guess_text import guess_text
from toolchain.begin.recipe_text import SCHEMA, RecipeParts, write_recipe
from toolchain.data.npz import TEXT
from toolchain.errors import explain_storage, missing, usage
from toolchain.project.members import list_members, load_member
from toolchain.project.npz_file import open_arrays
from toolchain.project.recipe import Recipe, read_recipe
from toolchain.project.schema import write_recipe_schema
from toolchain.project.seams import TASKS
from toolchain.run.atomic import write_atomically
from toolchain.run.names import check_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from toolchain.project.stored_rows import StoredRows
    from toolchain.run.progress import Progress

# A model names a folder in models/ and in dist/.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
_DATA = "data.npz"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What was written, what was guessed on the way, and what only the user can do."""

    recipe: str
    said: tuple[str, ...]
    missing: tuple[str, ...]
    next: str
    """The command to go on with, once nothing is missing."""


def begin_model(
    name: str, source: str, *, data: Path | None, weights: Path | None, take: str | None, progress: Progress
) -> Begun:
    """Write models/NAME in the working folder.

    Args:
        name: of the model.
        source: FILE.onnx, FILE.py, FILE.py:FUNCTION or a checkpoint.
        data: an .npz of real samples; None leaves it to be written.
        weights: a checkpoint of the model in a Python file.
        take: which weights of it, where it holds several.
        progress: where the reading is shown.

    Raises ToolchainError: a name that is none or taken, a source or data that do not fit (exit 2), files that are missing
    (3), unsafe or broken (23), a folder that cannot be written (14). Nothing is left then.
    """
    folder = _choose_folder(name)
    path, function = _split_source(source)
    arrays = {} if data is None else _read_arrays(data)
    # As deep as the folder that it becomes, so that paths hold, and not in models/, where a killed run would leave a model.
    holder = Path(f".init-{secrets.token_hex(8)}")
    staged = holder / name
    try:
        with explain_storage():
            staged.mkdir(parents=True)
        brought = _bring(path, function, name, staged, arrays, weights=weights, progress=progress)
        inputs, targets = _sort_arrays(brought, arrays, data)
        guess = guess_task(brought.inputs or inputs, brought.outputs, targets)
        text_guess = guess_text(brought.inputs or inputs, path.parent)
        can_train = "build" in brought.model
        options = _write_options(data, targets, staged)
        text = write_recipe(
            RecipeParts(
                source=source,
                model=brought.model,
                data=options,
                guess=guess,
                tensors=_list_tensors(brought, inputs),
                can_train=can_train,
                text=() if text_guess is None else tuple(text_guess.write(has_texts=_has_texts(arrays))),
            )
        )
        with explain_storage():
            for file, content in brought.files.items():
                if isinstance(content, bytes):
                    (staged / file).write_bytes(content)
                else:
                    shutil.copyfile(content, staged / file)
            if text_guess is not None and text_guess.file is not None:
                shutil.copyfile(text_guess.file, staged / text_guess.file.name)
            (staged / "recipe.toml").write_text(text, encoding="utf-8")
        recipe = read_recipe(staged / "recipe.toml")
        converted = []
        if weights is not None:
            converted = [_convert(recipe, weights, staged, take=take, progress=progress)]
        with explain_storage():
            folder.parent.mkdir(exist_ok=True)
            _write_schema(folder.parent)
            os.rename(staged, folder)  # noqa: PTH104 - a folder that came meanwhile is never replaced
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    lacking = [*brought.missing]
    if can_train and weights is None and not any("toolchain convert" in each for each in lacking):
        lacking.append(
            f"weights: toolchain convert CHECKPOINT --model {name}, or [train] in the recipe and toolchain train {name}"
        )
    if data is None:
        lacking.append(_describe_data(brought, folder))
    return Begun(
        recipe=str(folder / "recipe.toml"),
        said=(
            *brought.said,
            *converted,
            _describe_guess(guess, has_data=data is not None),
            *([] if text_guess is None else [text_guess.describe()]),
        ),
        missing=tuple(lacking),
        next=f"toolchain deploy {name} --target cpu",
    )


def _choose_folder(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise usage(
            "a model cannot have this name",
            where="NAME",
            expected="letters of ASCII, digits, _ and -, 64 of them at the most: it names a folder in models/",
            found=name,
            fix="give it another name, such as my-model",
        )
    folder = Path("models") / name
    if os.path.lexists(folder):
        raise usage(
            f"there is a model {name} already",
            where=str(folder),
            expected="no folder of this name",
            found="one",
            fix="choose another name, or remove the folder",
        )
    return folder


def _split_source(source: str) -> tuple[Path, str | None]:
    """Return the file that --from names, and the function behind it."""
    file, colon, function = source.rpartition(":")
    path, named = (Path(file), function) if colon and file.endswith(".py") else (Path(source), None)
    known = (".py", ".onnx", *_CHECKPOINTS)
    if path.suffix not in known:
        raise usage(
            "a model does not come from such a file",
            where="--from",
            expected=f"a file that ends with {', '.join(known)}, or FILE.py:FUNCTION",
            found=source,
            fix="name the file that builds the model, its checkpoint, or its ONNX file",
        )
    if not path.is_file():
        raise usage(
            "there is no such file to begin from",
            where=f"--from {source}",
            expected="a file that you may read",
            found="a folder" if path.is_dir() else "something else" if path.exists() else "nothing",
            fix="correct the path",
        )
    check_path(path.resolve(), "the model")
    return path, named


def _read_arrays(data: Path) -> Mapping[str, NDArray[Any] | StoredRows]:
    check_path(data.resolve(), "the data")
    if not data.exists():
        raise missing(f"there is no file {data}", fix="check the path, or write the file with numpy.savez")
    return open_arrays(data)


def _bring(
    path: Path,
    function: str | None,
    name: str,
    staged: Path,
    arrays: Mapping[str, NDArray[Any] | StoredRows],
    *,
    weights: Path | None,
    progress: Progress,
) -> Brought:
    if path.suffix != ".py" and weights is not None:
        raise usage(
            "weights belong to a model in a Python file",
            where="--weights",
            expected="--from FILE.py beside it",
            found=f"--from {path}",
            fix="leave --weights out, or name the Python file with --from",
        )
    if path.suffix == ".onnx":
        from toolchain.begin.bring_onnx import bring_onnx

        return bring_onnx(path, staged, progress=progress)
    if path.suffix != ".py":
        from toolchain.begin.bring_checkpoint import bring_checkpoint

        return bring_checkpoint(path, name, progress=progress)
    from toolchain.begin.bring_module import bring_module

    known = _list_targets()
    read = {each: array for each, array in arrays.items() if each not in known and not _is_text(each, arrays)}
    sample = {each: array[:1] for each, array in read.items() if array.ndim > 0}
    return bring_module(path, function, staged, sample or None)


def _sort_arrays(
    brought: Brought, arrays: Mapping[str, NDArray[Any] | StoredRows], data: Path | None
) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    """Return what the data has as inputs, and the names of its targets."""
    known = _list_targets()
    names = [each.name for each in brought.inputs]
    inputs = [each for each in arrays if (each in names if names else each not in known and not _is_text(each, arrays))]
    if data is not None and names and not inputs:
        raise usage(
            "the data hold none of the model's inputs",
            where=str(data),
            expected=", ".join(names),
            found=", ".join(arrays),
            fix="write one array per input, under its name, with numpy.savez",
        )
    tensors = tuple(
        Tensor(name=each, dtype=str(arrays[each].dtype), axes=("samples", *arrays[each].shape[1:])) for each in inputs
    )
    return tensors, tuple(each for each in arrays if each not in inputs and not _is_text(each, arrays))


def _has_texts(arrays: Mapping[str, NDArray[Any] | StoredRows]) -> bool:
    return any(_is_text(each, arrays) for each in arrays)


def _is_text(name: str, arrays: Mapping[str, NDArray[Any] | StoredRows]) -> bool:
    """Return whether an array has what the tokens of the samples were made of."""
    return name == TEXT and arrays[name].dtype.kind == "U"


def _list_targets() -> set[str]:
    """Return what the arrays of every task's targets are called."""
    tasks = [load_member(member) for member in list_members(TASKS).values()]
    names = {name for task in tasks for name in task.TARGETS if name != "input"}
    return names | {array for name in names for array in list_ragged_names(name)}


def _write_options(data: Path | None, targets: Sequence[str], staged: Path) -> dict[str, object]:
    path = _DATA if data is None else os.path.relpath(data.resolve(), staged.resolve())
    options: dict[str, object] = {"path": path, "split": True}
    bases = list(dict.fromkeys(_name_target(each) for each in targets))
    if bases and bases != ["labels"]:
        options["targets"] = bases
    return options


def _name_target(array: str) -> str:
    base = array.rpartition(".")[0]
    return base if base and array in list_ragged_names(base) else array


def _list_tensors(brought: Brought, inputs: Sequence[Tensor]) -> tuple[str, ...]:
    read = brought.inputs or inputs
    lines = [("input", each) for each in read] + [("output", each) for each in brought.outputs]
    return tuple(f"{kind}: {each}" for kind, each in lines)


def _describe_data(brought: Brought, folder: Path) -> str:
    arrays = ", ".join(map(str, brought.inputs)) or "one array per input"
    return (
        f"data: real samples in {folder / _DATA}, written by numpy.savez: {arrays}, the first axis counts samples, a few "
        "hundred of them; with labels (samples,) where there are some; or another data set in [data]"
    )


def _describe_guess(guess: Guess, *, has_data: bool) -> str:
    if guess.task is None:
        return f"no task was guessed: {guess.because}"
    if guess.has_targets:
        return f"a guess: the task is {guess.task}, because {guess.because}"
    needs = "the data have" if has_data else "there are"
    return f"a guess: the task is {guess.task}, because {guess.because}; {needs} no targets yet, so no metric judges"


def _convert(recipe: Recipe, weights: Path, staged: Path, *, take: str | None, progress: Progress) -> str:
    from toolchain.module.builder import build_model
    from toolchain.module.checkpoints.convert import WHOLE_FILE, convert_checkpoint

    done = convert_checkpoint(weights, build_model(recipe), staged / WEIGHTS, take=take, progress=progress)
    prefix = f", its prefix {done.prefix_removed} removed" if done.prefix_removed else ""
    place = "" if done.taken == WHOLE_FILE else f", {done.taken}"
    return f"{WEIGHTS} are {done.tensors} tensors of {weights}{place}{prefix}"


def _write_schema(models: Path) -> None:
    """Write what editors check recipes by, where it is not there yet."""
    path = models / SCHEMA
    if not path.exists():
        write_atomically(path, f"{json.dumps(write_recipe_schema(), indent=1)}\n".encode())
