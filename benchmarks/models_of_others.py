"""Models that others put on PyPI, deployed on the CPU with the metric of their task, on data that is made here.

    python -m benchmarks.models_of_others [MODEL ...] [--folder FOLDER] [--without-speed]
    python -m benchmarks.models_of_others --page LINES.jsonl

The first prints a JSON line a model, as benchmarks/tasks.py has them: the metric as a float model and as shipped, the drop with its interval,
speed and size; the second
writes such lines as the table of docs/models_of_others.md. FOLDER keeps the packages (about 220 MB), and for each model its files, its data and its recipe, which
`toolchain deploy FOLDER/MODEL/recipe.toml --target cpu` deploys by itself. Speech takes espeak-ng.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from benchmarks.tasks import deploy_model, replace_table, write_table

# What makes the data, and the files that lie beside the recipe.
_MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "reader": ("reader", ()),
    "nudenet": ("nudenet", ()),
    **dict.fromkeys(("pnet", "rnet", "onet"), ("mtcnn", ("mtcnn.py", "mtcnn_boxes.py"))),
    "speech": ("speech", ("speech_classes.py",)),
    "paraphrases": ("paraphrases", ("sentence.py",)),
}
PAGE = Path(__file__).parents[1] / "docs/models_of_others.md"
_BEGIN, _END = "<!-- table: python -m benchmarks.models_of_others -->\n", "<!-- end of the table -->\n"
_RECIPES = Path(__file__).parent / "others" / "recipes"
# An emulated board measures no speed: what a busy machine is asked for.
_SPEEDLESS = (
    'runtime = "onnxruntime"\nprecision = ["int8", "float32"]\nthreads = 1\nemulated = true\nsignature = "optional"\n'
)


def prepare_model(name: str, folder: Path, wheels: Path) -> Path:
    """Write a model, its data and its recipe into a folder, where they are not there yet, and return the recipe."""
    recipe = folder / "recipe.toml"
    if not recipe.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        maker, files = _MODELS[name]
        words = import_module(f"benchmarks.others.{maker}").make(folder, wheels)
        for file in files:
            shutil.copyfile(_RECIPES / file, folder / file)
        text = (_RECIPES / f"{name}.toml").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        recipe.write_text(text, encoding="utf-8")
    return recipe


def main() -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser("python -m benchmarks.models_of_others")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(_MODELS))
    parser.add_argument("--folder", type=Path, help="keep packages, data and recipes there")
    parser.add_argument("--without-speed", action="store_true", help="measure no speed, on a machine that is busy")
    parser.add_argument(
        "--page", type=Path, metavar="LINES.jsonl", help="write these rows into docs/models_of_others.md"
    )
    options = parser.parse_args()
    if unknown := set(options.models) - set(_MODELS):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    if options.page is not None:
        rows = [json.loads(line) for line in options.page.read_text(encoding="utf-8").splitlines()]
        page = replace_table(PAGE.read_text(encoding="utf-8"), write_table(rows), begin=_BEGIN, end=_END)
        PAGE.write_text(page, encoding="utf-8")
        return
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = "cpu"
        if options.without_speed:
            folder.mkdir(parents=True, exist_ok=True)
            target = str(folder / "without_speed.toml")
            Path(target).write_text(_SPEEDLESS, encoding="utf-8")
        for name in options.models or _MODELS:
            recipe = prepare_model(name, folder / name, folder / "packages")
            row = deploy_model(str(recipe), folder / name / "out", target=target)
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
