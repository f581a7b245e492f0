"""Compress: the recipe's methods in its order, each a stage of its own, so that a later one that changes costs only itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from toolchain.data import load_dataset
from toolchain.data.arranged import Arranged
from toolchain.errors import missing
from toolchain.module.files import identify_files
from toolchain.project.find import find_recipe
from toolchain.project.members import Member, find_member
from toolchain.project.recipe import Recipe, TrainSection
from toolchain.project.seams import DATA_SETS, METHODS, TASKS
from toolchain.run.cache import hash_file
from toolchain.stages.run import Run, write_json
from toolchain.stages.together import build_together

if TYPE_CHECKING:
    from torch import nn

    from toolchain.data.dataset import TrainingSamples


_TRAINS = frozenset({"finetune", "sparsify", "codebook_finetune"})
"""The keys of an entry that learns from the training set."""


def compress(run: Run, weights: Path | None) -> Path | None:
    """Return the weights of the compressed model; those that came in where the recipe compresses nothing.

    Raises ToolchainError (exit 2) for a wrong entry, before any of them is worked on.
    """
    if weights is None:
        return None
    for index, entry in enumerate(run.recipe.compress):
        weights = _apply_entry(run, weights, index, entry)
    return weights


def _apply_entry(run: Run, weights: Path, index: int, entry: Mapping[str, JsonValue]) -> Path:
    name = f"compress-{index + 1}-{entry.get('method')}"
    inputs: dict[str, Any] = {
        **run.identify_code(
            __name__,
            find_member(METHODS, entry.get("method"), where=f"{_name_place(run, index)}.method"),
            *(run.metric_members if "drop_max" in entry else ()),
            find_member(TASKS, run.recipe.task.name),
            *_list_training_data(run),
            # onnxscript: quantization-aware training exports the model to see where int8's pairs will stand.
            libraries=("torchvision", "onnxscript"),
        ),
        "entry": dict(entry),
        **run.identify_model(weights),
        **run.identify_calibration(len(run.data.calibration)),
    }
    if "drop_max" in entry:
        inputs["metric"] = run.describe_metric()
    # What trains, and importances that take gradients, read the training set.
    if not {*_TRAINS, "importance"}.isdisjoint(entry):
        inputs["training"] = _describe_training(run.recipe)
    if not _TRAINS.isdisjoint(entry):
        _hold_evaluation_apart(run, index, entry)
    if "teacher" in entry:
        # Its content says who it is, and its path differs from folder to folder.
        inputs["entry"] = {key: value for key, value in entry.items() if key != "teacher"}
        inputs["teacher"] = _identify_teacher(find_teacher(run.recipe, str(entry["teacher"])))

    def build(folder: Path, work: Path) -> None:
        from toolchain.compress import Draft, Material, check_equal, compress_draft, read_entry
        from toolchain.module.fit.show import show_training
        from toolchain.module.forward import bind_inputs
        from toolchain.module.objective import load_objective
        from toolchain.module.weights import save_weights
        from toolchain.stages.module import load_compressed

        places = [_name_place(run, number) for number in range(len(run.recipe.compress))]
        checked = [read_entry(*pair) for pair in zip(run.recipe.compress, places, strict=True)]
        draft = Draft(*load_compressed(run, weights))
        augmentation = run.recipe.train or TrainSection()
        calibration = run.data.calibration
        call = bind_inputs(draft.model, list(calibration.batch(0, 1)))
        material = Material(
            calibration=Arranged(calibration, call.names),
            scoring=run.scoring if "drop_max" in entry else None,
            objective=load_objective(run.recipe),
            load_training=lambda: _load_training(run),
            load_teacher=lambda teacher: _load_teacher(run, find_teacher(run.recipe, teacher)),
            finetune=checked[index][2],
            crop_padding=augmentation.crop_padding,
            flip=augmentation.flip,
            folder=work,
            on_progress=show_training(run.progress),
            where=places[index],
            keep_teacher_outputs=partial(_keep_teacher_outputs, run),
            show_steps=run.progress.steps,
        )
        reach = compress_draft(draft, entry, material)
        described = reach.describe(checked[index][0])
        notes = [*draft.notes, *([] if described is None else [described])]
        record = {"compress": dict(entry), "reach": asdict(reach), "notes": notes}
        path = folder / "weights.safetensors"
        save_weights(draft.model, path, record, edits=draft.edits)
        # What follows reads the file: a model that keeps what it computed from its weights, for example, differs.
        again, _ = load_compressed(run, path)
        check_equal(draft.model, again, material, step=f"{checked[index][0]}: reading the compressed weights again")

    folder = build_together(run, name, inputs, _in_work_folder(run, name, inputs, build))
    # From the record, so that a result from the cache says what it did not reach too.
    for note in json.loads((folder / "weights.json").read_text(encoding="utf-8"))["notes"]:
        run.note(note)
    return folder / "weights.safetensors"


def _hold_evaluation_apart(run: Run, index: int, entry: Mapping[str, JsonValue]) -> None:
    """Refuse (exit 2) an entry that would learn from what the model is judged on; what passed is not looked at again.

    It is no part of the entry's own key: who evaluates on other samples trains no other model.
    """
    inputs = {
        **run.identify_code(
            __name__, find_member(TASKS, run.recipe.task.name), *_list_training_data(run), libraries=("torchvision",)
        ),
        "training": _describe_training(run.recipe),
        "hard_weight": entry.get("hard_weight"),
        "parts": [run.data.calibration.sha256, run.data.evaluation.sha256, run.count_evaluation()],
    }

    def build(folder: Path) -> None:
        from toolchain.data.shared_samples import refuse_learning_from_evaluation
        from toolchain.module.objective import load_objective
        from toolchain.tasks.itself import INPUT

        training = _load_training(run)
        # Where no target is read, what calibrates is learned from (compress/material.py).
        if training is None and (entry.get("hard_weight") == 0 or set(load_objective(run.recipe).targets) <= {INPUT}):
            calibration = run.data.calibration
            training = Arranged(calibration, list(calibration.batch(0, 1)))
        if training is not None:
            refuse_learning_from_evaluation(
                training, run.data.evaluation, run.count_evaluation(), where=_name_place(run, index)
            )
        write_json(folder / "apart.json", {"learned_from": None if training is None else len(training)})

    run.cache.get_or_build("training-apart", inputs, build)


def _name_place(run: Run, index: int) -> str:
    return f"{run.recipe.path}: compress[{index}]"


def _list_training_data(run: Run) -> list[Member]:
    """Return the data set of [train], where it is another one than the recipe's."""
    section = run.recipe.train
    if section is None or section.data is None:
        return []
    return [find_member(DATA_SETS, section.data, where="train.data")]


