"""A project of every task whose model is right from the beginning: it turns its input's channels by a matrix, and back.

The input is what the model should return, with noise. So nothing is trained, a model that loses its weights is wrong,
and one that keeps them is not.
"""

from pathlib import Path

import numpy as np
import torch

from tests.contracts.turned_model import build

SAMPLES = 32
_SOURCE = Path(__file__).with_name("turned_model.py")


def _draw(shape):
    return np.random.default_rng(1).normal(scale=0.1, size=(SAMPLES, *shape)).astype(np.float32)


def _score(classes, count):
    """Return scores (..., classes) that name the classes, with noise."""
    return np.eye(count, dtype=np.float32)[classes] * 2 + _draw((*classes.shape[1:], count))


def _join(name, rows):
    return {f"{name}.values": np.concatenate(rows), f"{name}.offsets": np.cumsum([0, *map(len, rows)])}


def _make_classification():
    labels = np.arange(SAMPLES) % 4
    return _score(labels, 4), {"labels": labels}, 1


def _make_multi_label():
    sets = np.random.default_rng(2).integers(0, 2, (SAMPLES, 6))
    return 2 * sets.astype(np.float32) + _draw((6,)) - 0.5, {"labels": sets}, 1


def _make_detection():
    grids = np.full((SAMPLES, 6, 8, 8), -4, np.float32) + _draw((6, 8, 8))
    grids[:, :4] += 5.5  # each cell reaches a stride and a half around it
    boxes, classes = [], []
    for index in range(SAMPLES):
        row, column, number = 2 + index % 4, 2 + index // 4 % 4, index % 2
        grids[index, 4 + number, row, column] += 8
        x, y = 4 * column + 2, 4 * row + 2
        boxes.append(np.array([[x - 6, y - 6, x + 6, y + 6]], np.float32))
        classes.append(np.array([number]))
    return grids, {**_join("boxes", boxes), **_join("classes", classes)}, 1


def _make_segmentation():
    mask = np.random.default_rng(3).integers(0, 3, (SAMPLES, 8, 8))
    return _score(mask, 3).transpose(0, 3, 1, 2).copy(), {"mask": mask.astype(np.uint8)}, 1


def _make_keypoints():
    maps, points = _draw((2, 8, 8)), np.ones((SAMPLES, 2, 3), np.float32)
    for index in range(SAMPLES):
        for point in range(2):
            row, column = 1 + (index + 3 * point) % 6, 1 + index // 6 % 6
            maps[index, point, row, column] += 3
            points[index, point, :2] = 4 * column, 4 * row
    return maps, {"points": points}, 1


def _make_keypoint_regression():
    points = np.random.default_rng(4).uniform(4, 28, (SAMPLES, 4)).astype(np.float32)
    truth = np.concatenate([points.reshape(SAMPLES, 2, 2), np.ones((SAMPLES, 2, 1), np.float32)], axis=2)
    return points + _draw((4,)), {"points": truth}, 1


def _make_regression():
    values = np.random.default_rng(5).normal(size=(SAMPLES, 3)).astype(np.float32)
    return values + _draw((3,)), {"values": values}, 1


def _make_reconstruction():
    # Normal samples lie in one half of the room, which alone is given back; anomalies, no larger, in the other.
    anomalous = np.arange(SAMPLES) % 2
    found = _draw((8,)) * 10
    halves = np.stack([1 - anomalous, anomalous], axis=1).astype(np.float32) + 0.01
    return found * halves.repeat(4, axis=1), {"anomalous": anomalous}, 1


def _make_transcription():
    letters = np.random.default_rng(6).integers(1, 4, (SAMPLES, 8))
    letters[:, 1::2] = 0  # a blank between them, so that repeats are two
    texts = [bytes(b"_abc"[letter] for letter in row if letter) for row in letters]
    return _score(letters, 4), _join("text", [np.frombuffer(text, np.uint8) for text in texts]), 2


def _make_tokens():
    tags = np.random.default_rng(7).integers(0, 3, (SAMPLES, 6))
    return _score(tags, 3), {"tags": tags}, 2


def _make_embedding():
    identity = np.arange(SAMPLES) // 2
    places = np.random.default_rng(8).normal(size=(SAMPLES // 2, 6)).astype(np.float32)
    return places[identity] + _draw((6,)), {"identity": identity}, 1


TASKS = {
    "classification": ("top1", "", _make_classification),
    "multi_label": ("f1", "", _make_multi_label),
    "detection": ("map50", "options = { strides = [4], classes = 2 }", _make_detection),
    "segmentation": ("miou", "", _make_segmentation),
    "keypoints": ("pck", "options = { points = 2 }", _make_keypoints),
    "keypoint_regression": ("pck", "options = { points = 2 }", _make_keypoint_regression),
    "regression": ("mae", 'metric = "mae"', _make_regression),
    "reconstruction": ("auc", "", _make_reconstruction),
    "transcription": ("cer", 'options = { alphabet = "abc" }', _make_transcription),
    "tokens": ("token_f1", "", _make_tokens),
    "embedding": ("recall_at_k", "", _make_embedding),
}
"""The metric of each, what else its [task] says, and its inputs, targets and the axis of its channels."""


def write_project(folder, task):
    """Write models/NAME with its data and weights for a task and return the recipe's path."""
    from safetensors.torch import save_file

    _, lines, make = TASKS[task]
    inputs, targets, axis = make()
    place = folder / "models" / task
    place.mkdir(parents=True)
    np.savez(place / "data.npz", input=inputs, **targets)
    (place / "model.py").write_text(_SOURCE.read_text())
    options = {"channels": inputs.shape[axis], "axis": axis}
    model = build(**options)
    if task == "reconstruction":
        with torch.no_grad():
            model.back.weight[4:] = 0  # what is in the other half is not given back
    save_file(model.state_dict(), str(place / "weights.safetensors"))
    names = sorted({name.partition(".")[0] for name in targets})
    (place / "recipe.toml").write_text(
        f"""[model]
build = "model.py:build"
build_options = {{ channels = {options["channels"]}, axis = {options["axis"]} }}
weights = "weights.safetensors"

[data]
name = "npz"
options = {{ path = "data.npz", targets = [{", ".join(f'"{name}"' for name in names)}] }}

[task]
name = "{task}"
{lines}

[quantize]
calibration = "minmax"
choose_by_measurement = false
"""
    )
    return place / "recipe.toml"
