"""The keys of the stages: a change asks anew for what depends on it, and for nothing else. Nothing is built here."""

import dataclasses
import io
import json
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import toolchain
from toolchain import stages
from toolchain.agent.measure.cpu import read_cpu
from toolchain.agent.measure.facts import Facts
from toolchain.agent.measure.traits import find_traits, list_runtimes
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.freshness import Freshness
from toolchain.project.recipe import read_recipe
from toolchain.project.target import read_target
from toolchain.run.cache import Entry, cache_root, hash_json
from toolchain.run.progress import Progress
from toolchain.run.sources import Sources
from toolchain.stages.bundle import merge_gates

RECIPE = """
[model]
build = "model.py:build"
build_options = { classes = 4 }
weights = "weights.safetensors"
[data]
name = "npz"
options = { path = "CALIBRATION", evaluation = "EVALUATION" }
calibration_samples = 8
[train]
epochs = 2
[[compress]]
method = "magnitude_pruning"
amount = 0.5
[gates]
metric_drop_max = 0.01
"""

TARGET = """
runtime = "onnxruntime"
precision = ["int8", "float32"]
signature = "optional"
"""

PACKAGE = Path(toolchain.__file__).parent
FRESHNESS = Freshness(counter=0, expires=None)
ARCH, CPU, CPU_FEATURES = read_cpu()

FACTS = Facts(
    arch=ARCH,
    cpu=CPU,
    cpu_features=CPU_FEATURES,
    os="",
    python="",
    runtime="onnxruntime",
    runtime_version="1.0",
    accelerator=None,
)

FLOAT = {"evidence", "export", "optimize", "golden"}
COMPRESSED = {"compress-1-magnitude_pruning", "export compressed", "optimize compressed", "golden compressed"}
LOWER = {"lower-int8", "lower-float32"}
JUDGED = {"evidence", "golden", "golden compressed"}
ALL = FLOAT | COMPRESSED | LOWER | {"bundle"}


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """Keep what is found in source files for all tests, and out of the user's cache."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class KeyCache:
    """A cache that has everything: the content of an entry stands for its key."""

    def __init__(self, folder):
        self.folder = folder
        self.keys = []
        self.inputs = {}

    def has(self, stage, inputs):
        return True

    def find(self, stage, inputs):
        return None

    def find_work_folder(self, stage, inputs):
        return self.folder / "work"

    def get_or_build(self, stage, inputs, build):
        self.inputs[stage] = inputs
        key = hash_json({"stage": stage, **inputs})
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.safetensors").write_text(key)
        (folder / "evidence.json").write_text('{"warnings": []}')
        (folder / "lowering.json").write_text("{}")
        (folder / "weights.json").write_text('{"notes": []}')
        names = {name for name, _ in self.keys}
        self.keys.append((f"{stage} compressed" if stage in names else stage, key))
        return Entry(folder, key, cached=True)


@pytest.fixture
def project(tmp_path):
    """Return a folder with everything that a run reads."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "weights.safetensors").write_text("weights")
    (folder / "model.py").write_text("def build(classes): ...\n")
    paths = {"CALIBRATION": folder / "calibration.npz", "EVALUATION": folder / "evaluation.npz"}
    text = RECIPE
    for name, path in paths.items():
        np.savez(path, input=np.full((16, 3), len(name), np.float32), labels=np.zeros(16, np.int64))
        text = text.replace(name, str(path))
    (folder / "recipe.toml").write_text(text)
    (folder / "board.toml").write_text(TARGET)
    return folder


def list_keys(project, facts=FACTS, freshness=FRESHNESS, package=PACKAGE):
    """Return the key of every stage of a run, in the pipeline's order."""
    return dict(run_stages(project, facts, freshness, package).keys)


def run_stages(project, facts=FACTS, freshness=FRESHNESS, package=PACKAGE):
    """Return the cache that saw every stage of a run; the package is where the toolchain's own code lies."""
    recipe, target = read_recipe(project / "recipe.toml"), read_target(project / "board.toml")
    cache = KeyCache(project / "entries")
    with Progress(stream=io.StringIO(), quiet=True) as progress:
        sources = Sources(package, memo=cache_root() / "sources.json")
        run = stages.Run(recipe=recipe, cache=cache, progress=progress, sources=sources)
        weights = stages.train(run)
        stages.evidence(run, weights, None)
        exported = stages.export(run, weights)
        model = stages.optimize(run, exported)
        golden = stages.golden(run, exported, weights)
        small = stages.compress(run, weights)
        small_export = stages.export(run, small)
        small_model = stages.optimize(run, small_export)
        small_golden = stages.golden(run, small_export, small)
        lowered = {
            (name, target.runtime): stages.lower(run, small_model, target, name, facts, exported=small_export)
            for name in target.precision
        }
        made_from = {"reference": model, "original": exported, "golden": small_golden, "float_golden": golden}
        stages.bundle(run, target, lowered, **made_from, freshness=freshness)
    return cache


