"""[input] of a recipe: what the sensor gives, where that is not what the model takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from toolchain.agent.sensor import (
    CROP_SHARE_MIN,
    PACKINGS,
    SIDE_MAX,
    InGraph,
    InputSpec,
    PictureSpec,
    SoundSpec,
    count_channels,
)
from toolchain.errors import ToolchainError, usage
from toolchain.project.text_section import TextSection, find_text_contradiction
from toolchain.project.toml_file import Section

_SIDE = Annotated[int, Field(ge=1, le=SIDE_MAX)]
# To 1: the largest number of each type. What floats are, only the sensor's maker knows.
_SCALES = {"uint8": 1 / 255, "int16": 1 / 32768, "uint16": 1 / 65535, "float32": 1.0}


class InputSection(Section):
    """What the sensor gives; the graph makes of it what the model takes: (x * scale - mean) / std, layout and colours."""

    kind: Literal["picture", "sound"] = "picture"
    name: str | None = None
    """The model's input that the sensor feeds; None where it has one."""
    type: Literal["uint8", "int16", "uint16", "float32"] = "uint8"
    """Of a number that the sensor gives."""
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    """Of the pictures as the payload gets them."""
    colour: Literal["RGB", "BGR", "grey", "NV12", "NV21", "I420", "YUYV"] = "RGB"
    """Of the sensor's pixels; what a camera gives through OpenCV is BGR. The last four are YUV, as V4L2 names them."""
    matrix: Literal["BT.601", "BT.709"] | None = None
    """Of YUV: how brightness and colour were made of red, green and blue; mostly BT.601 up to 576 lines, and BT.709 above."""
    range: Literal["limited", "full"] | None = None
    """Of YUV: limited is 16 to 235, what video mostly has; full is 0 to 255, what JPEG has."""
    size: Annotated[list[_SIDE], Field(min_length=2, max_length=2)] | None = None
    """Height and width of the pictures as the payload gets them."""
    resize: Literal["none", "letterbox", "stretch", "crop"] = "none"
    """How the application makes a frame of another size fit; "none" refuses one."""
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    """What a letterbox is filled with; 114 is the habit of YOLO."""
    crop_share: Annotated[float, Field(ge=CROP_SHARE_MIN, le=1)] = 1.0
    """Of a crop: which share of the resized frame the input is, 0.875 for 224 of 256."""
    scale: float | None = None
    """What the sensor's numbers are multiplied with; None takes 1 / 255 of uint8, 1 / 32768 of int16, 1 / 65535 of uint16."""
    mean: Annotated[list[float], Field(min_length=1, max_length=3)] = Field(default=[0.0])
    """What is taken off after that: one number, or one for each channel in the order of model_colour."""
    std: Annotated[list[float], Field(min_length=1, max_length=3)] = Field(default=[1.0])
    """What that is divided by."""
    rate_hz: Annotated[int, Field(ge=1)] | None = None
    """Of sound."""
    model_layout: Literal["NHWC", "NCHW"] = "NCHW"
    """Of the model as it was trained."""
    model_colour: Literal["RGB", "BGR"] = "RGB"
    """The order of the colours that the model was trained with."""
    prepared: str | None = None
    """An .npz file, relative to the recipe, with the first evaluation samples as your own code prepares them for the model."""
    text: TextSection | None = None
    """How a text becomes the model's inputs, and nothing else then but prepared; None where the sensor gives no text."""


def describe_input(section: InputSection, name: str) -> InputSpec:
    """Return the input of a picture or sound as manifests have it, under the name that it has in the graph."""
    is_picture = section.kind == "picture"
    scale = _SCALES[section.type] if section.scale is None else section.scale
    grey = section.colour == "grey"
    is_yuv = section.colour in PACKINGS
    in_graph = InGraph(
        scale=scale,
        mean=tuple(section.mean),
        std=tuple(section.std),
        model_layout=section.model_layout if is_picture else None,
        model_colour=("grey" if grey else section.model_colour) if is_picture else None,
    )
    if not is_picture:
        sound = SoundSpec(type=section.type, rate_hz=section.rate_hz or 0)
        return InputSpec(name=name, picture=None, sound=sound, in_graph=in_graph)
    height, width = section.size or (0, 0)
    picture = PictureSpec(
        type=section.type,
        layout=section.layout,
        colour=f"{section.colour}/{section.matrix}/{section.range}" if is_yuv else section.colour,
        height=height,
        width=width,
        resize=section.resize,
        fill=section.fill,
        crop_share=section.crop_share,
    )
    return InputSpec(name=name, picture=picture, sound=None, in_graph=in_graph)


