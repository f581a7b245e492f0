"""Trainings of modules of every form, on arrays of every form: each learns, or is refused with the place and the fix."""

import json

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import nn

from tests.objectives import learn_labels, make_objective, make_scoring
from tests.tasks.made_points import draw_faces
from toolchain.data.npz import ArraySamples
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.fit import FitSettings, fit, measure_metric, start_accelerator
from toolchain.module.train import train_model
from toolchain.project.recipe import read_recipe

RECIPE = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "npz"
options = { path = "learn.npz", evaluation = "test.npz" }
[train]
epochs = 4
batch_size = 16
"""

LINEAR = "from torch import nn\ndef build():\n    return nn.Linear(8, 4)\n"


def draw(seed, count=64):
    """Return rows (count, 8) in which one of the first four numbers is large, and which one it is."""
    labels = np.arange(count) % 4
    rows = np.random.default_rng(seed).normal(scale=0.3, size=(count, 8)).astype(np.float32)
    rows[np.arange(count), labels] += 3
    return rows, labels


def write_project(folder, *, model=LINEAR, change=lambda arrays: arrays, recipe=RECIPE):
    for seed, name in enumerate(("learn", "test")):
        rows, labels = draw(seed)
        np.savez(folder / f"{name}.npz", **change({"row": rows, "labels": labels}))
    (folder / "model.py").write_text(model)
    (folder / "recipe.toml").write_text(recipe)
    return read_recipe(folder / "recipe.toml")


def refuse(recipe, **options):
    with pytest.raises(ToolchainError) as caught:
        train_model(recipe, **options)
    return caught.value


def test_rows_of_numbers_are_learned(tmp_path):
    result = train_model(write_project(tmp_path))
    assert result.metric == 1.0
    assert (result.measured, result.unmeasured) == (("output",), ())


def split_rows(arrays):
    return {"right": arrays["row"][:, 4:], "left": arrays["row"][:, :4], "labels": arrays["labels"]}


def test_several_inputs_are_learned_by_their_names(tmp_path):
    model = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 4)
    def forward(self, left, *, right):
        return self.last(left) + 0 * right
def build():
    return Net()
"""
    assert train_model(write_project(tmp_path, model=model, change=split_rows)).metric == 1.0


HEADS = """
from dataclasses import dataclass
import torch
from torch import nn
@dataclass
class Out:
    scores: torch.Tensor
    aux: torch.Tensor
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.main, self.aux = nn.Linear(8, 4), nn.Linear(8, 2)
    def forward(self, x):
        main, aux = self.main(x), self.aux(x)
        return RESULT
def build():
    return Net()
"""


@pytest.mark.parametrize(
    ("result", "outputs"),
    [
        ("main, aux", ("output_0", "output_1")),
        ("{'scores': main, 'aux': aux}", ("scores", "aux")),
        ("Out(main, aux)", ("scores", "aux")),
        ("((main, aux) if self.training else main)", ("output",)),
        ("{'scores': main, 'aux': None}", ("scores",)),
    ],
)
def test_of_several_outputs_the_first_is_trained_and_named(tmp_path, result, outputs):
    torch.manual_seed(0)
    trained = train_model(write_project(tmp_path, model=HEADS.replace("RESULT", result)))
    assert trained.metric == 1.0
    assert (trained.measured, trained.unmeasured) == (outputs[:1], outputs[1:])
    assert json.loads((tmp_path / "weights.json").read_text())["metric"]["output"] == outputs[0]


def test_a_first_output_that_is_no_scores_is_refused_by_its_name(tmp_path):
    error = refuse(write_project(tmp_path, model=HEADS.replace("RESULT", "{'mask': x[:, None], 'scores': main}")))
    assert error.code is ExitCode.USAGE
    assert error.where == "output mask, the first of mask, scores"


@pytest.mark.parametrize(("label", "expected"), [(4, "0 to 3"), (-1, "0 and more")])
def test_a_label_outside_of_the_classes_is_refused_with_its_sample(tmp_path, label, expected):
    def change(arrays):
        labels = arrays["labels"].copy()
        labels[7] = label
        return {**arrays, "labels": labels}

    error = refuse(write_project(tmp_path, change=change))
    assert error.code is ExitCode.USAGE
    assert expected in error.expected
    assert f"sample 7 has {label}" in error.found
    assert not (tmp_path / "weights.safetensors").exists()


def samples_of(labels, rows=None):
    rows = draw(0, len(labels))[0] if rows is None else rows
    return ArraySamples(arrays={"row": rows}, targets={"labels": np.array(labels)}, sha256="")


def fit_module(model, samples, batch_size=16, **options):
    settings = FitSettings(epochs=1, batch_size=batch_size, learning_rate=0.1)
    fit(
        model,
        samples,
        settings,
        accelerator=start_accelerator(),
        **{"loss": learn_labels(), "targets": ("labels",), **options},
    )


