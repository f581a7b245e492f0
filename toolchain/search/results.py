"""What a search leaves: trials.json, front.json, front.html, and the recipe of every point of the front that passed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from toolchain.agent.printable import escape_line
from toolchain.data import change_paths_of
from toolchain.project.find import list_targets
from toolchain.project.recipe import Recipe
from toolchain.run.atomic import write_atomically
from toolchain.search.front import find_front
from toolchain.search.objectives import Objectives
from toolchain.search.page import render_page
from toolchain.search.request import SearchRequest
from toolchain.search.trial import Draw, derive_recipe

SCHEMA = 1


def write_results(request: SearchRequest, records: Sequence[Mapping[str, Any]], objectives: Objectives) -> Path:
    """Write what the trials so far have found and return the page with their front."""
    out = request.out
    complete = [record for record in records if record["state"] == "complete" and "repeats" not in record]
    front = [complete[index] for index in find_front([objectives.list_costs(record) for record in complete])]
    front.sort(key=objectives.list_costs)
    shutil.rmtree(out / "best", ignore_errors=True)  # another trial may have beaten what was the best
    front = [{**record, "recipe": _write_recipe(request, record)} for record in front]
    head = {"schema": SCHEMA, "model": request.recipe.name, "target": request.target.name}
    _write_json(out / "trials.json", {**head, "trials": list(records)})
    _write_json(out / "front.json", {**head, "front": front})
    page = render_page(model=request.recipe.name, target=request.target.name, records=records, front=front)
    write_atomically(out / "front.html", page.encode())
    return out / "front.html"


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def _write_recipe(request: SearchRequest, record: Mapping[str, Any]) -> str | None:
    """Write the recipe of a trial that passed and return its path in OUT; None for one that did not."""
    if record["verdict"] != "pass":
        return None
    name = f"best/trial-{record['number']:04d}.toml"
    path = request.out / name
    draw = Draw(entries=record["entries"], precision=record["precision"])
    document = relocate_recipe(derive_recipe(request.recipe, draw), path.parent)
    command = f"toolchain deploy {path} --target {_find_target(request)} --precision {record['precision']}"
    text = f"# Trial {record['number']} of a search. {escape_line(command)}\n{tomli_w.dumps(document)}"
    write_atomically(path, text.encode())
    return name


def _find_target(request: SearchRequest) -> str:
    """Return what --target takes."""
    listed = list_targets().get(request.target.name)
    found_by_name = listed is not None and listed.resolve() == request.target.path
    return request.target.name if found_by_name else str(request.target.path)


def relocate_recipe(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Return the recipe as a TOML document that says the same from another folder: the paths in it are rewritten."""
    document: dict[str, Any] = recipe.model_dump(mode="json", exclude_unset=True, exclude_none=True)

    def move(path: str) -> str:
        return os.path.relpath(recipe.folder / path, folder.resolve())

    model = document["model"]
    build, _, function = model["build"].rpartition(":")
    model |= {"build": f"{move(build)}:{function}", "weights": move(model["weights"])}
    data, train = document["data"], document.get("train", {})
    task, output = document.get("task", {}), document.get("output", {})
    for table, key in ((task, "loss"), (task, "metric"), (data, "metric"), (output, "decode")):
        file, colon, own = table.get(key, "").rpartition(":")
        if colon:
            table[key] = f"{move(file)}:{own}"
    for name, section in ((data["name"], data), (train.get("data", data["name"]), train)):
        if "options" in section:
            section["options"] = change_paths_of(name, section["options"], move)
    for entry in document.get("compress", []):
        teacher = entry.get("teacher")
        if isinstance(teacher, str) and teacher.endswith(".toml"):
            entry["teacher"] = move(teacher)
    return document
