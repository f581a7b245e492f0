"""The sensor: what it gives, what a program makes of it before the payload, and what it makes of the answers, as manifests say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Mapping, Optional, Sequence, Tuple

from .bundle_files import require
from .text import TextPairs, TextSpec, check_text

if TYPE_CHECKING:
    from .manifest import TensorSpec

TYPES = ("uint8", "int16", "uint16", "float32")
"""numpy's names of what sensors give."""
LAYOUTS = ("NHWC", "NCHW")
PACKINGS = ("NV12", "NV21", "I420", "YUYV")
"""How a camera lays brightness and colour into a frame of bytes (V4L2's names; NV21 is Android's)."""
MATRICES = ("BT.601", "BT.709")
RANGES = ("limited", "full")
YUV_COLOURS = tuple("/".join(words) for words in product(PACKINGS, MATRICES, RANGES))
"""Such as NV12/BT.601/limited: frames that become RGB before anything else (measure/preprocess/yuv.py)."""
COLOURS = ("RGB", "BGR", "grey", *YUV_COLOURS)
RESIZES = ("none", "letterbox", "stretch", "crop")
SIDE_MAX = 4096
"""Of a picture as the payload takes it, in pixels; a batch of 50 of that size would take 10 GB."""

CROP_SHARE_MIN = 0.1
"""Less of a frame than a tenth of its side is no picture of it."""


def count_channels(colour: str) -> int:
    """Return how many numbers a pixel of the payload's input has."""
    return 1 if colour == "grey" else 3


@dataclass(frozen=True)
class PictureSpec:
    """A picture as the payload takes it, and the way there from a frame of any size (measure/preprocess/)."""

    type: str
    layout: str
    colour: str
    """Of the frame and of the payload's input alike, and of YUV the frame's: what the model was trained with is the graph's."""
    height: int
    width: int
    resize: str
    fill: int
    """What a letterbox is filled with, in every channel."""
    crop_share: float
    """Of a crop: which share of the resized frame the input is, on the side that is cut least; 1 cuts it not at all."""

    @property
    def is_yuv(self) -> bool:
        """Whether frames are YUV; the payload then gets RGB."""
        return self.colour in YUV_COLOURS

    @property
    def tensor_colour(self) -> str:
        """Of the payload's input."""
        return "RGB" if self.is_yuv else self.colour

    def list_shape(self) -> Tuple[Optional[int], ...]:
        """Return the shape of the input, of any number of samples."""
        channels = count_channels(self.colour)
        if self.layout == "NCHW":
            return (None, channels, self.height, self.width)
        return (None, self.height, self.width, channels)


@dataclass(frozen=True)
class SoundSpec:
    """Sound as the payload takes it."""

    type: str
    rate_hz: int


@dataclass(frozen=True)
class InGraph:
    """What the payload's graph does with the sensor's numbers: y = (x * scale - mean) / std. For people: programs don't."""

    scale: float
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    """Of each channel in the order of model_colour, or one for all."""
    model_layout: Optional[str]
    model_colour: Optional[str]


@dataclass(frozen=True)
class InputSpec:
    """The input of the payload that the sensor feeds, a picture, a sound or a text; others are fed as they are, of a text none."""

    name: str
    picture: Optional[PictureSpec]
    sound: Optional[SoundSpec]
    in_graph: InGraph
    text: Optional[TextSpec] = None

    @property
    def type(self) -> str:
        """What the sensor gives as numbers; an empty text where it gives none."""
        if self.picture is not None:
            return self.picture.type
        return "" if self.sound is None else self.sound.type

    def list_files(self) -> Tuple[str, ...]:
        """Return the files of the bundle that it takes to prepare an input."""
        return () if self.text is None or self.text.file is None else (self.text.file,)


@dataclass(frozen=True)
class OutputSpec:
    """What the answers mean beside what the decoder of the metric says: the names of the classes, by number."""

    classes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class PicturePair:
    """A frame (h, w, c) and the tensor (1, ...) made of it, as .npy files; where it lies in the tensor; `boxes` restored to it."""

    picture: str
    tensor: str
    left: int
    top: int
    width: int
    height: int
    restored: str