@pytest.mark.parametrize("label", [-1, 4])
def test_a_training_of_a_compression_refuses_such_a_label_too(label):
    with pytest.raises(ToolchainError) as caught:
        make_objective().check({"output": np.zeros((1, 4))}, samples_of([0, 1, label, 3]), where="data")
    assert caught.value.code is ExitCode.USAGE
    assert f"sample 2 has {label}" in caught.value.found


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


class Broken(nn.Linear):
    def forward(self, x):
        if self.training:
            raise SystemExit(0)
        return super().forward(x)


def make_frozen():
    return nn.Linear(8, 4).requires_grad_(False)


UNTRAINABLE = {
    "frozen": (make_frozen, 16, "2 parameters, all frozen", "unfreeze"),
    "no parameters": (nn.Identity, 16, "a model without parameters", "unfreeze"),
    "detached": (lambda: Detached(8, 4), 16, "one without", "detach"),
    "an end": (lambda: nn.Sequential(Broken(8, 4)), 16, "sys.exit(0)", "training mode"),
    "batches of one": (lambda: nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4)), 1, "more than 1 value", "batch_size"),
}


@pytest.mark.parametrize("kind", UNTRAINABLE)
def test_a_model_that_cannot_be_trained_is_refused_with_the_reason(kind):
    build, batch_size, found, fix = UNTRAINABLE[kind]
    with pytest.raises(ToolchainError) as caught:
        fit_module(build(), samples_of([0, 1, 2, 3]), batch_size)
    assert caught.value.code is ExitCode.USAGE
    assert found in caught.value.found
    assert fix in caught.value.fix


def test_a_failing_step_is_named_with_its_module():
    with pytest.raises(ToolchainError) as caught:
        fit_module(nn.Sequential(Broken(8, 4)), samples_of([0, 1, 2, 3]))
    assert caught.value.where == "epoch 1, step 1, 4 samples, module 0 (Broken)"


def test_frozen_parameters_stay_and_the_others_learn():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    model[0].requires_grad_(False)
    before = [parameter.clone() for parameter in model.parameters()]
    fit_module(model, samples_of([0, 1, 2, 3] * 8))
    assert [torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True)] == [True, True, False, False]


def test_batch_normalization_learns_from_batches_of_two():
    fit_module(nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4)), samples_of([0, 1, 2, 3]), 2)


def test_weights_that_are_no_numbers_after_the_last_step_are_a_divergence():
    class Break:
        def before_step(self, done): ...

        def after_step(self, learning_rate):
            model.weight[0, 0] = torch.nan

    model = nn.Linear(8, 4)
    with pytest.raises(ToolchainError) as caught:
        fit_module(model, samples_of([0, 1, 2, 3]), hooks=[Break()])
    assert caught.value.code is ExitCode.METRIC
    assert caught.value.where == "epoch 1"
    assert caught.value.found == "NaN or infinity in weight"


def test_a_mask_of_infinities_is_no_divergence():
    class Masked(nn.Linear):
        def __init__(self):
            super().__init__(8, 4)
            self.register_buffer("mask", torch.full((2,), -torch.inf))

    fit_module(Masked(), samples_of([0, 1, 2, 3]))


def test_a_sample_whose_scores_are_nan_is_wrong():
    class Nan(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 4), torch.nan)

    assert measure_metric(Nan(), samples_of([0, 0]), scoring=make_scoring(), accelerator=start_accelerator()) == 0.0
    assert (
        measure_metric(nn.Identity(), samples_of([0, 1]), scoring=make_scoring(), accelerator=start_accelerator())
        == 1.0
    )


def test_masked_scores_are_compared():
    class Masked(nn.Module):
        def forward(self, x):
            return torch.where(x > 1, x, -torch.inf)

    assert measure_metric(Masked(), samples_of([0, 1]), scoring=make_scoring(), accelerator=start_accelerator()) == 1.0


