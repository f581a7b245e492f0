"""Where models and targets are found: in the working project first, among the built-in ones second."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import usage
from toolchain.recipe import Recipe, read_recipe
from toolchain.target import Target, read_target

_PACKAGE = Path(__file__).parent


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


def find_recipe(model: str) -> Recipe:
    """Return the recipe of a model: its name, or the path of a recipe."""
    if model.endswith(".toml"):
        return read_recipe(Path(model))
    models = list_models()
    if model not in models:
        raise usage(
            f"no model is called {model}",
            where="models/",
            expected=f"one of {', '.join(models)}, or the path of a recipe or of an .onnx file",
            found=model,
        )
    return read_recipe(models[model])


def find_target(name: str) -> Target:
    """Return the target of a name, or at the path of a TOML file."""
    if name.endswith(".toml"):
        return read_target(Path(name))
    targets = list_targets()
    if name not in targets:
        raise usage(
            f"no target is called {name}", where="targets/", expected=f"one of {', '.join(targets)}", found=name
        )
    return read_target(targets[name])


def _search_path(kind: str) -> list[Path]:
    """Return the project's folder and the built-in one: inside an installed package, beside a checkout's."""
    candidates = [Path.cwd() / kind, _PACKAGE / kind, _PACKAGE.parent / kind]
    return [folder for folder in candidates if folder.is_dir()]
