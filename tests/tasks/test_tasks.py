"""Every task has a loss that falls towards the right answer, and refuses outputs and targets that are none of its."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.objectives import make_objective
from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.fit import take_target_tensors
from toolchain.project.members import list_members
from toolchain.project.seams import TASKS
from toolchain.tasks import find_task

GENERATOR = np.random.default_rng(0)


@dataclass(frozen=True)
class Given:
    """Targets of made samples, and their inputs."""

    targets: dict
    inputs: np.ndarray
    sha256: str = "made"

    def __len__(self):
        return len(self.inputs)

    def batch(self, start, stop):
        return {"input": self.inputs[start:stop]}


def give(inputs=None, **targets):
    count = len(next(iter(targets.values()))) if targets else len(inputs)
    return Given(targets=targets, inputs=np.zeros((count, 2), np.float32) if inputs is None else inputs)


def write_texts(*texts):
    rows = [np.frombuffer(text.encode(), np.uint8) for text in texts]
    return Ragged(values=np.concatenate(rows), offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64))


PICTURES = GENERATOR.normal(size=(4, 6)).astype(np.float32)
MASKS = np.array([[[0, 1], [2, 255]], [[1, 1], [0, 2]]])

# Options, samples, the shape of the first output.
CASES = {
    "classification": ({}, give(labels=np.array([0, 2, 1])), (3, 3)),
    "multi_label": ({}, give(labels=np.array([[0, 1, 1], [1, 0, 0]])), (2, 3)),
    "regression": ({}, give(values=np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)), (2, 2)),
    "reconstruction": ({}, give(PICTURES), (4, 6)),
    "segmentation": ({}, give(mask=MASKS), (2, 3, 2, 2)),
    "tokens": ({}, give(tags=np.array([[0, 1, -100], [2, -100, -100]])), (2, 3, 3)),
    "transcription": ({"alphabet": "ab"}, give(text=write_texts("ab", "b")), (2, 5, 3)),
    "embedding": ({}, give(identity=np.array([0, 0, 1, 1])), (4, 3)),
}


def compute(name, output, options, samples):
    objective = make_objective(name, **options)
    inputs = {key: torch.from_numpy(array) for key, array in samples.batch(0, len(samples)).items()}
    device = torch.device("cpu")
    targets = take_target_tensors(samples, objective.targets, np.arange(len(samples)), inputs, device=device)
    return objective.loss({"output": output}, targets)


def test_every_task_of_the_toolchain_is_tried_here():
    assert {name for name, member in list_members(TASKS).items() if member.is_ours} <= {*CASES, *ELSEWHERE}


ELSEWHERE = {"detection", "keypoints", "keypoint_regression"}
"""Those with a test file of their own."""


@pytest.mark.parametrize("name", CASES)
def test_a_loss_falls_to_nearly_nothing_where_the_outputs_follow_its_gradient(name):
    options, samples, shape = CASES[name]
    output = torch.nn.Parameter(torch.from_numpy(GENERATOR.normal(size=shape)).float())
    optimizer = torch.optim.Adam([output], lr=0.2)
    first = last = None
    for _ in range(300):
        loss = compute(name, output, options, samples)
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = loss.item()
    assert last < first / 10


@pytest.mark.parametrize("name", CASES)
def test_what_fits_a_task_is_taken_and_an_output_of_no_such_shape_is_refused(name):
    options, samples, shape = CASES[name]
    objective = make_objective(name, **options)
    objective.check({"output": np.zeros(shape)}, samples, where="data")
    with pytest.raises(ToolchainError) as caught:
        objective.check({"output": np.zeros((shape[0],))}, samples, where="data")
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("name", CASES)
def test_samples_without_a_tasks_targets_are_refused(name):
    options, _, shape = CASES[name]
    objective = make_objective(name, **options)
    bare: Samples = give(np.zeros((shape[0], *shape[1:]), np.float32))
    if set(objective.targets) == {"input"}:
        objective.check({"output": np.zeros(shape)}, bare, where="data")  # every sample has itself
        return
    with pytest.raises(ToolchainError, match=r"no .* to learn from"):
        objective.check({"output": np.zeros(shape)}, bare, where="data")


BAD = {
    "a label beyond the outputs": ("classification", {}, give(labels=np.array([0, 3])), (2, 3), "sample 1 has 3"),
    "half a class": ("multi_label", {}, give(labels=np.array([[0, 2, 1]])), (1, 3), "[0 2 1]"),
    "a value that is none": ("regression", {}, give(values=np.array([[1.0], [np.nan]])), (2, 1), "1 of 2"),
    "a mask of another size": ("segmentation", {}, give(mask=MASKS), (2, 3, 4, 4), "(2, 3, 4, 4)"),
    "a class without scores": ("segmentation", {}, give(mask=MASKS), (2, 2, 2, 2), "2"),
    "a tag beyond the outputs": ("tokens", {}, give(tags=np.array([[0, 7]])), (1, 2, 3), "7"),
    "a letter beyond the alphabet": (
        "transcription", {"alphabet": "ab"}, give(text=write_texts("a", "ax")), (2, 5, 3), "'x' in 'ax'"
    ),
    "a text longer than the steps": (
        "transcription", {"alphabet": "ab"}, give(text=write_texts("aababab")), (1, 5, 3), "7: 'aababab'"
    ),
    "scores of another alphabet": (
        "transcription", {"alphabet": "abc"}, give(text=write_texts("a")), (1, 5, 3), "(1, 5, 3)"
    ),
    "no UTF-8": (
        "transcription", {"alphabet": "ab"},
        give(text=Ragged(values=np.array([0xFF], np.uint8), offsets=np.array([0, 1]))), (1, 5, 3), "utf-8",
    ),
    "identities of others": ("embedding", {}, give(identity=np.zeros((4, 2))), (4, 3), "(4, 2)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_targets_that_fit_no_output_are_refused_before_any_training(case):
    name, options, samples, shape, found = BAD[case]
    with pytest.raises(ToolchainError) as caught:
        make_objective(name, **options).check({"output": np.zeros(shape)}, samples, where="data")
    assert caught.value.code is ExitCode.USAGE
    assert found in caught.value.found


@pytest.mark.parametrize(("alphabet", "text", "form"), [("é", "e\u0301", "NFC"), ("e\u0301", "é", "NFD")])
def test_a_letter_that_is_only_written_in_another_way_is_said_so(alphabet, text, form):
    objective = make_objective("transcription", alphabet=alphabet)
    scores = np.zeros((1, 5, 1 + len(alphabet)))
    with pytest.raises(ToolchainError, match="alphabet lacks") as caught:
        objective.check({"output": scores}, give(text=write_texts(text)), where="data")
    assert f"Unicode's form {form}" in caught.value.fix
    with pytest.raises(ToolchainError) as caught:
        objective.check({"output": scores}, give(text=write_texts("x")), where="data")
    assert "add the letter" in caught.value.fix


def test_the_dice_of_v_net_is_added_to_the_cross_entropy_and_ignored_places_count_in_neither():
    scores = torch.from_numpy(GENERATOR.normal(size=(2, 3, 2, 2)))
    mask = torch.from_numpy(MASKS)
    known = (mask != 255).numpy()
    likely = scores.softmax(1).numpy()
    overlaps = []
    for number in range(3):
        wanted = (number == MASKS) & known
        own = likely[:, number] * known
        overlaps.append(2 * (wanted * own).sum() / (wanted.sum() + own.sum()))
    entropy = F.cross_entropy(scores, mask, ignore_index=255)
    expected = float(entropy) + 1 - np.mean(overlaps)
    found = make_objective("segmentation").loss({"output": scores}, {"mask": mask})
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_likeness_of_vectors_is_that_of_khosla():
    vectors = torch.from_numpy(GENERATOR.normal(size=(5, 4)))
    identity = [0, 0, 1, 1, 2]
    unit = F.normalize(vectors, dim=1).numpy()
    parts = []
    for i in range(4):  # the last has no pair
        others = [j for j in range(5) if j != i]
        total = np.log(sum(np.exp(unit[i] @ unit[j] / 0.1) for j in others))
        positives = [j for j in others if identity[j] == identity[i]]
        parts.append(-np.mean([unit[i] @ unit[j] / 0.1 - total for j in positives]))
    found = make_objective("embedding").loss({"output": vectors}, {"identity": torch.tensor(identity)})
    assert float(found) == pytest.approx(np.mean(parts), rel=1e-4)


def test_a_task_that_nobody_has_is_refused_with_the_nearest():
    with pytest.raises(ToolchainError) as caught:
        find_task("classificaton")
    assert caught.value.fix == "write classification"


def test_an_option_that_a_loss_does_not_have_is_refused():
    from toolchain.tasks import check_options

    with pytest.raises(ToolchainError) as caught:
        check_options("segmentation", {"dice_weigth": 2.0}, where="recipe.toml: task.options")
    assert "dice_weight" in f"{caught.value.fix} {caught.value.expected}"
