"""The train stage on a model of a few weights and pictures of 8x8."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.objectives import learn_labels, make_scoring
from toolchain.data.dataset import ImageSamples
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.fit import FitSettings, fit, measure_metric, start_accelerator
from toolchain.module.fit.augment import augment_images
from toolchain.module.train import train_model
from toolchain.project.recipe import read_recipe

SETTINGS = FitSettings(epochs=4, batch_size=16, learning_rate=0.1, weight_decay=1e-4, crop_padding=1)


def make_samples(count=64, sha256="of made pictures"):
    """Two classes: the left half bright, or the upper half."""
    labels = np.arange(count) % 2
    images = np.random.default_rng(0).integers(0, 100, (count, 3, 8, 8), dtype=np.uint8)
    images[labels == 0, :, :, :4] += 100
    images[labels == 1, :, :4, :] += 100
    return ImageSamples(
        images=images, targets={"labels": labels}, sha256=sha256, transform=lambda part: part.astype(np.float32) / 255
    )


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(256, 2)
    )


def train(model, settings=SETTINGS, samples=None, **kwargs):
    accelerator = start_accelerator()
    samples = samples or make_samples()
    fit(
        model, samples, settings, accelerator=accelerator, **({"loss": learn_labels(), "targets": ("labels",)} | kwargs)
    )
    return model


def weights_of(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


class KilledError(Exception):
    pass


def kill_at(epoch, step):
    def on_progress(progress):
        if (progress.epoch, progress.step) == (epoch, step):
            raise KilledError

    return on_progress


def test_it_learns():
    samples = make_samples()
    model = train(make_model(), samples=samples)
    assert measure_metric(model, samples, scoring=make_scoring(), accelerator=start_accelerator()) == 1.0


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, second = weights_of(train(make_model())), weights_of(train(make_model()))
    other = weights_of(train(make_model(), FitSettings(**{**vars(SETTINGS), "seed": 1})))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_global_random_state_stays():
    torch.manual_seed(5)
    model = make_model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(model)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("step", [1, 4])
def test_a_killed_run_that_resumes_ends_at_the_same_weights(tmp_path, step):
    checkpoint = tmp_path / "run.pt"
    uninterrupted = train(make_model())
    with pytest.raises(KilledError):
        train(make_model(), checkpoint=checkpoint, on_progress=kill_at(3, step))
    epochs = []
    resumed = train(
        make_model(), checkpoint=checkpoint, resume=True, on_progress=lambda progress: epochs.append(progress.epoch)
    )
    assert set(epochs) == {3, 4}
    assert torch.equal(weights_of(resumed), weights_of(uninterrupted))


def test_a_run_that_does_not_resume_starts_anew(tmp_path):
    checkpoint = tmp_path / "run.pt"
    train(make_model(), checkpoint=checkpoint)
    epochs = []
    train(make_model(), checkpoint=checkpoint, on_progress=lambda progress: epochs.append(progress.epoch))
    assert set(epochs) == {1, 2, 3, 4}


def test_a_checkpoint_of_other_settings_or_data_is_refused(tmp_path):
    checkpoint = tmp_path / "run.pt"
    train(make_model(), checkpoint=checkpoint)
    other_settings = FitSettings(**{**vars(SETTINGS), "learning_rate": 0.2})
    for settings, samples in ((other_settings, make_samples()), (SETTINGS, make_samples(sha256="of others"))):
        with pytest.raises(ToolchainError) as caught:
            train(make_model(), settings, samples, checkpoint=checkpoint, resume=True)
        assert caught.value.code is ExitCode.USAGE
        assert "--fresh" in caught.value.fix


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_corrupt_checkpoint_is_exit_23(tmp_path, content):
    checkpoint = tmp_path / "run.pt"
    train(make_model(), checkpoint=checkpoint)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ToolchainError) as caught:
        train(make_model(), checkpoint=checkpoint, resume=True)
    assert caught.value.code is ExitCode.MALFORMED
    assert "--fresh" in caught.value.fix


def test_a_checkpoint_of_another_model_is_exit_23(tmp_path):
    checkpoint = tmp_path / "run.pt"
    train(make_model(), checkpoint=checkpoint)
    with pytest.raises(ToolchainError) as caught:
        train(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), checkpoint=checkpoint, resume=True)
    assert caught.value.code is ExitCode.MALFORMED


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    checkpoint = tmp_path / "run.pt"
    calls = []

    def loss(model, batch):
        calls.append(1)
        return learn_labels()(model, batch) * (float("nan") if len(calls) == 6 else 1.0)

    with pytest.raises(ToolchainError) as caught:
        train(make_model(), checkpoint=checkpoint, loss=loss)
    assert caught.value.code is ExitCode.METRIC
    assert "epoch 2, step 2" in caught.value.where
    assert "learning_rate" in caught.value.fix
    assert torch.load(checkpoint, weights_only=True)["epochs_done"] == 1


def test_samples_without_labels_are_a_usage_error():
    samples = make_samples()
    unlabelled = ImageSamples(images=samples.images, targets={}, sha256="", transform=samples.transform)
    with pytest.raises(ToolchainError) as caught:
        train(make_model(), samples=unlabelled)
    assert caught.value.code is ExitCode.USAGE


def test_fewer_samples_than_a_batch_are_one_batch():
    steps = []
    train(make_model(), samples=make_samples(5), on_progress=lambda progress: steps.append(progress.steps))
    assert steps == [1] * 4


def test_the_model_is_left_as_it_came_but_for_its_weights():
    model = make_model()
    before = set(vars(model))
    train(model)
    assert set(vars(model)) == before
    assert not model.training
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_top1_counts_the_last_incomplete_batch():
    samples = make_samples(257)
    constant = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with torch.no_grad():
        constant[1].weight.zero_()
        constant[1].bias.copy_(torch.tensor([1.0, 0.0]))
    assert measure_metric(constant, samples, scoring=make_scoring(), accelerator=start_accelerator()) == 129 / 257


def augment(images, **kwargs):
    return augment_images(images, **kwargs, generator=torch.Generator().manual_seed(0))[0]


def test_augmentation_off_changes_nothing():
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(augment(images, crop_padding=0, flip=False), images)


def test_every_augmented_picture_is_a_shifted_or_mirrored_original():
    images = torch.rand(200, 3, 6, 6)
    augmented = augment(images, crop_padding=1, flip=True)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    seen = set()
    for index in range(len(images)):
        for top in range(3):
            for left in range(3):
                crop = padded[index, :, top : top + 6, left : left + 6]
                for mirrored in (False, True):
                    if torch.equal(augmented[index], crop.flip(-1) if mirrored else crop):
                        seen.add((index, top, left, mirrored))
    assert len(seen) == 200
    assert len({place[1:] for place in seen}) == 18


RECIPE = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "image_folder"
options = {{ folder = "{pictures}", size = 8 }}
[train]
epochs = 4
batch_size = 16
learning_rate = {learning_rate}
metric_min = {metric_min}
"""