def list_changed(before, after):
    assert before.keys() == after.keys()
    assert before.keys() - {"training-apart"} == ALL  # which an entry that learns asks for before it
    return {name for name in before if before[name] != after[name]}


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("changed", [Freshness(1, None), Freshness(0, "2027-01-31T00:00:00Z")], ids=str)
def test_another_freshness_asks_for_another_bundle_alone(project, changed):
    assert list_changed(list_keys(project), list_keys(project, freshness=changed)) == {"bundle"}


def test_nothing_changes_without_a_change(project):
    assert list_keys(project) == list_keys(project)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("[train]", "# a comment\n[train]", set()),
        ("metric_drop_max = 0.01", "metric_drop_max = 0.02", {"bundle"}),
        ("[gates]", "[gates]\nint8_share_min = 0.5", {"bundle"}),
        ("[gates]", "[gates]\nsqnr_db_min = { int8 = 30 }", {"lower-int8", "bundle"}),
        ("[gates]", '[quantize]\ncalibration = "entropy"\n[gates]', {"lower-int8", "bundle"}),
        ("[gates]", '[quantize]\nkeep_float = ["conv"]\n[gates]', {"lower-int8", "bundle"}),
        ("calibration_samples = 8", "calibration_samples = 9", {"evidence", "lower-int8", "bundle"}),
        ("amount = 0.5", "amount = 0.6", COMPRESSED | LOWER | {"bundle"}),
        ("classes = 4", "classes = 5", ALL),
        ("calibration_samples = 8", "evaluation_samples = 4", JUDGED | {"lower-int8", "bundle"}),
        ("calibration_samples = 8", 'metric = "none"', JUDGED | {"lower-int8", "bundle"}),
    ],
)
def test_a_change_of_the_recipe_asks_for_what_depends_on_it(project, old, new, changed):
    if "none" in new:
        edit(project / "recipe.toml", "metric_drop_max = 0.01", "")
    before = list_keys(project)
    edit(project / "recipe.toml", old, new)
    assert list_changed(before, list_keys(project)) == changed


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("threads = 2", LOWER | {"bundle"}),
        ('activation_type = "int8"', LOWER | {"bundle"}),
        ("emulated = true", LOWER | {"bundle"}),  # an emulated board times nothing
        ("[gates]\nlatency_p90_ms_max = 5", {"bundle"}),
        ('[compatible]\narch = "aarch64"', {"bundle"}),
    ],
)
def test_a_change_of_the_target_asks_for_what_depends_on_it(project, line, changed):
    before = list_keys(project)
    (project / "board.toml").write_text(f"{TARGET}\n{line}\n")
    assert list_changed(before, list_keys(project)) == changed


def test_the_order_of_preference_is_part_of_the_bundle(project):
    before = list_keys(project)
    edit(project / "board.toml", '["int8", "float32"]', '["float32", "int8"]')
    assert list_changed(before, list_keys(project)) == {"bundle"}


def test_another_cpu_is_lowered_for_anew(project):
    before = list_keys(project)
    after = list_keys(project, dataclasses.replace(FACTS, cpu="two"))
    assert list_changed(before, after) == LOWER | {"bundle"}


def test_layers_are_timed_only_for_a_board_with_the_cpu_of_this_machine(project):
    here = dataclasses.replace(FACTS, cpu_features=list(CPU_FEATURES))  # as JSON brings them
    assert run_stages(project, here).inputs["lower-int8"]["quantize"]["choose_by_measurement"] is True
    for change in ({"arch": "other"}, {"cpu": "other"}, {"cpu_features": ("other",)}):
        inputs = run_stages(project, dataclasses.replace(here, **change)).inputs["lower-int8"]
        assert inputs["quantize"]["choose_by_measurement"] is False


def test_this_machine_stands_in_for_boards_of_its_architecture_alone(project):
    target = read_target(project / "board.toml")
    own = stages.read_stand_in(target)
    assert (own.arch, own.cpu, own.cpu_features) == read_cpu()
    with (project / "board.toml").open("a") as file:
        file.write('[compatible]\narch = "riscv64"\ncpu_features = ["v"]\n')
    other = stages.read_stand_in(read_target(project / "board.toml"))
    assert (other.arch, other.cpu, other.cpu_features) == ("riscv64", "unknown", ("v",))