def test_what_a_model_prints_is_not_on_stdout(tmp_path, capsys):
    model = """
from torch import nn
class Loud(nn.Linear):
    def forward(self, x):
        print("hello")
        return super().forward(x)
def build():
    return Loud(8, 4)
"""
    train_model(write_project(tmp_path, model=model), epochs=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err


def test_lazy_modules_are_trained_in_their_shapes(tmp_path):
    model = LINEAR.replace("nn.Linear(8, 4)", "nn.LazyLinear(4)")
    assert train_model(write_project(tmp_path, model=model)).metric == 1.0


def test_an_augmentation_of_what_is_no_picture_is_refused(tmp_path):
    error = refuse(write_project(tmp_path, recipe=f"{RECIPE}flip = true\n"))
    assert error.code is ExitCode.USAGE
    assert error.where.endswith("train.flip")
    train_model(write_project(tmp_path, recipe=f"{RECIPE}flip = false\ncrop_padding = 0\n"), epochs=1)


def test_pictures_with_points_are_mirrored_only_where_the_recipe_says_which_points_change_places(tmp_path):
    for seed, name in enumerate(("learn", "test")):
        faces = draw_faces(64, seed=seed)
        np.savez(tmp_path / f"{name}.npz", input=faces.pictures, points=faces.targets["points"])
    (tmp_path / "model.py").write_text("from torch import nn\ndef build():\n    return nn.Conv2d(1, 2, 3, padding=1)\n")

    def read(task, train):
        recipe = RECIPE.replace('"test.npz"', '"test.npz", targets = ["points"]')
        task = f'[task]\nname = "keypoints"\noptions = {{ points = 2, stride = 1.0{task} }}\n'
        (tmp_path / "recipe.toml").write_text(f"{recipe}{train}{task}")
        return read_recipe(tmp_path / "recipe.toml")

    error = refuse(read("", "flip = true\n"))
    assert (error.code, error.where.endswith("train.flip")) == (ExitCode.USAGE, True)
    assert "pairs" in error.fix
    train_model(read("", ""), epochs=1)  # and is not mirrored
    train_model(read(", pairs = [[0, 1]]", "flip = true\n"), epochs=1)


def test_one_file_trains_nothing_and_the_message_says_how_it_would(tmp_path):
    error = refuse(write_project(tmp_path, recipe=RECIPE.replace(', evaluation = "test.npz"', "")))
    assert error.code is ExitCode.USAGE
    assert "evaluation" in error.fix


def test_a_second_training_of_a_model_is_refused_while_the_first_one_runs(tmp_path):
    recipe = write_project(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{recipe.name}.pt").write_bytes(b"of the first")
    with FileLock(tmp_path / "checkpoints" / f"{recipe.name}.lock"):
        error = refuse(recipe)
    assert error.code is ExitCode.BUSY
    assert error.what == f"another training of {recipe.name} is running"
    assert "--out" in error.fix
    assert (tmp_path / "checkpoints" / f"{recipe.name}.pt").read_bytes() == b"of the first"
    assert not (tmp_path / "weights.safetensors").exists()
    assert train_model(recipe, resume=False).metric == 1.0


def test_a_training_that_failed_holds_no_lock(tmp_path):
    refuse(write_project(tmp_path, model="def build():\n    return None\n"))
    train_model(write_project(tmp_path), epochs=1)


_NORMAL_ALONE = """
[task]
name = "reconstruction"
[train]
epochs = 1
batch_size = 50
validation = 0.4
"""
_MODEL_OF_BOTH = """
from torch import nn
def build(*, width=8):
    return nn.Linear(width, width)
"""


def train_on_normal_samples(folder, data):
    (folder / "model.py").write_text(_MODEL_OF_BOTH)
    head = '[model]\nbuild = "model.py:build"\nweights = "weights.safetensors"\n'
    (folder / "recipe.toml").write_text(head + data + _NORMAL_ALONE)
    result = train_model(read_recipe(folder / "recipe.toml"))
    return result, json.loads((folder / "weights.json").read_text())


def write_rows(folder, name, anomalous):
    rows = np.random.default_rng(len(name)).normal(size=(len(anomalous), 8)).astype(np.float32)
    np.savez(folder / f"{name}.npz", row=rows * (1 + anomalous[:, None]).astype(np.float32), anomalous=anomalous)


def test_normal_samples_that_say_that_they_are_normal_are_learned_without_a_watch(tmp_path):
    write_rows(tmp_path, "learn", np.zeros(300, dtype=np.int64))
    write_rows(tmp_path, "test", np.arange(60) % 2)
    data = '[data]\nname = "npz"\noptions = { path = "learn.npz", evaluation = "test.npz", targets = ["anomalous"] }\n'
    result, provenance = train_on_normal_samples(tmp_path, data)
    assert (result.metric_name, result.has_learnt) == ("auc", True)
    assert provenance["validation"] is None


def test_normal_samples_without_a_word_on_it_are_learned_without_a_watch(tmp_path):
    data = (
        'build_options = { width = 640 }\n[data]\nname = "machine_sound"\n'
        "options = { train_samples = 300, test_samples = 20 }\n"
    )
    assert train_on_normal_samples(tmp_path, data)[1]["validation"] is None


def test_samples_of_both_kinds_are_watched(tmp_path):
    write_rows(tmp_path, "learn", np.arange(300) % 2)
    write_rows(tmp_path, "test", np.arange(60) % 2)
    data = '[data]\nname = "npz"\noptions = { path = "learn.npz", evaluation = "test.npz", targets = ["anomalous"] }\n'
    assert train_on_normal_samples(tmp_path, data)[1]["validation"] == {"share": 0.4, "best_epoch": 1}