MODEL = """
from torch import nn

def build(*, classes=2, side=8):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * side * side, classes)
    )
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    samples = make_samples()
    for index, label in enumerate(samples.targets["labels"]):
        for part in ("train", "test"):
            place = folder / part / f"class{label}"
            place.mkdir(parents=True, exist_ok=True)
            # The last bit tells what is evaluated on from what is learned from.
            pixels = samples.images[index].transpose(1, 2, 0) ^ (part == "test")
            Image.fromarray(pixels).resize((16, 16)).save(place / f"{index:02}.png")
    return folder


def write_recipe(tmp_path, pictures, *, name="tiny", metric_min=0.9, learning_rate=0.1, extra=""):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "recipe.toml").write_text(
        RECIPE.format(pictures=pictures, metric_min=metric_min, learning_rate=learning_rate) + extra
    )
    return read_recipe(folder / "recipe.toml")


def refuse(recipe, **kwargs):
    with pytest.raises(ToolchainError) as caught:
        train_model(recipe, **kwargs)
    return caught.value


def test_weights_are_left_with_their_provenance(tmp_path, pictures):
    recipe = write_recipe(tmp_path, pictures)
    result = train_model(recipe)
    assert result.metric >= 0.9
    assert result.samples == 64
    assert sorted(path.name for path in recipe.folder.iterdir() if path.is_file()) == [
        "model.py",
        "recipe.toml",
        "weights.json",
        "weights.safetensors",
    ]
    provenance = json.loads((recipe.folder / "weights.json").read_text())
    assert provenance["command"] == "toolchain train tiny"
    assert provenance["settings"]["seed"] == 0
    assert provenance["metric"] == {"name": "top1", "output": "output", "value": result.metric, "samples": 64}
    assert len(provenance["data"]["train_sha256"]) == 64
    assert torch.__version__.startswith(provenance["versions"]["torch"])
    assert str(tmp_path) not in json.dumps(provenance)
    assert [path.name for path in (recipe.folder / "checkpoints").iterdir()] == ["tiny.lock"]


def test_overrides_are_in_the_command_of_the_provenance(tmp_path, pictures):
    recipe = write_recipe(tmp_path, pictures, metric_min=0.0)
    result = train_model(recipe, epochs=1, seed=3, out=tmp_path / "elsewhere" / "w.safetensors")
    assert result.weights == tmp_path / "elsewhere" / "w.safetensors"
    provenance = json.loads((tmp_path / "elsewhere" / "w.json").read_text())
    assert provenance["command"] == "toolchain train tiny --epochs 1 --seed 3"
    assert provenance["settings"]["epochs"] == 1


def test_the_augmentation_is_the_recipes(tmp_path, pictures):
    recipe = write_recipe(tmp_path, pictures, metric_min=0.0, extra="crop_padding = 0\nflip = false\n")
    train_model(recipe, epochs=1)
    settings = json.loads((recipe.folder / "weights.json").read_text())["settings"]
    assert (settings["crop_padding"], settings["flip"]) == (0, False)


def test_a_missed_metric_is_exit_24_and_keeps_the_weights_beside(tmp_path, pictures):
    recipe = write_recipe(tmp_path, pictures)
    train_model(recipe)
    good = (recipe.folder / "weights.safetensors").read_bytes()
    bad = refuse(write_recipe(tmp_path, pictures, metric_min=1.0, extra="weight_decay = 9.0"))
    assert bad.code is ExitCode.METRIC
    assert "100.00 %" in bad.expected
    assert (recipe.folder / "weights.rejected.safetensors").is_file()
    assert (recipe.folder / "weights.safetensors").read_bytes() == good


def test_an_interrupted_training_goes_on(tmp_path, pictures):
    whole = train_model(write_recipe(tmp_path, pictures), out=tmp_path / "whole.safetensors")
    recipe = write_recipe(tmp_path, pictures)
    with pytest.raises(KilledError):
        train_model(recipe, on_progress=kill_at(3, 2))
    resumed = train_model(recipe)
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.parametrize("change", ["model", "recipe"])
def test_a_checkpoint_of_other_code_or_another_loss_is_refused(tmp_path, pictures, change):
    recipe = write_recipe(tmp_path, pictures)
    with pytest.raises(KilledError):
        train_model(recipe, on_progress=kill_at(2, 1))
    if change == "model":
        (recipe.folder / "model.py").write_text(f"{MODEL}# changed\n")
    else:
        recipe.path.write_text(f"{recipe.path.read_text()}label_smoothing = 0.1\n")
    error = refuse(read_recipe(recipe.path))
    assert error.code is ExitCode.USAGE
    assert "--fresh" in error.fix


@pytest.mark.parametrize("options", ["classes = 1", "side = 9"])
def test_a_model_that_does_not_fit_the_data_is_a_usage_error(tmp_path, pictures, options):
    recipe = write_recipe(tmp_path, pictures)
    text = recipe.path.read_text().replace("weights =", f"build_options = {{ {options} }}\nweights =")
    recipe.path.write_text(text)
    assert refuse(read_recipe(recipe.path)).code is ExitCode.USAGE


def test_no_epochs_are_a_usage_error(tmp_path, pictures):
    assert refuse(write_recipe(tmp_path, pictures), epochs=0).code is ExitCode.USAGE


def test_a_recipe_without_a_train_section_is_a_usage_error(tmp_path, pictures):
    recipe = write_recipe(tmp_path, pictures)
    recipe.path.write_text(recipe.path.read_text().split("[train]")[0])
    error = refuse(read_recipe(recipe.path))
    assert error.code is ExitCode.USAGE
    assert "[train]" in error.what


def test_data_without_a_training_part_is_a_usage_error(tmp_path, pictures):
    recipe = write_recipe(tmp_path, pictures, extra='data = "fashion_mnist_small"\n')
    error = refuse(recipe)
    assert error.code is ExitCode.USAGE
    assert "fashion_mnist_small" in error.what


SCRIPT = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from toolchain.errors import ToolchainError
from toolchain.project.recipe import read_recipe
from toolchain.module.fit import stop_accelerator
from toolchain.module.train import train_model

folder = Path(sys.argv[1])
found = []
for path in sys.argv[2:]:
    steps = []
    try:
        result = train_model(read_recipe(Path(path)), on_progress=lambda progress: steps.append(progress.step))
        found.append({"metric": result.metric, "steps": len(steps)})
    except ToolchainError as error:
        found.append({"code": int(error.code)})
(folder / f"rank{PartialState().process_index}.json").write_text(json.dumps(found))
stop_accelerator()
"""