@pytest.mark.parametrize("name", ["weights.safetensors", "model.py"])
def test_other_weights_or_another_model_ask_for_everything(project, name):
    before = list_keys(project)
    (project / name).write_text("x = 1\n")
    assert list_changed(before, list_keys(project)) == ALL


@pytest.mark.parametrize(
    ("name", "changed"),
    [("calibration", ALL), ("evaluation", JUDGED | {"bundle"})],
)
def test_other_data_asks_for_what_looks_at_it(project, name, changed):
    before = list_keys(project)
    np.savez(project / f"{name}.npz", input=np.ones((16, 3), np.float32), labels=np.zeros(16, np.int64))
    after = list_changed(before, list_keys(project))
    assert after == changed


@pytest.mark.parametrize(
    ("library", "direct"),
    [
        ("torch", {"compress-1-magnitude_pruning", "evidence", "export", "golden"}),
        ("torchvision", {"compress-1-magnitude_pruning", "export", "golden"}),
        ("onnxscript", {"export", "optimize"}),
        ("onnxsim", {"optimize"}),
        ("onnx", {"export", "optimize", "lower-int8", "lower-float32"}),
        ("onnxruntime", {"export", "optimize", "golden", "lower-int8", "lower-float32"}),
        ("rich", set()),
        ("typer", set()),
    ],
)
def test_another_version_of_a_library_asks_for_what_names_it(project, monkeypatch, library, direct):
    before = list_keys(project)
    find_version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1" if name == library else find_version(name))
    changed = list_changed(before, list_keys(project))
    assert {name for name in direct if name in changed} == direct
    if not direct:
        assert changed == set()
    elif library == "onnxsim":  # what comes before it stays
        assert changed.isdisjoint(
            {"export", "golden", "compress-1-magnitude_pruning", "export compressed", "golden compressed"}
        )


@pytest.mark.parametrize("runtime", list_runtimes())
def test_what_a_lowering_uses_where_it_is_installed_is_a_part_of_its_key(project, monkeypatch, runtime):
    """It need not be installed; which version of it there is, or that there is none, counts."""
    edit(project / "board.toml", 'runtime = "onnxruntime"', f'runtime = "{runtime}"')
    if find_traits(runtime).engine == "host":
        edit(project / "board.toml", "signature", 'compute_capabilities = ["8.6"]\nsignature')
    before = list_keys(project)
    find_version = metadata.version
    for library in {library for name in list_runtimes() for library in find_traits(name).lowered_with}:
        with monkeypatch.context() as patch:
            patch.setattr(metadata, "version", lambda name, own=library: "0.0.1" if name == own else find_version(name))
            changed = list_changed(before, list_keys(project))
        assert bool(changed & LOWER) is (library in find_traits(runtime).lowered_with)


@pytest.mark.parametrize(
    ("options", "reads"),
    [
        ("macs_ratio = 0.5", False),
        ('macs_ratio = 0.5\nimportance = "taylor"', True),
        ("macs_ratio = 0.5\nfinetune = { epochs = 1 }", True),
    ],
)
def test_other_training_data_ask_for_the_methods_that_read_them(project, monkeypatch, options, reads):
    edit(
        project / "recipe.toml",
        'method = "magnitude_pruning"\namount = 0.5',
        f'method = "structured_pruning"\n{options}',
    )
    seen = []
    monkeypatch.setattr(KeyCache, "has", lambda self, stage, inputs: seen.append((stage, dict(inputs))) or True)
    list_keys(project)
    (inputs,) = [inputs for stage, inputs in seen if stage == "compress-1-structured_pruning"]
    assert ("training" in inputs) is reads


@pytest.mark.parametrize("line", ["flip = false", "crop_padding = 0"])
def test_another_augmentation_asks_for_the_methods_that_train(project, line):
    edit(project / "recipe.toml", "amount = 0.5", "amount = 0.5\nfinetune = { epochs = 1 }")
    before = list_keys(project)
    edit(project / "recipe.toml", "[train]\n", f"[train]\n{line}\n")
    assert "compress-1-magnitude_pruning" in list_changed(before, list_keys(project))


