import numpy as np
import pytest

from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import Ragged
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.recipe import Recipe
from toolchain.tasks.own_answers import make_answer


def answer(task, metric, read):
    document = {"model": {"onnx": "m.onnx"}, "data": {"name": "npz"}, "task": {"name": task, "truth": "float"}}
    recipe = Recipe.model_validate(document)
    return make_answer(recipe, Scoring(metric, find_metric(metric)))(read)


def make_boxes():
    scores = Ragged(values=np.array([0.9, 0.1, 0.3], np.float32), offsets=np.array([0, 2, 2, 3]))
    boxes = Ragged(values=np.arange(12, dtype=np.float32).reshape(3, 4), offsets=scores.offsets)
    return {"boxes": boxes, "scores": scores, "classes": Ragged(values=np.array([1, 2, 3]), offsets=scores.offsets)}


def test_of_boxes_those_that_are_shown_are_the_truth_sample_by_sample():
    truth = answer("detection", "map", make_boxes())
    assert truth["classes"].values.tolist() == [1, 3]
    assert truth["boxes"].values.tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert truth["boxes"].offsets.tolist() == truth["classes"].offsets.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("task", "metric", "read", "target", "expected"),
    [
        ("classification", "top1", {"any": np.array([[0.1, 0.9], [0.8, 0.2]])}, "labels", [1, 0]),
        ("multi_label", "f1", {"scores": np.array([[0.1, 0.9], [0.8, 0.7]])}, "labels", [[0, 1], [1, 1]]),
        ("segmentation", "miou", {"mask": np.array([[[0, 1]]])}, "mask", [[[0, 1]]]),
        ("tokens", "token_accuracy", {"tags": np.array([[0, 2]])}, "tags", [[0, 2]]),
        ("embedding", "cosine", {"any": np.array([[0.5, 1.0]])}, "embeddings", [[0.5, 1.0]]),
        ("regression", "r2", {"any": np.array([[0.5]])}, "values", [[0.5]]),
        ("regression", "pck", {"points": np.array([[[1.0, 2.0]]])}, "points", [[[1.0, 2.0, 1.0]]]),
    ],
)
def test_what_a_metric_reads_becomes_what_it_compares_with(task, metric, read, target, expected):
    assert answer(task, metric, read)[target].tolist() == expected


def test_texts_are_the_truth_as_they_are_decoded():
    text = Ragged(values=np.frombuffer(b"abc", np.uint8), offsets=np.array([0, 2, 3]))
    assert answer("transcription", "cer", {"text": text})["text"] is text


@pytest.mark.parametrize(
    ("task", "metric", "read"),
    [
        ("embedding", "recall_at_k", {"any": np.ones((2, 3))}),
        ("reconstruction", "auc", {"error": np.ones(2)}),
        ("classification", "top1", {"any": np.ones((2, 1))}),
        ("classification", "top1", {"any": np.ones((2, 3, 4))}),
        ("detection", "map", {"any": np.ones((2, 3))}),
        ("detection", "map", {**make_boxes(), "scores": np.ones(2)}),
        ("segmentation", "miou", {"any": np.ones((2, 3))}),
        ("classification", "top1", {"text": Ragged(values=np.ones(1), offsets=np.array([0, 1]))}),
        ("classification", "top1", {}),
    ],
)
def test_what_is_no_answer_is_refused(task, metric, read):
    with pytest.raises(ToolchainError) as caught:
        answer(task, metric, read)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
