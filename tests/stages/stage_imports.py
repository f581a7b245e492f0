"""Builds every stage of a model in a process of its own, and prints which modules of ours it imported and which it hashed.

`python -m tests.stages.stage_imports RECIPE TARGET...` prints {"STAGE": {"imported": [...], "hashed": [...]}}. A child knows
the libraries of others, which take seconds to import, and nothing of ours: what it imports, the stage imports.
"""

import importlib
import io
import json
import os
import sys
import traceback
import types
from pathlib import Path

import accelerate.utils  # noqa: F401 - here, once for all children
import onnx.helper  # noqa: F401
import onnxruntime  # noqa: F401
import onnxscript  # noqa: F401
import torch.onnx  # noqa: F401

# What the child itself needs to begin; where a stage imports it too, it is hashed all the same.
OF_THE_CHILD = {
    "toolchain.agent.measure.cpu",
    "toolchain.agent.measure.facts",
    "toolchain.agent.measure.version",
    "toolchain.run.progress",
    "toolchain.run.screen",  # which progress is shown on
    "toolchain.agent.measure.quantities",
    "toolchain.project.target",
    "toolchain.project.target_contradictions",
    "toolchain.project.freshness",
}


def run_in_child(body, *arguments):
    """Return what a function returns, as JSON, in a child; the imports of one leave no trace in another."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as file:
                json.dump(body(*arguments), file)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child never runs on as its parent
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    if os.waitpid(child, 0)[1] != 0 or not text:
        raise SystemExit("a stage failed")
    return json.loads(text)


def build_stage(recipe_path, target_path, name, options):
    """Build one stage; return its result, the modules of ours that it imported, and those that its key holds."""
    assert not any(module.partition(".")[0] == "toolchain" for module in sys.modules)
    # The package gathers all stages; one alone is what is looked at.
    package = types.ModuleType("toolchain.stages")
    package.__path__ = [str(Path(__file__).parents[2] / "toolchain" / "stages")]
    sys.modules["toolchain.stages"] = package
    stage = importlib.import_module(f"toolchain.stages.{name}")
    from toolchain.project.recipe import read_recipe
    from toolchain.run.cache import Cache, Entry, cache_root
    from toolchain.run.sources import Sources
    from toolchain.stages.run import Run

    own = {module for module in OF_THE_CHILD if module not in sys.modules}
    from toolchain.agent.measure.facts import read_facts
    from toolchain.project.freshness import Freshness
    from toolchain.project.target import read_target
    from toolchain.run.progress import Progress

    hashed = set()
    hash_imports = Sources.hash_imports

    def remember(sources, root, *chosen, **options):
        hashed.update(sources.list_imports(root, *chosen, **options))
        return hash_imports(sources, root, *chosen, **options)

    Sources.hash_imports = remember
    made = {key: Entry(Path(folder), sha256, cached=True) for key, (folder, sha256) in options.get("made", {}).items()}
    with Progress(stream=io.StringIO(), quiet=True) as progress:
        run = Run(recipe=read_recipe(Path(recipe_path)), cache=Cache(cache_root()), progress=progress)
        weights = run.recipe.folder / run.recipe.model.weights
        target = read_target(Path(target_path))
        result = {
            "export": lambda: stage.export(run, weights),
            "optimize": lambda: stage.optimize(run, made["export"]),
            "golden": lambda: stage.golden(run, made["export"], weights),
            "compress": lambda: stage.compress(run, weights),
            "lower": lambda: stage.lower(
                run,
                made["optimize"],
                target,
                options["precision"],
                read_facts("onnxruntime"),
                exported=made["export"],
            ),
            "explain": lambda: stage.explain(run, made["optimize"], made["lower-int8"], "int8"),
            "bundle": lambda: stage.bundle(
                run,
                target,
                {(precision, target.runtime): made[f"lower-{precision}"] for precision in target.precision},
                reference=made["optimize"],
                original=made["export"],
                golden=made["golden"],
                float_golden=made["golden"],
                freshness=Freshness(counter=0, expires=None),
            ),
        }[name]()
        assert not any(record.cached for record in run.records)
    imported = {module for module in sys.modules if module.partition(".")[0] == "toolchain"} - own
    # What this function imports to call the stage, and the package that is made up above.
    imported -= {"toolchain", "toolchain.stages"}
    found = {"imported": sorted(imported), "hashed": sorted(hashed)}
    return [[str(result.folder), result.sha256] if isinstance(result, Entry) else None, found]


def main(folder):
    """Build the float model, what is compressed from it, and payloads for two runtimes."""
    found = {}
    made = {}
    recipe, board, jetson = (f"{folder}/{path}" for path in ("models/tiny/recipe.toml", "board.toml", "jetson.toml"))

    def build(label, name, *, recipe=recipe, target=board, **options):
        made[label], found[label] = run_in_child(build_stage, recipe, target, name, {"made": dict(made), **options})

    build("export", "export")
    build("optimize", "optimize")
    build("golden", "golden")
    for path in sorted(Path(folder, "models", "tiny").glob("learn-*.toml")):
        build(path.stem, "compress", recipe=str(path))
        made.pop(path.stem)
    build("lower-int8", "lower", precision="int8")
    build("lower-float32", "lower", precision="float32")
    build("explain", "explain")
    build("bundle", "bundle")
    for precision in ("int8", "fp16"):
        build(f"jetson-{precision}", "lower", target=jetson, precision=precision)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
