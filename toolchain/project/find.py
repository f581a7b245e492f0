"""Where models and targets are found: in the working project first, among the built-in ones second."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from toolchain.agent.bundle_files import MANIFEST_NAME
from toolchain.errors import ToolchainError, missing, suggest_name, usage
from toolchain.project.device import Device
from toolchain.project.recipe import DataSection, ModelSection, Recipe, name_model, read_recipe
from toolchain.project.target import Target, read_target
from toolchain.run.names import check_path

_PACKAGE = Path(__file__).parent.parent
_FIX_EMPTY = "name one; if a script did, its variable is empty"


def list_models() -> dict[str, Path]:
    """Return the recipe of every model by name; other recipes of a model are NAME-STEM."""
    found: dict[str, Path] = {}
    for folder in _search_path("models"):
        for path in sorted(folder.glob("*/*.toml")):
            name = path.parent.name if path.stem == "recipe" else f"{path.parent.name}-{path.stem}"
            found.setdefault(name, path)
    return dict(sorted(found.items()))


def list_targets() -> dict[str, Path]:
    """Return the file of every target by name."""
    found: dict[str, Path] = {}
    for folder in _search_path("targets"):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def locate_model(model: str) -> tuple[str, Path | None]:
    """Return the name in reports, as find_recipe would give it, and the file that it would read; None where there is none.

    The file is only looked for, so that a recipe that cannot be read has a name too.
    """
    if model.endswith(".onnx"):
        return Path(model).stem, _if_file(Path(model))
    path = Path(model) if model.endswith(".toml") else list_models().get(model)
    return (model, None) if path is None else (name_model(path.resolve()), _if_file(path))


def find_bundle(model: str) -> Path | None:
    """Return the folder of a bundle that was made elsewhere; None where the word says something else.

    A name in models/ is that model, whatever lies in a folder of the name: `./NAME` is the folder.
    """
    path = Path(model)
    # Whatever a word is, a name that no file system takes among them.
    is_bundle = os.path.isfile(path / MANIFEST_NAME) and model not in list_models()  # noqa: PTH113 - Path's own raises
    return path if is_bundle else None


def locate_target(target: str) -> tuple[str, Path | None]:
    """Return the name in reports, as find_target would give it, and the file that it would read, as locate_model does."""
    path = Path(target) if target.endswith(".toml") else list_targets().get(target)
    return (target, None) if path is None else (path.resolve().stem, _if_file(path))


def find_recipe(model: str, *, calibration: Path | None = None, evaluates: bool = False) -> Recipe:
    """Return the recipe of a model: its name, the path of a recipe, or an ONNX file with its calibration data.

    evaluates: hold one half of that data back to evaluate on; all of it calibrates otherwise.
    """
    if model.endswith(".onnx"):
        return _write_onnx_recipe(Path(model), calibration, evaluates=evaluates)
    if calibration is not None:
        raise usage(
            "a recipe names its own data",
            where="--calibration",
            expected="an .onnx file beside it",
            found=model,
            fix="leave it out, and set [data] in the recipe",
        )
    if model.endswith(".toml"):
        return read_recipe(Path(model))
    models = list_models()
    if model not in models:
        raise usage(
            f"no model is called {model}" if model else "the model has no name",
            where="models/",
            expected=f"one of {', '.join(models)}, or the path of a recipe or of an .onnx file",
            found=model,
            fix=_suggest_model(model, models),
        )
    return read_recipe(models[model])


def find_target(name: str, *, precision: str | None = None) -> Target:
    """Return the target of a name or at the path of a TOML file, narrowed to one of its precisions if asked for."""
    if name.endswith(".toml"):
        target = read_target(Path(name))
    else:
        targets = list_targets()
        if name not in targets:
            raise usage(
                f"no target is called {name}" if name else "the target has no name",
                where="targets/",
                expected=f"one of {', '.join(targets)}, or the path of a TOML file",
                found=name,
                fix=_suggest_target(name, targets),
            )
        target = read_target(targets[name])
    if precision is None:
        return target
    if precision not in target.precision:
        raise usage(
            f"the target {target.name} does not list {precision}",
            where="--precision",
            expected=f"one of {', '.join(target.precision)}",
            found=precision,
            fix=f"choose one of them, or add it to {target.path}",
        )
    return target.narrow(precision)


def choose_target(device: Device | None, asked: str | None, *, precision: str | None) -> Target:
    """Return the target that was asked for, or the device's own; raises ToolchainError (exit 2) where they differ."""
    if device is None:
        return find_target(asked or "cpu", precision=precision)
    target = find_target(device.target, precision=precision)
    if asked is not None and find_target(asked).path != target.path:
        raise usage(
            f"the device {device.name} is of another target",
            where="--target",
            expected=device.target,
            found=asked,
            fix="leave --target out, or correct target in devices.toml",
        )
    return target


def _write_onnx_recipe(path: Path, calibration: Path | None, *, evaluates: bool) -> Recipe:
    """Return the recipe for an ONNX file that comes without one: its data, and the usual metric where it has labels."""
    if not path.is_file():
        raise usage(f"the ONNX file {path} does not exist", fix="check the path of the model")
    if calibration is None:
        raise usage(
            "an ONNX file needs calibration data",
            where="--calibration",
            expected="an .npz with one array per input, first axis = samples",
            found="none",
            fix="give real samples; random ones prove nothing",
        )
    if not calibration.exists():  # what is no regular file, its reader explains
        raise missing(f"there is no file {calibration}", fix="check the path, or write the file with numpy.savez")
    check_path(path.resolve(), "the ONNX file")
    options: dict[str, JsonValue] = {"path": str(check_path(calibration.resolve(), "the calibration data"))}
    if evaluates:
        options["split"] = True
    data = DataSection(name="npz", options=options)
    recipe = Recipe(
        model=ModelSection(onnx=path.name),
        data=data if _has_labels(calibration) else data.model_copy(update={"metric": "none"}),
    )
    return recipe.at(path.with_suffix(".toml"), name=path.stem)


def _has_labels(path: Path) -> bool:
    """Return whether an .npz has labels; what is wrong with the file is for those who read it to say."""
    from toolchain.agent.measure.targets import LABELS
    from toolchain.project.npz_file import list_names

    try:
        return LABELS in list_names(path)
    except ToolchainError:
        return False


def _suggest_model(model: str, models: Mapping[str, Path]) -> str:
    """Return the fix for a word that is no model's name: a folder's own recipe, a name that is near, or what else there is."""
    recipe = Path(model) / "recipe.toml"
    if os.path.isfile(recipe):  # noqa: PTH113 - Path's own raises for a name that no file system takes
        return f"write {recipe}"
    if not model:
        return _FIX_EMPTY
    if "/" in model:
        otherwise = "correct the path: it is that of a recipe.toml or of an .onnx file"
        return suggest_name(Path(model).name, models, otherwise=otherwise)
    return suggest_name(model, models, otherwise=f"correct its spelling, or write models/{model}/recipe.toml")


def _suggest_target(name: str, targets: Mapping[str, Path]) -> str:
    if not name:
        return _FIX_EMPTY
    otherwise = f"correct its spelling, or write targets/{name}.toml"
    if "/" in name:
        otherwise = "correct the path: it is that of a TOML file"
    return suggest_name(Path(name).name, targets, otherwise=otherwise)


def _if_file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _search_path(kind: str) -> list[Path]:
    """Return the project's folder and the built-in one: inside an installed package, beside a checkout's."""
    candidates = [Path.cwd() / kind, _PACKAGE / kind, _PACKAGE.parent / kind]
    return [folder for folder in candidates if folder.is_dir()]