# What only the other kind of sensor has.
_OF_PICTURES = (
    "layout",
    "colour",
    "matrix",
    "range",
    "size",
    "resize",
    "fill",
    "crop_share",
    "model_layout",
    "model_colour",
)
_OF_SOUND = ("rate_hz",)


def find_input_contradiction(section: InputSection, where: str) -> ToolchainError | None:
    """Return the error for keys of [input] that are right each and cannot be true together."""
    if section.text is not None:
        return _find_key_beside_text(section, where) or find_text_contradiction(section.text, f"{where}: input.text")
    return _find_numbers_contradiction(section, where)


def _find_key_beside_text(section: InputSection, where: str) -> ToolchainError | None:
    for key in sorted(section.model_fields_set - {"text", "prepared"}):
        what, found = f"{key} says nothing of a text", str(getattr(section, key))
        return _explain(f"input.{key}", what, "none beside text", found, where, "remove it")
    return None


def _find_numbers_contradiction(section: InputSection, where: str) -> ToolchainError | None:
    is_picture = section.kind == "picture"
    needed = "size" if is_picture else "rate_hz"
    if getattr(section, needed) is None:
        example = "size = [96, 96], height and width" if is_picture else "rate_hz = 16000"
        return _explain(
            f"input.{needed}", f"a {section.kind} needs {needed}", needed, "none", where, f"write {example}"
        )
    for key in _OF_SOUND if is_picture else _OF_PICTURES:
        if key in section.model_fields_set:
            what = f"{key} says nothing of a {section.kind}"
            return _explain(f"input.{key}", what, f"none beside kind = {section.kind!r}", "one", where, "remove it")
    if section.resize != "none" and section.type != "uint8":
        what = "only pictures of uint8 are resized, in whole numbers"
        return _explain("input.resize", what, '"none"', section.resize, where, "give frames of the input's size")
    channels = count_channels(section.colour) if is_picture else 1
    for key in ("mean", "std"):
        count = len(getattr(section, key))
        if count not in (1, channels):
            what = f"{key} does not fit the channels"
            return _explain(f"input.{key}", what, f"1 number or {channels}", str(count), where, f"correct {key}")
    if section.scale == 0 or 0 in section.std:
        what = "what the sensor gives would be one number"
        return _explain("input", what, "a scale and deviations that are not 0", "0", where, "correct scale or std")
    return _find_yuv_contradiction(section, where) if is_picture else None


def _find_yuv_contradiction(section: InputSection, where: str) -> ToolchainError | None:
    """Return the error for YUV of which something is left open: colours that are mixed up look like a model that is worse."""
    said = {"matrix": section.matrix, "range": section.range}
    if section.colour not in PACKINGS:
        given = [(key, value) for key, value in said.items() if value is not None]
        for key, value in given:
            return _explain(
                f"input.{key}", f"{key} says nothing of {section.colour}", "none", value, where, "remove it"
            )
        return None
    odd = section.resize == "none" and any(side % 2 for side in section.size or ())
    ask = "the sensor's data sheet says it, or v4l2-ctl --all"
    prepare = "name in prepared some evaluation samples that your own code has prepared of the same frames"
    rows = (
        (section.matrix is None, "matrix", f"{section.colour} needs matrix", "BT.601 or BT.709", "none", ask),
        (section.range is None, "range", f"{section.colour} needs range", "limited or full", "none", ask),
        (odd, "size", "YUV frames have even sides", "even numbers", str(section.size), "let resize say how"),
        (section.type != "uint8", "type", "YUV frames are bytes", '"uint8"', section.type, "remove type"),
        (section.prepared is None, "prepared", f"nothing shows that it is {section.colour}", "a file", "none", prepare),
    )
    wrong = ((key, what, expected, found, fix) for holds, key, what, expected, found, fix in rows if holds)
    for key, what, expected, found, fix in wrong:
        return _explain(f"input.{key}", what, expected, found, where, fix)
    return None


def _explain(key: str, what: str, expected: str, found: str, where: str, fix: str) -> ToolchainError:
    return usage(what, where=f"{where}: {key}", expected=expected, found=found, fix=fix)