@dataclass(frozen=True)
class GoldenPairs:
    """Golden pairs at both ends, .npy files: any program's own pre- and post-processing is checked against them.

    `boxes` (rows, 4) in pixels of the input are restored to each frame. `answers` are what the decoder makes of the first
    golden outputs, by name; a ragged one is two files (measure/targets.py). Nothing where the manifest has no such end.
    """

    pictures: Tuple[PicturePair, ...] = ()
    boxes: Optional[str] = None
    answers: Mapping[str, str] = field(default_factory=dict)
    texts: Optional[TextPairs] = None

    def list_files(self) -> Tuple[str, ...]:
        """Return the paths of all of them."""
        ends = [path for pair in self.pictures for path in (pair.picture, pair.tensor, pair.restored)]
        texts = [] if self.texts is None else [self.texts.utf8, self.texts.offsets, *self.texts.inputs.values()]
        return (*ends, *([] if self.boxes is None else [self.boxes]), *self.answers.values(), *texts)


NO_OUTPUT, NO_PAIRS = OutputSpec(), GoldenPairs()
UNCHANGED = InGraph(scale=1.0, mean=(0.0,), std=(1.0,), model_layout=None, model_colour=None)
"""Of a graph that takes what it is fed with as it is, such as the numbers of tokens."""


def check_sensor(spec: Optional[InputSpec], inputs: Sequence[TensorSpec], pairs: GoldenPairs) -> None:
    """Refuse (exit 23) a sensor that does not feed an input of the payload as that is."""
    if spec is None:
        is_bare = not pairs.pictures and pairs.texts is None
        require(is_bare, "golden.pairs", "no pictures and no texts, where the input is not described", "some")
        return
    check_input(spec)
    require((pairs.texts is None) == (spec.text is None), "golden.pairs.texts", "texts of a tokenizer", "the other")
    if spec.text is not None:
        check_text(spec.text, spec.name, inputs)
        named = {} if pairs.texts is None else pairs.texts.inputs
        require(set(named) == {tensor.name for tensor in inputs}, "golden.pairs.texts", "each input", sorted(named))
        return
    fed = {tensor.name: tensor for tensor in inputs}.get(spec.name)
    kind, shape = spec.type, None if spec.picture is None else spec.picture.list_shape()
    found = "no such input" if fed is None else f"{fed.dtype} of shape {fed.shape}"
    fits = fed is not None and fed.dtype == kind and (shape is None or fed.takes(shape))
    require(
        fits, f"inputs.{spec.name}", f"the sensor's {kind}" + ("" if shape is None else f" of shape {shape}"), found
    )
    is_pair = bool(pairs.pictures) is (pairs.boxes is not None)
    require(is_pair, "golden.pairs", "pictures and boxes, or neither", "one of them")


def check_input(spec: InputSpec) -> None:
    """Refuse (exit 23) an input whose parts do not fit together."""
    picture, sound = spec.picture, spec.sound
    kinds = [kind for kind in (picture, sound, spec.text) if kind is not None]
    require(len(kinds) == 1, "input", "a picture, a sound or a text", f"{len(kinds)} of them")
    require(spec.text is None or spec.in_graph == UNCHANGED, "input.in_graph", "nothing, of a text", spec.in_graph)
    if sound is not None:
        require(sound.type in TYPES, "input.sound.type", f"one of {', '.join(TYPES)}", sound.type)
        require(1 <= sound.rate_hz <= 10**6, "input.sound.rate_hz", "1 to 1000000", sound.rate_hz)
    if picture is not None:
        check_picture(picture)
    graph = spec.in_graph
    channels = 1 if picture is None else count_channels(picture.colour)
    for name, values in (("mean", graph.mean), ("std", graph.std)):
        require(len(values) in (1, channels), f"input.in_graph.{name}", f"1 or {channels} numbers", len(values))
    require(graph.scale != 0 and 0 not in graph.std, "input.in_graph", "a scale and deviations that are not 0", graph)


def check_picture(picture: PictureSpec) -> None:
    """Refuse (exit 23) a picture of another vocabulary."""
    where = "input.picture"
    for name, known in (("type", TYPES), ("layout", LAYOUTS), ("colour", COLOURS), ("resize", RESIZES)):
        value = getattr(picture, name)
        require(value in known, f"{where}.{name}", f"one of {', '.join(known)}", value)
    for name in ("height", "width"):
        require(1 <= getattr(picture, name) <= SIDE_MAX, f"{where}.{name}", f"1 to {SIDE_MAX}", getattr(picture, name))
    require(0 <= picture.fill <= 255, f"{where}.fill", "0 to 255", picture.fill)
    is_share = CROP_SHARE_MIN <= picture.crop_share <= 1
    require(is_share, f"{where}.crop_share", f"{CROP_SHARE_MIN} to 1", picture.crop_share)
    is_bytes = picture.resize == "none" or picture.type == "uint8"
    require(is_bytes, f"{where}.resize", "none, where the type is not uint8", picture.resize)
    require(not picture.is_yuv or picture.type == "uint8", f"{where}.type", "uint8, of a YUV frame", picture.type)