@pytest.fixture
def package(tmp_path):
    """Return a copy of the toolchain's own code, to be changed."""
    shutil.copytree(PACKAGE, tmp_path / "toolchain", ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    return tmp_path / "toolchain"


def list_code(project, package):
    """Return the part of every stage's key that stands for our own code."""
    inputs = run_stages(project, package=package).inputs
    return {stage: [keys["code"], keys.get("agent")] for stage, keys in inputs.items()}


def append(path, line):
    with path.open("a") as stream:
        stream.write(line)


COMPRESS = "compress-1-magnitude_pruning"
RUNS_SESSIONS = {"evidence", "export", "optimize", "golden", COMPRESS, *LOWER, "bundle"}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("stages/bundle.py", {"bundle"}),
        ("stages/lower.py", LOWER),
        ("stages/run.py", RUNS_SESSIONS),
        ("stages/module.py", {"evidence", "export", "golden", COMPRESS}),
        ("module/builder.py", {"evidence", "export", "golden", COMPRESS}),
        ("module/structure.py", {"evidence", "export", "golden", COMPRESS}),
        ("compress/methods/magnitude_pruning.py", {COMPRESS}),
        ("compress/methods/qat.py", set()),
        ("module/fit/loop.py", {"evidence", "export", "golden", COMPRESS}),
        ("module/export.py", {"export"}),
        ("optimize/simplify.py", {"optimize"}),
        ("graph/parity.py", {"evidence", "export", "optimize", "golden", COMPRESS, *LOWER}),
        ("lower/int8.py", LOWER),
        ("lower/calibration/methods/entropy.py", {"lower-int8"}),
        ("agent/measure/gates/parity.py", {"evidence", "bundle", *LOWER}),
        ("agent/measure/runtimes/onnxruntime.py", RUNS_SESSIONS),
        ("agent/measure/metrics/top1.py", {"evidence", "golden", "bundle"}),
        ("agent/__main__.py", {"bundle"}),
        ("agent/install/enroll.py", set()),
        ("agent/measure/runtimes/tensorrt.py", set()),
        ("bundle/write.py", {"golden", "bundle"}),
        ("data/npz.py", RUNS_SESSIONS),
        ("data/image_folder.py", set()),
        ("run/progress.py", set()),
        ("pipeline.py", set()),
        ("cli/flow.py", set()),
        ("report/html.py", set()),
        ("stages/__init__.py", set()),
    ],
)
def test_another_version_of_our_own_code_asks_for_what_runs_it_and_for_nothing_else(project, package, file, changed):
    before = list_code(project, package)
    append(package / file, "\nCHANGED = 1\n")
    after = list_code(project, package)
    assert {stage for stage in before if before[stage] != after[stage]} == changed


def test_every_file_that_a_stage_imports_is_a_part_of_its_key_and_no_other_is(project, package, monkeypatch):
    asked = set()
    with monkeypatch.context() as patch:
        patch.setattr(Sources, "hash_imports", lambda self, *modules, **_: asked.add(modules) or "")
        run_stages(project)
    assert {root.rpartition(".")[2] for root, *_ in asked} == {*FLOAT, "compress", "lower", "bundle"}

    # One reader, which reads again what was changed alone: files are read some hundred thousand times otherwise.
    sources = Sources(package, memo=cache_root() / "sources.json")
    files = {path: path.read_bytes() for path in package.rglob("*.py")}

    def write(path, content):
        path.write_bytes(content)
        sources._read.pop(path, None)

    for modules in asked:
        sources.hash_imports(*modules)
    monkeypatch.setattr(
        Sources, "_keep", lambda self: None
    )  # what is read once is read fast, without a write each time
    for modules in asked:
        before = sources.hash_imports(*modules)
        inside = set(sources.list_imports(*modules).values())
        for path in inside:
            write(path, files[path] + b"\nCHANGED = 1\n")
            assert sources.hash_imports(*modules) != before, path
            write(path, files[path])
        for path in files.keys() - inside:
            write(path, files[path] + b"\nCHANGED = 1\n")
        assert sources.hash_imports(*modules) == before
        for path, content in files.items():
            write(path, content)


def test_a_comment_asks_for_nothing_but_the_bundle_that_it_lies_in(project, package):
    before = list_code(project, package)
    for path in package.rglob("*.py"):
        if package / "agent" not in path.parents:
            append(path, "\n# a comment\n")
    assert list_code(project, package) == before
    append(package / "agent" / "install" / "enroll.py", "\n# a comment\n")
    append(package / "agent" / "measure" / "runtimes" / "tensorrt.py", "\n# a comment\n")
    assert list_code(project, package) == before
    append(package / "agent" / "__main__.py", "\n# a comment\n")
    after = list_code(project, package)
    assert {stage for stage in before if before[stage] != after[stage]} == {"bundle"}


