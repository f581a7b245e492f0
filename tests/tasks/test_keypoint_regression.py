"""Numbers learn where the visible points of one person lie; what is no pair of numbers a point is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.objectives import make_objective
from tests.tasks.made_points import give, take_tensors
from toolchain.agent.measure.decoders import find_decoder
from toolchain.errors import ExitCode, ToolchainError

POINTS = np.array([[[4, 8, 2], [20, 12, 1]], [[0, 0, 1], [9, 9, 0]], [[31, 16, 2], [1, 30, 2]]], np.float32)
SCALE = [32.0, 64.0]


def make(**options):
    return make_objective("keypoint_regression", points=2, **{"scale": SCALE, **options})


@pytest.mark.parametrize("shape", [(3, 2, 2), (3, 4)])
@pytest.mark.parametrize("points", [POINTS, [POINTS[:1], np.zeros((0, 2, 3)), POINTS[2:]]], ids=["array", "ragged"])
def test_numbers_that_follow_the_gradient_are_decoded_to_the_visible_points(shape, points):
    objective = make()
    numbers = torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.Adam([numbers], lr=0.05)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 300)
        loss = objective.loss({"y": numbers}, take_tensors(give(points)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    decoder = find_decoder("points", objective.task.describe_decoder(objective.options))
    found = decoder.decode({"y": numbers.detach().numpy()}, {})["points"]
    for sample, point in ((0, 0), (0, 1), (2, 0), (2, 1)):
        np.testing.assert_allclose(found[sample, point, :2], POINTS[sample, point, :2], atol=0.5)


def test_it_is_the_smooth_l1_of_the_visible_points_by_the_definition():
    numbers = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 2, 2)))
    parts = []
    for sample, point in np.argwhere(POINTS[..., 2] > 0):
        away = np.abs(numbers[sample, point].numpy() - POINTS[sample, point, :2] / SCALE)
        parts.append(sum(0.5 * d * d / 0.2 if d < 0.2 else d - 0.1 for d in away))
    found = make(smooth_below=0.2).loss({"y": numbers}, take_tensors(give(POINTS)))
    assert found.item() == pytest.approx(np.mean(parts), rel=1e-5)


def test_a_point_that_is_not_visible_moves_no_weight_not_even_as_a_nan():
    points = np.array([[[4, 8, 1], [np.nan, np.inf, 0]]], np.float32)
    numbers = torch.nn.Parameter(torch.zeros(1, 2, 2))
    make().loss({"y": numbers}, take_tensors(give(points))).backward()
    assert torch.isfinite(numbers.grad).all()
    assert (numbers.grad[0, 1] == 0).all()
    assert (numbers.grad[0, 0] != 0).all()


def test_a_batch_without_a_visible_point_has_a_loss_of_nothing():
    numbers = torch.nn.Parameter(torch.ones(2, 2, 2))
    loss = make().loss({"y": numbers}, take_tensors(give(np.zeros((2, 2, 3)))))
    loss.backward()
    assert loss.item() == 0
    assert (numbers.grad == 0).all()


@pytest.mark.parametrize("shape", [(3, 2, 2), (3, 4)])
def test_what_fits_is_taken(shape):
    make().check({"y": np.zeros(shape)}, give(POINTS), where="data")


@pytest.mark.parametrize(
    ("shape", "points", "found"),
    [
        ((3, 2, 3), POINTS, "(3, 2, 3)"),
        ((3, 5), POINTS, "(3, 5)"),
        ((3, 2, 2), POINTS[:, :1], "(3, 1, 3)"),
        ((3, 2, 2), np.array([[[np.inf, 1, 1], [1, 1, 1]]]), "[inf, 1.0, 1.0]; 1 such samples"),
        ((3, 2, 2), np.zeros((3, 2, 3)), "3 samples without one"),
        ((3, 2, 2), [POINTS[:2], POINTS[2:]], "2"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_training(shape, points, found):
    with pytest.raises(ToolchainError) as caught:
        make().check({"y": np.zeros(shape)}, give(points), where="data")
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
    assert found in caught.value.found


def test_a_picture_is_mirrored_only_where_the_pairs_are_known():
    assert not make().allows_mirroring
    assert make(pairs=[[0, 1]]).moves["points"].pairs == ((0, 1),)
