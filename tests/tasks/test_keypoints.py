"""Heat maps learn where the visible points of one person lie; what is no heat map and no point is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.objectives import make_objective
from tests.tasks.made_points import draw_faces, give, take_tensors
from toolchain.agent.measure.decoders import find_decoder
from toolchain.agent.measure.metrics import find_metric
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.fit import FitSettings, fit, learn, start_accelerator
from toolchain.tasks import find_task

POINTS = np.array([[[4, 8, 2], [20, 12, 1]], [[0, 0, 1], [9, 9, 0]], [[31, 16, 2], [1, 30, 2]]], np.float32)
SHAPE = (3, 2, 8, 8)
DISTANCES = ("squared", "cross_entropy")


def make(**options):
    return make_objective("keypoints", points=2, **options)


def decode(maps, **options):
    objective = make(**options)
    decoder = find_decoder(objective.task.DECODER, objective.task.describe_decoder(objective.options))
    return decoder.decode({"y": maps}, {})


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("points", [POINTS, [POINTS[:1, :], np.zeros((0, 2, 3)), POINTS[2:]]], ids=["array", "ragged"])
def test_maps_that_follow_the_gradient_are_decoded_to_the_visible_points(distance, points):
    objective, samples = make(distance=distance, sigma_cells=1.0), give(points)
    maps = torch.nn.Parameter(torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.Adam([maps], lr=0.1)
    first = last = None
    for _ in range(300):
        loss = objective.loss({"y": maps}, take_tensors(samples))
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = loss.item()
    assert last < first / 100
    found = decode(maps.detach().numpy())["points"]
    for sample, point in ((0, 0), (0, 1), (2, 0), (2, 1)):
        assert np.abs(found[sample, point, :2] - np.minimum(POINTS[sample, point, :2], 28)).max() <= 2.0


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_point_that_is_not_visible_moves_no_weight_not_even_as_a_nan(distance):
    points = np.array([[[4, 8, 1], [np.nan, np.inf, 0]]], np.float32)
    maps = torch.nn.Parameter(torch.zeros(1, 2, 8, 8))
    make(distance=distance).loss({"y": maps}, take_tensors(give(points))).backward()
    assert torch.isfinite(maps.grad).all()
    assert (maps.grad[0, 1] == 0).all()
    assert (maps.grad[0, 0] != 0).any()


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_batch_without_a_visible_point_has_a_loss_of_nothing(distance):
    maps = torch.nn.Parameter(torch.ones(2, 2, 8, 8))
    loss = make(distance=distance).loss({"y": maps}, take_tensors(give(np.zeros((2, 2, 3)))))
    loss.backward()
    assert loss.item() == 0
    assert (maps.grad == 0).all()


def test_the_loss_of_samples_is_their_mean_in_any_order():
    maps = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    order = [2, 0, 1]
    losses = [
        make().loss({"y": given}, take_tensors(give(points))).item()
        for given, points in ((maps, POINTS), (maps[order], POINTS[order]))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_map_is_highest_in_the_cell_that_the_decoder_reads():
    points = np.array([[[12, 20, 1], [28, 0, 1]]], np.float32)
    maps = torch.nn.Parameter(torch.zeros(1, 2, 8, 8))
    make().loss({"y": maps}, take_tensors(give(points))).backward()
    assert np.array_equal(decode(-maps.grad.numpy())["points"][..., :2], points[..., :2])


def test_the_quarter_of_a_cell_is_an_option():
    maps = np.zeros((1, 2, 8, 8), np.float32)
    maps[0, :, 3, 3], maps[0, :, 3, 4] = 1.0, 0.5
    assert decode(maps)["points"][0, 0, :2].tolist() == [13.0, 12.0]
    assert decode(maps, quarter=False)["points"][0, 0, :2].tolist() == [12.0, 12.0]


@pytest.mark.parametrize(
    ("shape", "points", "found"),
    [
        ((3, 3, 8, 8), POINTS, "(3, 3, 8, 8)"),
        ((3, 2, 64), POINTS, "(3, 2, 64)"),
        (SHAPE, POINTS[..., :2], "(3, 2, 2)"),
        (SHAPE, POINTS[:, :1], "(3, 1, 3)"),
        (SHAPE, POINTS + np.array([0, 8, 0], np.float32), "[1.0, 38.0, 2.0]; 1 such samples"),
        (SHAPE, np.array([[[np.nan, 1, 1], [1, 1, 1]]]), "[nan, 1.0, 1.0]; 1 such samples"),
        (SHAPE, np.array([[[1, 1, np.nan], [1, 1, 1]]]), "[1.0, 1.0, nan]; 1 such samples"),
        (SHAPE, np.zeros((3, 2, 3)), "3 samples without one"),
        (SHAPE, [POINTS[:2], POINTS[2:]], "2"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_training(shape, points, found):
    with pytest.raises(ToolchainError) as caught:
        make().check({"y": np.zeros(shape)}, give(points), where="data")
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
    assert found in caught.value.found


@pytest.mark.parametrize("points", [POINTS, [POINTS[:1], np.zeros((0, 2, 3))]], ids=["array", "ragged"])
def test_what_fits_is_taken(points):
    make().check({"y": np.zeros(SHAPE)}, give(points), where="data")


def test_a_point_that_a_tool_rounded_out_of_the_picture_is_taken():
    make().check({"y": np.zeros((1, 2, 8, 8))}, give(np.array([[[-1, 33, 2], [4, 4, 1]]])), where="data")


@pytest.mark.parametrize("pairs", [[[0, 2]], [[0, 0]], [[-1, 0]], [[0, 1], [1, 0]]])
def test_pairs_of_points_that_there_are_not_are_refused(pairs):
    from toolchain.tasks import check_options

    with pytest.raises(ToolchainError) as caught:
        check_options("keypoints", {"points": 2, "pairs": pairs}, where="task.options")
    assert caught.value.code is ExitCode.USAGE


def test_a_picture_is_mirrored_only_where_the_pairs_are_known():
    assert not make().allows_mirroring
    assert make(pairs=[]).allows_mirroring
    assert make(pairs=[[0, 1]]).moves["points"].pairs == ((0, 1),)
    assert make_objective("segmentation").allows_mirroring
    assert not make_objective("regression").allows_mirroring


class Net(nn.Module):
    """Two convolutions at the full size."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 2, 5, padding=2))

    def forward(self, x):
        return self.layers(x)


def test_a_small_net_learns_points_from_shifted_and_mirrored_pictures():
    # In a mirror the bright eye is the right one: its points change places, and the right map is that of the bright eye's
    # place in half of the pictures. What tells the eyes apart is then the side alone, which a pair says.
    task = find_task("keypoints")
    objective = make(stride=1.0, sigma_cells=1.0, distance="cross_entropy", pairs=[[0, 1]])
    torch.manual_seed(0)
    model = Net()
    fit(
        model,
        draw_faces(256, seed=0),
        FitSettings(
            epochs=8,
            batch_size=32,
            learning_rate=0.02,
            optimizer="adamw",
            crop_padding=1,
            flip=objective.allows_mirroring,
        ),
        accelerator=start_accelerator(),
        loss=learn(objective.loss),
        targets=task.TARGETS,
        moves=objective.moves,
    )
    test = draw_faces(64, seed=1)
    with torch.no_grad():
        maps = model.eval()(torch.from_numpy(test.pictures)).float().numpy()
    decoder = find_decoder("heat_maps", task.describe_decoder(objective.options))
    tally = find_metric(task.METRIC, {"alpha": 0.3}).start()
    tally.add(decoder.decode({"y": maps}, {}), test.targets)
    assert tally.compute() > 0.9