def test_what_our_own_code_imports_by_name_is_known(package):
    """A module that is imported by a name needs its place in Run.identify_code: no import statement shows it."""
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "import_module(" in path.read_text() or "__import__(" in path.read_text()
    }
    # The user's own files, which Run.identify_model knows, and what a board alone is asked, or asks, and no stage.
    outside = {"module/imports.py", "agent/install/still_proven.py", "agent/measure/footprint/measure.py"}
    assert found == {
        "agent/measure/members.py",
        "project/members.py",
        *outside,
    }


def test_the_libraries_of_the_data_set_and_of_the_method_are_a_part_of_the_keys(project):
    inputs = run_stages(project).inputs
    assert {"onnx", "onnxscript", "onnxruntime", "protobuf", "torch", "torchvision"} <= inputs["export"][
        "versions"
    ].keys()
    assert not {"rich", "filelock", "pydantic"} & inputs["export"]["versions"].keys()
    assert "ckmeans" not in inputs[COMPRESS]["versions"]
    edit(
        project / "recipe.toml",
        'method = "magnitude_pruning"\namount = 0.5',
        'method = "kmeans_quantization"\nbits = 4',
    )
    assert "ckmeans" in run_stages(project).inputs["compress-1-kmeans_quantization"]["versions"]


def test_a_model_without_weights_and_without_a_way_to_make_them_is_exit_3(project):
    (project / "weights.safetensors").unlink()
    edit(project / "recipe.toml", "[train]\nepochs = 2\n", "")
    with pytest.raises(ToolchainError, match="has no weights") as caught:
        list_keys(project)
    assert caught.value.code == ExitCode.MISSING


def test_keys_are_json_and_name_no_path_of_the_project(project, monkeypatch):
    seen = []
    monkeypatch.setattr(KeyCache, "has", lambda self, stage, inputs: seen.append((stage, json.dumps(inputs))) or True)
    list_keys(project)
    for stage, text in seen:
        if stage != "bundle":  # its provenance holds the recipe, whose data options are paths here
            assert str(project) not in text


def test_int8_that_the_metric_decides_depends_on_the_metric_its_gate_and_the_evaluation_samples(project):
    edit(project / "recipe.toml", "[gates]", '[quantize]\naccuracy = "metric"\n[gates]')
    before = list_keys(project)
    edit(project / "recipe.toml", "metric_drop_max = 0.01", "metric_drop_max = 0.02")
    assert list_changed(before, list_keys(project)) == {"lower-int8", "bundle"}
    before = list_keys(project)
    np.savez(project / "evaluation.npz", input=np.full((16, 3), 7, np.float32), labels=np.zeros(16, np.int64))
    assert list_changed(before, list_keys(project)) == JUDGED | {"lower-int8", "bundle"}


def test_whether_the_gate_proves_anything_is_asked_anew_for_another_gate(project):
    edit(project / "recipe.toml", "[train]", '[task]\ntruth = "float"\n[train]')
    before = list_keys(project)
    edit(project / "recipe.toml", "metric_drop_max = 0.01", "metric_drop_max = 0.9")
    assert "evidence" in list_changed(before, list_keys(project))


def test_float_precisions_of_a_model_trained_for_int8_take_the_gate_of_int8(tmp_path):
    (tmp_path / "recipe.toml").write_text(f"{RECIPE}sqnr_db_min = {{ int8 = 18.0, fp16 = 30.0 }}\n")
    (tmp_path / "board.toml").write_text(TARGET)
    recipe, target = read_recipe(tmp_path / "recipe.toml"), read_target(tmp_path / "board.toml")
    trained = merge_gates(recipe, target, trained_for_int8=True)
    assert trained.sqnr_db_min == {"int8": 18.0, "float32": 18.0, "bf16": 18.0, "fp16": 30.0}
    assert merge_gates(recipe, target).sqnr_db_min == {"int8": 18.0, "fp16": 30.0}


@pytest.mark.parametrize("part", ["path", "evaluation"])
def test_who_is_judged_on_other_samples_is_asked_again_what_it_learned_from(project, part):
    """A model that was trained before is not trained anew, and its training is held to the new samples."""
    edit(project / "recipe.toml", "amount = 0.5", "amount = 0.5\nfinetune = { epochs = 1 }")
    before = list_keys(project)
    assert "training-apart" in before
    path = dict(read_recipe(project / "recipe.toml").data.options)[part]
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "input": arrays["input"] + np.float32(1)})
    changed = list_changed(before, list_keys(project))
    assert "training-apart" in changed
    assert ("compress-1-magnitude_pruning" in changed) is (part == "path")
