"""Sensors for tests, and what they give."""

from dataclasses import replace

import numpy as np

from toolchain.agent.sensor import InGraph, InputSpec, PictureSpec, SoundSpec

PICTURE = PictureSpec(
    type="uint8", layout="NHWC", colour="BGR", height=4, width=6, resize="none", fill=114, crop_share=1.0
)
IN_GRAPH = InGraph(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), model_layout="NCHW", model_colour="RGB")
CAMERA = InputSpec(name="input", picture=PICTURE, sound=None, in_graph=IN_GRAPH)
MICROPHONE = InputSpec(
    name="input",
    picture=None,
    sound=SoundSpec(type="int16", rate_hz=16000),
    in_graph=InGraph(scale=1 / 32768, mean=(0.0,), std=(1.0,), model_layout=None, model_colour=None),
)


def change_camera(*, graph=None, **changes):
    """Return the camera with another picture, and another way to the model."""
    return replace(CAMERA, picture=replace(PICTURE, **changes), in_graph=replace(IN_GRAPH, **(graph or {})))


def draw_pixels(count=3, height=4, width=6):
    """Return pictures in RGB (count, height, width, 3), whose channels differ."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, height, width, 3)) * np.array([1.0, 0.6, 0.3])
    return drawn.astype(np.uint8)


def normalize(pixels, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)):
    """Return pictures as a training prepares them, written down by another hand: (count, 3, height, width)."""
    return ((pixels / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2).astype(np.float32)
