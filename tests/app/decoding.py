"""Outputs for every decoder, and what edge_app_decode makes of them beside what Python does."""

import importlib
import json

import numpy as np

from toolchain.agent.measure.decoders import find_decoder
from toolchain.agent.measure.targets import split_targets

# Of the reference: exponentials of two libraries differ in their last bits (toolchain/agent/measure/pairs.py).
RELATIVE, ABSOLUTE = 1e-4, 1e-6
# Pixels of a picture of a few hundred, where float32 has steps of 3e-5; two steps of boxes that reach further.
BOX_PX, BOX_RELATIVE = 1e-4, 2**-22
COUNT = 4


def draw_case(name, seed=4, **options):
    """Return a decoder's spec, outputs and inputs as its own test has them, some of them with numbers that are none."""
    test = importlib.import_module(f"tests.agent.measure.decoders.test_{name}")
    outputs, inputs = test.draw(np.random.default_rng(seed), COUNT)
    return {"name": name, "options": {**test.OPTIONS, **options}}, outputs, inputs


def _draw(shape, seed=3, scale=2.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def _spoil(array):
    spoiled = array.copy()
    spoiled.reshape(-1)[1::17] = np.nan
    spoiled.reshape(-1)[2::13] = np.inf
    spoiled.reshape(-1)[5::19] = -np.inf
    return spoiled


def list_cases():
    """Return every decoder as its own test has it, and what its options change."""
    grid = {"threshold": 0.2, "classes": 3, "strides": [8]}
    rows = {"boxes": np.abs(_draw((COUNT, 30, 4), scale=90)), "scores": np.abs(_draw((COUNT, 30, 4), 5, 0.4))}
    names = [
        "anchor_free",
        "argmax_mask",
        "boxes",
        "ctc_greedy",
        "detections",
        "heat_maps",
        "points",
        "reconstruction_error",
    ]
    cases = [
        draw_case(name) for name in (*names, "sigmoid", "softmax", "ssd", "threshold_mask", "token_argmax", "yolo")
    ]
    more = [
        ("anchor_free", {**grid, "form": "dfl", "bins": 5}, {"a": _draw((COUNT, 23, 6, 5))}),
        ("anchor_free", {**grid, "form": "ltrb", "exponential": True, "centerness": True, "activated": False}, {"a": _draw((COUNT, 8, 6, 5))}),
        ("anchor_free", {"classes": 3, "clip": [300, 200]}, {"a": np.abs(_draw((COUNT, 7, 40), scale=50)), "b": _draw((COUNT, 1))}),
        ("argmax_mask", {"layout": "NHWC"}, {"a": _spoil(_draw((COUNT, 5, 6, 3)))}),
        ("argmax_mask", {}, {"a": _spoil(_draw((COUNT, 3, 5, 6)))}),
        ("argmax_mask", {}, {"a": np.random.default_rng(2).integers(-3, 3, (COUNT, 3, 5, 6), dtype=np.int8)}),
        ("boxes", {"form": "xywh", "background": True, "best_class": True, "scale": 1.5}, rows),
        ("boxes", {"form": "cxcywh", "clip": [100, 120], "detections": 5, "iou_max": 0.2}, rows),
        ("boxes", {"form": "yxyx", "candidates": 17}, {name: _spoil(array) for name, array in rows.items()}),
        ("boxes", {"threshold": 99.0}, rows),
        ("ctc_greedy", {"alphabet": "xyz", "blank": 3, "steps_first": True}, {"a": _spoil(_draw((20, COUNT, 4)))}),
        ("detections", {"joined": "j", "form": "cxcywh", "scale": 0.5, "clip": [90, 80]}, {"a": _draw((1,)), "j": _spoil(_draw((COUNT, 9, 6), scale=30))}),
        ("detections", {}, {"boxes": _draw((5, 4)), "scores": _draw((5,)), "classes": np.arange(5)}),
        ("heat_maps", {"stride": 2.0, "quarter": False}, {"a": _draw((COUNT, 3, 7, 5))}),
        ("heat_maps", {}, {"a": np.full((COUNT, 2, 3, 4), -np.inf, np.float32)}),
        ("heat_maps", {}, {"a": _spoil(_draw((COUNT, 6, 2, 3)))}),
        ("points", {"scale": [3.0, 0.5]}, {"a": _draw((COUNT, 10))}),
        ("sigmoid", {}, {"a": _spoil(_draw((COUNT, 40), scale=30)).reshape(COUNT, 40, 1, 1)}),
        ("softmax", {"output": "b"}, {"a": _draw((COUNT, 2)), "b": _draw((COUNT, 10)).astype(np.float16)}),
        ("softmax", {}, {"a": np.vstack([_spoil(_draw((1, 40))), _draw((COUNT - 1, 40))]).astype(np.float64)}),
        ("ssd", {"priors": [[10.0, 20.0, 30.0, 40.0], [50.0, 60.0, 20.0, 10.0]], "threshold": 0.2}, {"boxes": _draw((COUNT, 2, 4)), "scores": _draw((COUNT, 2, 4))}),
        ("threshold_mask", {"logits": True, "threshold": 0.6}, {"a": _spoil(_draw((COUNT, 1, 5, 6)))}),
        ("yolo", {**grid, "formula": "v3", "anchors": [[10.0, 13.0]]}, {"a": _draw((COUNT, 8, 6, 5))}),
        ("yolo", {**grid, "formula": "x", "objectness": False, "activated": True}, {"a": _spoil(_draw((COUNT, 7, 6, 5)))}),
    ]  # fmt: skip
    return [*cases, *(({"name": name, "options": options}, outputs, {}) for name, options, outputs in more)]


def write_case(folder, spec, outputs, inputs):
    """Return the words that edge_app_decode takes for a case."""
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    words = [folder / "spec.json", folder / "answers"]
    for sign, arrays in (("", outputs), ("+", inputs)):
        for name, array in arrays.items():
            path = folder / f"in.{name}"
            path.write_bytes(np.ascontiguousarray(array).tobytes())
            words.append(f"{sign}{name}={array.dtype}:{','.join(map(str, array.shape))}:{path}")
    return list(map(str, words))


def check_case(folder, spec, outputs, inputs):
    """Hold what edge_app_decode has written against what Python's decoder makes."""
    made = split_targets(find_decoder(spec["name"], spec["options"]).decode(outputs, inputs))
    for name, expected in made.items():
        path = folder / f"answers.{name.removesuffix('.values')}"
        found = np.fromfile(path, expected.dtype).reshape(expected.shape)
        if expected.dtype.kind != "f":
            assert np.array_equal(found, expected), (spec, name)
        elif name == "boxes.values":
            np.testing.assert_allclose(found, expected, rtol=BOX_RELATIVE, atol=BOX_PX, err_msg=str(spec))
        else:
            np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE, err_msg=f"{spec} {name}")
    return made