def launch(tmp_path, launcher, *recipes):
    """Run the script in two processes; return what each found."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(script), str(tmp_path), *(str(recipe.path) for recipe in recipes)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": ".", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_of_torchrun_train_one_model_and_fail_together(tmp_path, pictures):
    good = write_recipe(tmp_path, pictures)
    missed = write_recipe(tmp_path, pictures, name="missed", metric_min=1.0, extra="weight_decay = 9.0")
    diverged = write_recipe(tmp_path, pictures, name="diverged", learning_rate=1e30)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    main, other = launch(tmp_path, torchrun, good, missed, diverged)
    assert main[0]["metric"] == other[0]["metric"] >= 0.9
    assert main[0]["steps"] == 16  # 64 pictures in batches of 16 that both share, four times
    assert other[0]["steps"] == 0
    assert main[1:] == other[1:] == [{"code": 24}, {"code": 24}]
    assert json.loads((good.folder / "weights.json").read_text())["processes"] == 2
    assert not (diverged.folder / "weights.safetensors").exists()


def test_two_processes_of_accelerate_launch_train_one_model(tmp_path, pictures):
    recipe = write_recipe(tmp_path, pictures)
    accelerate = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    options = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    main, other = launch(tmp_path, accelerate + options, recipe)
    assert main[0]["metric"] == other[0]["metric"] >= 0.9
    assert json.loads((recipe.folder / "weights.json").read_text())["processes"] == 2


def test_a_launcher_that_starts_one_process_of_several_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ToolchainError) as caught:
        start_accelerator()
    assert caught.value.code is ExitCode.USAGE
    assert "torchrun" in caught.value.fix


def test_processes_that_would_train_apart_are_refused(monkeypatch):
    start_accelerator()  # from now on accelerate knows of one process
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ToolchainError) as caught:
        start_accelerator()
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.expected == "2 processes"
