import dataclasses

import numpy as np
import pytest

from tests.agent.measure.camera_bundle import describe_camera_bundle
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import DecoderSpec, read_manifest
from toolchain.agent.measure.golden import open_golden
from toolchain.agent.measure.pairs import check_pairs


@pytest.fixture
def bundle(make_bundle, tmp_path):
    return make_bundle(**describe_camera_bundle(tmp_path))


def check(bundle, change=lambda manifest: manifest):
    manifest, _ = read_manifest(bundle)
    check_pairs(bundle, change(manifest), open_golden(bundle, manifest))


def refuse(bundle, code=ExitCode.PARITY, change=lambda manifest: manifest):
    with pytest.raises(ToolchainError) as caught:
        check(bundle, change)
    assert caught.value.code == code
    return caught.value


def rewrite(bundle, name, change):
    path = bundle / "golden" / f"{name}.npy"
    np.save(path, change(np.load(path)))


def change_picture(manifest, **changes):
    picture = dataclasses.replace(manifest.input.picture, **changes)
    return dataclasses.replace(manifest, input=dataclasses.replace(manifest.input, picture=picture))


def test_pairs_that_the_agent_makes_too_are_taken(bundle):
    check(bundle)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tensor-1", lambda tensor: tensor ^ (np.arange(tensor.size).reshape(tensor.shape) == 7)),
        ("tensor-0", lambda tensor: tensor[..., ::-1]),  # the colours mixed up
        ("tensor-0", lambda tensor: tensor.transpose(0, 3, 1, 2)),
        ("tensor-0", lambda tensor: tensor.astype(np.float32)),
        # Boxes by the fraction before it was rounded.
        ("restored-1", lambda boxes: np.nextafter(boxes, np.float32(1e9))),
        ("boxes", lambda boxes: boxes + np.float32(0.25)),
        ("answer-0", lambda scores: scores * 1.01),
    ],
)
def test_one_other_bit_of_a_pair_is_refused(bundle, name, change):
    rewrite(bundle, name, change)
    refuse(bundle)


@pytest.mark.parametrize(
    "colour", ["NV21/BT.601/limited", "NV12/BT.709/limited", "NV12/BT.601/full", "I420/BT.601/limited"]
)
def test_yuv_of_another_kind_than_the_pairs_were_made_of_is_refused(make_bundle, tmp_path, colour):
    bundle = make_bundle(**describe_camera_bundle(tmp_path, colour="NV12/BT.601/limited"))
    check(bundle)
    refuse(bundle, change=lambda manifest: change_picture(manifest, colour=colour))


def test_answers_may_be_of_the_first_samples_alone(bundle):
    rewrite(bundle, "answer-0", lambda scores: scores[:-1])
    check(bundle)


@pytest.mark.parametrize("changes", [{"fill": 113}, {"resize": "stretch"}, {"resize": "crop"}], ids=str)
def test_another_rule_than_the_pairs_were_made_by_is_refused(bundle, changes):
    refuse(bundle, change=lambda manifest: change_picture(manifest, **changes))


def test_another_decoder_is_refused(bundle):
    def change(manifest):
        metric = dataclasses.replace(manifest.metric, decoder=DecoderSpec(name="sigmoid"))
        return dataclasses.replace(manifest, metric=metric)

    refuse(bundle, change=change)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("picture-0", lambda frame: frame[..., 0]),
        ("picture-0", lambda frame: np.zeros((5000, 1, 3), np.uint8)),
        ("boxes", lambda boxes: boxes[0]),
    ],
)
def test_what_is_no_frame_or_no_box_is_malformed(bundle, name, change):
    rewrite(bundle, name, change)
    refuse(bundle, ExitCode.MALFORMED)


def test_answers_without_a_decoder_are_malformed(bundle):
    def change(manifest):
        return dataclasses.replace(manifest, metric=dataclasses.replace(manifest.metric, decoder=None))

    refuse(bundle, ExitCode.MALFORMED, change)
