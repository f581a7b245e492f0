import numpy as np
import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder, ssd
from toolchain.agent.measure.detection.forms import make_corners

OPTIONS = {
    "size": [60, 80],
    "grids": [[3, 4], [2, 2]],
    "scales": [0.2, 0.5, 0.9],
    "ratios": [[2.0], [2.0, 3.0]],
    "threshold": 0.3,
}
PRIORS = 3 * 4 * 4 + 2 * 2 * 6


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("ssd", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("ssd", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    boxes = generator.normal(size=(count, PRIORS, 4)).astype(np.float32)
    return {"boxes": boxes, "scores": generator.normal(size=(count, PRIORS, 4)).astype(np.float32)}, {}


def make_torchvisions_priors():
    generator = DefaultBoxGenerator([[2.0], [2.0, 3.0]], scales=[0.2, 0.5, 0.9], clip=True)
    images = ImageList(torch.zeros(1, 3, 60, 80), [(60, 80)])
    return generator(images, [torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 2, 2)])[0]


def test_priors_are_torchvisions():
    options = ssd.Options(
        **{key: tuple(map(tuple, value)) if key in ("grids", "ratios") else value for key, value in OPTIONS.items()}
    )
    corners = make_corners(ssd.make_priors(options), "cxcywh")
    np.testing.assert_allclose(corners, make_torchvisions_priors().numpy(), rtol=1e-4, atol=1e-4)


def test_boxes_and_scores_are_torchvisions():
    outputs, _ = draw(np.random.default_rng(0), 1)
    options = {**OPTIONS, "iou_max": 1.0, "candidates": 30000, "detections": 10**6, "threshold": 0.0}
    made = find_decoder("ssd", options).decode(outputs, {})
    boxes = BoxCoder((10.0, 10.0, 5.0, 5.0)).decode_single(
        torch.from_numpy(outputs["boxes"][0]), make_torchvisions_priors()
    )
    scores = torch.softmax(torch.from_numpy(outputs["scores"][0]), dim=1)[:, 1:].reshape(-1)
    order = np.argsort(-scores.numpy(), kind="stable")
    np.testing.assert_allclose(made["scores"].values, scores.numpy()[order], rtol=1e-5)
    np.testing.assert_allclose(made["boxes"].values, np.repeat(boxes.numpy(), 3, axis=0)[order], rtol=1e-3, atol=1e-3)


def test_priors_may_be_given_and_no_difference_is_the_prior():
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.array([[[0.0, 0.9]]])}
    made = find_decoder("ssd", {"priors": [[20.0, 10.0, 8.0, 4.0]], "activated": True}).decode(outputs, {})
    assert made["boxes"].values.tolist() == [[16.0, 8.0, 24.0, 12.0]]
    assert made["classes"].values.tolist() == [0]


@pytest.mark.parametrize(
    "changes",
    [
        {"priors": [[1.0, 2.0, 3.0, 4.0]]},
        {"size": [60]},
        {"grids": [[3, 4]]},
        {"scales": [0.2, 0.5]},
        {"ratios": [[2.0], [-1.0]]},
        {"variances": [0.1]},
        {"size": []},
    ],
)
def test_options_that_make_no_sense_are_refused(changes):
    refuse_options({**OPTIONS, **changes})


def test_neither_priors_nor_what_makes_them_are_refused():
    refuse_options({})
    refuse_options({"priors": [[1.0, 2.0, 3.0]]})


def test_outputs_of_other_priors_are_refused():
    refuse(OPTIONS, {"boxes": np.zeros((1, 3, 4)), "scores": np.zeros((1, 3, 2))})
