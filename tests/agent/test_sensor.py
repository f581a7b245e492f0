from dataclasses import replace

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.sensor import NO_PAIRS, GoldenPairs, InGraph, InputSpec, PictureSpec, SoundSpec, check_sensor

IN_GRAPH = InGraph(scale=1 / 255, mean=(0.5,), std=(0.25,), model_layout="NCHW", model_colour="RGB")
PICTURE = PictureSpec(
    type="uint8", layout="NHWC", colour="BGR", height=4, width=6, resize="letterbox", fill=114, crop_share=1.0
)
INPUT = InputSpec(name="x", picture=PICTURE, sound=None, in_graph=IN_GRAPH)
FED = TensorSpec(name="x", dtype="uint8", shape=(None, 4, 6, 3))
SOUND = InputSpec(name="x", picture=None, sound=SoundSpec(type="int16", rate_hz=16000), in_graph=IN_GRAPH)


def check(spec=INPUT, fed=FED, pairs=NO_PAIRS):
    check_sensor(spec, [fed], pairs)


def test_a_sensor_that_feeds_the_input_is_taken():
    check()
    check(None)
    check(SOUND, replace(FED, dtype="int16", shape=(None, 16000)))


def change(**changes):
    return replace(INPUT, picture=replace(PICTURE, **changes))


@pytest.mark.parametrize(
    ("spec", "fed"),
    [
        (replace(INPUT, name="y"), FED),
        (INPUT, replace(FED, dtype="float32")),
        (INPUT, replace(FED, shape=(None, 3, 4, 6))),
        (change(layout="NCHW"), FED),
        (change(height=6, width=4), FED),
        (change(colour="CMYK"), FED),
        (change(resize="tile"), FED),
        (change(fill=256), FED),
        (change(crop_share=0.0), FED),
        (change(type="uint16"), replace(FED, dtype="uint16")),
        (replace(INPUT, sound=SOUND.sound), FED),
        (replace(INPUT, picture=None), FED),
        (replace(INPUT, in_graph=replace(IN_GRAPH, mean=(0.1, 0.2))), FED),
        (replace(INPUT, in_graph=replace(IN_GRAPH, std=(0.0,))), FED),
    ],
    ids=range(14),
)
def test_a_sensor_that_does_not_fit_the_input_is_refused(spec, fed):
    with pytest.raises(ToolchainError) as caught:
        check(spec, fed)
    assert caught.value.code == ExitCode.MALFORMED


def test_boxes_without_frames_are_refused():
    with pytest.raises(ToolchainError) as caught:
        check(pairs=GoldenPairs(boxes="golden/boxes.npy"))
    assert caught.value.code == ExitCode.MALFORMED
