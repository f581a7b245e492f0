import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.preprocess.picture import prepare_picture
from toolchain.agent.sensor import PictureSpec

SPEC = {
    "type": "uint8",
    "layout": "NHWC",
    "colour": "RGB",
    "height": 4,
    "width": 8,
    "resize": "letterbox",
    "fill": 114,
    "crop_share": 1.0,
}
FRAME = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


def prepare(frame=FRAME, **changes):
    return prepare_picture(frame, PictureSpec(**{**SPEC, **changes}))


def test_a_letterbox_has_the_fill_around_the_frame():
    tensor, at = prepare()
    assert tensor.shape == (1, 4, 8, 3)
    assert (at.left, at.top, at.width, at.height) == (2, 0, 4, 4)
    assert (tensor[0, :, :2] == 114).all()
    assert (tensor[0, :, 6:] == 114).all()
    assert (tensor[0, :, 2:6] != 114).any()


def test_a_crop_is_a_part_of_the_resized_frame():
    tensor, at = prepare(resize="crop")
    assert (at.left, at.top, at.width, at.height) == (0, -2, 8, 8)
    assert (tensor[0] == FRAME[2:6]).all()


def test_the_channels_come_first_where_the_layout_says_so():
    frame = FRAME[:4]
    assert (
        prepare(frame, resize="none", layout="NCHW")[0] == prepare(frame, resize="none")[0].transpose(0, 3, 1, 2)
    ).all()


@pytest.mark.parametrize(
    "frame", [FRAME[..., :1], FRAME.astype(np.float32), FRAME[None], FRAME.transpose(2, 0, 1)], ids=str
)
def test_a_frame_of_another_kind_is_refused(frame):
    with pytest.raises(ToolchainError) as caught:
        prepare(frame)
    assert caught.value.code == ExitCode.USAGE


def test_a_frame_of_the_kind_is_taken():
    assert prepare()[0].dtype == np.uint8
    assert prepare(FRAME[..., :1], colour="grey")[0].shape == (1, 4, 8, 1)