def _in_work_folder(
    run: Run, name: str, inputs: Mapping[str, Any], build: Callable[[Path, Path], None]
) -> Callable[[Path], None]:
    """Return the build with a folder for its checkpoints, which an interrupted run leaves to the next one."""
    work = run.cache.find_work_folder(name, inputs)

    def build_in_folder(folder: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        os.utime(work)  # a folder that was used of late stays
        build(folder, work)
        if os.environ.get("RANK", "0") == "0":  # of several processes, the one that writes checkpoints there
            shutil.rmtree(work, ignore_errors=True)

    return build_in_folder


def find_teacher(recipe: Recipe, name: str) -> Recipe:
    """Return a teacher's recipe: a name in models/, or the path of a recipe, relative to the student's."""
    return find_recipe(str(recipe.folder / name) if name.endswith(".toml") else name)


def _identify_teacher(teacher: Recipe) -> dict[str, Any]:
    weights = teacher.folder / (teacher.model.weights or "")
    return {
        "builder": identify_files(teacher),
        "build": [Path(teacher.model.build or "").name, teacher.model.build_options],
        "weights": hash_file(weights) if weights.is_file() else None,  # loading it says what is missing
    }


def _keep_teacher_outputs(run: Run, name: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the folder in which a teacher's outputs lie for every student, made now where there is none."""
    key = {
        **inputs,
        **run.identify_code(__name__, *_list_training_data(run), libraries=("torchvision",)),
        "teacher": _identify_teacher(find_teacher(run.recipe, name)),
    }
    return run.cache.get_or_build("teacher", key, build).folder


def _load_teacher(run: Run, teacher: Recipe) -> nn.Module:
    from toolchain.module.builder import build_model
    from toolchain.module.lazy import materialize
    from toolchain.module.weights import load_weights

    model = build_model(teacher)
    materialize(model, run.data.calibration.batch(0, 1))
    weights = teacher.folder / (teacher.model.weights or "")
    if not weights.is_file():
        raise missing(
            f"the teacher {teacher.name} has no weights", where=str(weights), fix=f"make train MODEL={teacher.path}"
        )
    load_weights(model, weights)
    return model.eval()


def _describe_training(recipe: Recipe) -> list[Any]:
    """Return what says which samples a training sees, and how augmented; their hash would mean loading them every time."""
    section = recipe.train or TrainSection()
    # What judges a model changes nothing of what it learns.
    task = recipe.task.model_dump(exclude={"metric", "metric_options", "truth"})
    data = [recipe.data.name, recipe.data.options] if section.data is None else [section.data, section.options]
    return [*data, section.crop_padding, section.flip, task]


def _load_training(run: Run) -> TrainingSamples | None:
    section = run.recipe.train
    if section is None or section.data is None:
        return run.data.train
    return load_dataset(section.data, section.options, folder=run.recipe.folder).train
