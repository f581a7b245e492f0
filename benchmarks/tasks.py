"""What becomes of one model of each task on the CPU: its metric as a float model and as shipped, speed and size.

    python -m benchmarks.tasks [MODEL[@METRIC] ...]
    python -m benchmarks.tasks --page LINES.jsonl

The first prints a JSON line a model, from the report of `toolchain deploy MODEL --target cpu`; the second writes such lines as
the table of docs/tasks.md: of several of one model and metric the last. MODEL is a name or the path of a recipe; @METRIC deploys it
under another metric than its recipe's. A model that does not pass has its row too, with its exit code.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from toolchain.agent.measure.quantities import write_difference, write_value
from toolchain.project.find import find_recipe
from toolchain.project.recipe import Recipe, read_recipe
from toolchain.search.results import relocate_recipe

MODELS: tuple[str, ...] = (
    "resnet8",
    "detector",
    "detector@map50",
    "models/detector/pruned.toml",
    "models/detector/pruned.toml@map50",
    "models/detector/distilled.toml",
    "models/detector/distilled.toml@map50",
    "models/detector/qat.toml",
    "segmenter",
    "keyword",
    "tabular",
    "anomaly",
    "reader",
    "language",
)
"""In the order of the table: names of models, or paths of recipes from the root of the repository, some by another metric."""

PAGE = Path(__file__).parents[1] / "docs/tasks.md"
_BEGIN, _END = "<!-- table: python -m benchmarks.tasks -->\n", "<!-- end of the table -->\n"
_HEAD = (
    "| task | model | metric | float | shipped as | as shipped | drop (99 % interval) | int8 of the MACs | faster than float | bytes | verdict |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def find_model(model: str, folder: Path) -> tuple[Recipe, str]:
    """Return the recipe of MODEL or MODEL@METRIC, and what deploys it: with another metric a recipe written into the folder."""
    name, _, metric = model.partition("@")
    recipe = find_recipe(name)
    if not metric:
        return recipe, name
    path = folder / recipe.name / "recipe.toml"
    path.parent.mkdir(parents=True)
    document = relocate_recipe(recipe, path.parent)
    document["task"] = {**document.get("task", {}), "metric": metric}
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    return read_recipe(path), str(path)


def deploy_model(model: str, out: Path, *, target: str = "cpu") -> dict[str, Any]:
    """Return the row of a model; what was not measured is None."""
    recipe, name = find_model(model, out.with_name(f"{out.name}-recipe"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "toolchain",
            "deploy",
            name,
            "--target",
            target,
            "--quiet",
            "--json",
            "--out",
            str(out),
        ],
        stdout=subprocess.PIPE,
        check=False,
    )
    return describe_row(recipe.task.name, recipe.name, done.returncode, json.loads(done.stdout or b"{}"))


def describe_row(task: str, model: str, exit_code: int, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a report as `toolchain deploy --json` prints it."""
    metric, latency = report.get("metric") or {}, report.get("latency") or {}
    numbers = ("name", "truth", "unit", "reference", "deployed", "drop", "drop_lower", "drop_upper", "samples")
    return {
        "task": task,
        "model": model,
        "exit_code": exit_code,
        "verdict": report.get("verdict"),
        "reasons": report.get("reasons"),
        "precision": report.get("precision"),
        "metric": {key: metric.get(key) for key in numbers},
        "sqnr_db": {row["output"]: row["sqnr_db"] for row in report.get("parity") or []},
        **{key: latency.get(key) for key in ("speedup", "speedup_low", "speedup_high")},
        "int8_share_macs": ((report.get("placement") or {}).get("precision_share_macs") or {}).get("int8"),
        "size_bytes": (report.get("artifact") or {}).get("size_bytes"),
    }


def take_last(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the last row of each model and metric, those of a model together, in the order of its first one."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {(row["model"], row["metric"]["name"]): row for row in rows}
    models = list(dict.fromkeys(model for model, _ in found))
    return [found[key] for key in sorted(found, key=lambda key: models.index(key[0]))]


def write_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of docs/tasks.md."""
    return "\n".join((*_HEAD, *map(_write_row, rows))) + "\n"


def replace_table(page: str, table: str, *, begin: str = _BEGIN, end: str = _END) -> str:
    """Return a page with another table between two marks of it."""
    before, begin, rest = page.partition(begin)
    _, end, after = rest.partition(end)
    return f"{before}{begin}\n{table}\n{end}{after}"


def _write_row(row: Mapping[str, Any]) -> str:
    metric, unit = row["metric"], row["metric"]["unit"]
    drop = speed = None
    if metric["drop"] is not None:
        drop = write_difference(metric["drop"], unit)
        if metric["drop_lower"] is not None:
            drop += (
                f" ({write_difference(metric['drop_lower'], unit)} to {write_difference(metric['drop_upper'], unit)})"
            )
    if row["speedup"] is not None:
        speed = f"{row['speedup']:.2f}×"
        if row["speedup_low"] is not None:
            speed += f" ({row['speedup_low']:.2f} to {row['speedup_high']:.2f})"
    name = f"`{metric['name']}`{' (agreement)' if metric.get('truth') == 'float' else ''}"
    values = [None if metric[key] is None else write_value(metric[key], unit) for key in ("reference", "deployed")]
    size = None if row["size_bytes"] is None else f"{row['size_bytes']:,}"
    share = row.get("int8_share_macs")  # lines of older runs have none
    share = None if share is None else f"{share:.1%}".replace("%", " %")
    verdict = row["verdict"] if row["exit_code"] == 0 else f"{row['verdict']} (exit {row['exit_code']})"
    cells: Sequence[str | None] = (
        row["task"], f"`{row['model']}`", name, values[0], row["precision"], values[1], drop, share, speed, size,
        verdict,
    )  # fmt: skip
    return "| " + " | ".join("–" if cell is None else cell for cell in cells) + " |"


def main() -> None:
    """Print a row for each model, or write the page."""
    parser = argparse.ArgumentParser("python -m benchmarks.tasks")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--page", type=Path, metavar="LINES.jsonl", help="write these rows into docs/tasks.md")
    options = parser.parse_args()
    if options.page is not None:
        rows = [json.loads(line) for line in options.page.read_text(encoding="utf-8").splitlines()]
        page = replace_table(PAGE.read_text(encoding="utf-8"), write_table(take_last(rows)))
        PAGE.write_text(page, encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        for index, model in enumerate(options.models or MODELS):
            sys.stdout.write(json.dumps(deploy_model(model, Path(folder) / str(index))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
