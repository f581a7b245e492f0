"""The decoders in C++, built with sanitizers: classes, texts and masks as Python has them, boxes to 1e-4 pixels."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.app.decoding import check_case, draw_case, list_cases, write_case
from tests.app.headers import needs_headers
from toolchain.agent.errors import ExitCode
from toolchain.agent.measure.decoders import list_decoders

pytestmark = needs_headers
GRIDS = {"size": [9, 9], "scales": [0.1, 0.2], "ratios": [[2.0]]}


@pytest.fixture(scope="session")
def decode(sanitized):
    """Return a function that runs edge_app_decode, and returns its code and what it said."""

    def run(words):
        command = [str(sanitized / "edge_app_decode"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "Sanitizer" not in done.stderr, done.stderr
        assert "runtime error" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    return run


def test_every_decoder_answers_as_python_does(decode, tmp_path):
    cases = list_cases()
    assert {spec["name"] for spec, _, _ in cases} == set(list_decoders())
    found = 0
    for index, case in enumerate(cases):
        folder = tmp_path / str(index)
        assert decode(write_case(folder, *case)) == (0, ""), case[0]
        made = check_case(folder, *case)
        found += sum(array.size for name, array in made.items() if name == "classes.values")
    assert found > 100, "what finds nothing agrees with everything"


def test_the_comparison_sees_one_class_that_is_another(decode, tmp_path):
    case = draw_case("argmax_mask")
    assert decode(write_case(tmp_path / "case", *case))[0] == 0
    path = tmp_path / "case/answers.mask"
    mask = np.fromfile(path, np.int32)
    mask[-1] ^= 1
    path.write_bytes(mask.tobytes())
    with pytest.raises(AssertionError):
        check_case(tmp_path / "case", *case)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"name": "mine.py:Mine", "options": {}}, "mine.py:Mine"),
        ({"name": "Softmax", "options": {}}, "Softmax"),
        ({"name": "softmax", "options": {"temperature": 2.0}}, "temperature"),
        ({"name": "argmax_mask", "options": {"layout": "HWC"}}, "HWC"),
        ({"name": "argmax_mask", "options": {"layout": 7}}, "a text"),
        ({"name": "threshold_mask", "options": {"threshold": "high"}}, "a number"),
        ({"name": "threshold_mask", "options": {"logits": 1}}, "true or false"),
        ({"name": "ctc_greedy", "options": {"alphabet": "aa"}}, "once"),
        ({"name": "ctc_greedy", "options": {"alphabet": "ab", "blank": 3}}, "blank"),
        ({"name": "ctc_greedy", "options": {"alphabet": "ab", "blank": -1}}, "blank"),
        ({"name": "boxes", "options": {"clip": [0, 5]}}, "clip"),
        ({"name": "boxes", "options": {"candidates": 10**12}}, "1e9"),
        ({"name": "boxes", "options": {"iou_max": 1.5}}, "iou_max"),
        ({"name": "yolo", "options": {"classes": 2, "strides": [8], "anchors": [[1.0]]}}, "anchors"),
        ({"name": "yolo", "options": {"classes": 2, "strides": [0], "formula": "x"}}, "strides"),
        ({"name": "ssd", "options": {"priors": [[1.0, 2.0]]}}, "four"),
        ({"name": "ssd", "options": {}}, "priors"),
        ({"name": "ssd", "options": {**GRIDS, "grids": [[10**9, 10**9]]}}, "a million"),
        ({"name": "anchor_free", "options": {"classes": 0}}, "classes"),
        ({"name": "points", "options": {"scale": [1.0]}}, "scale"),
        ({"name": "heat_maps", "options": {"stride": 0.0}}, "stride"),
        ({"name": "softmax", "options": []}, "a table"),
    ],
)
def test_a_decoder_or_option_that_is_not_known_is_refused_in_words(spec, word, decode, tmp_path):
    code, words = decode(write_case(tmp_path / "case", spec, {"a": np.zeros((1, 3), np.float32)}, {}))
    assert (code, word in words, "fix: " in words) == (ExitCode.USAGE, True, True), words


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [
        (("softmax", {}), {"a": np.zeros((2, 3, 4), np.float32)}),
        (("softmax", {}), {"a": np.zeros((2, 3), np.int32)}),
        (("softmax", {"output": "b"}), {"a": np.zeros((2, 3), np.float32)}),
        (("sigmoid", {}), {"a": np.zeros((0, 0), np.float32)}),
        (("argmax_mask", {}), {"a": np.zeros((2, 1, 3, 3), np.float32)}),
        (("argmax_mask", {}), {"a": np.zeros((2, 3, 3), np.float32)}),
        (("argmax_mask", {}), {"a": np.zeros((2, 2, 3, 3), bool)}),
        (("ctc_greedy", {"alphabet": "ab"}), {"a": np.zeros((1, 5, 4), np.float32)}),
        (("token_argmax", {"mask": "m"}), {"a": np.zeros((1, 5, 4), np.float32)}),
        (("reconstruction_error", {}), {"a": np.zeros((1, 5), np.float32)}),
        (("boxes", {}), {"boxes": np.zeros((1, 5, 4), np.float32), "scores": np.zeros((1, 4, 2), np.float32)}),
        (("boxes", {}), {"boxes": np.zeros((2, 5, 4), np.float32), "scores": np.zeros((1, 5, 2), np.float32)}),
        (("anchor_free", {"classes": 2}), {"a": np.zeros((1, 7, 4), np.float32)}),
        (("yolo", {"classes": 1, "strides": [8, 16], "formula": "x"}), {"a": np.zeros((1, 6, 4, 4), np.float32)}),
        (("heat_maps", {}), {"a": np.zeros((1, 2, 0, 3), np.float32)}),
        (("points", {}), {"a": np.zeros((1, 5), np.float32)}),
    ],
)
def test_outputs_that_a_decoder_cannot_read_are_refused_as_python_refuses_them(spec, outputs, decode, tmp_path):
    name, options = spec
    code, words = decode(write_case(tmp_path / "case", {"name": name, "options": options}, outputs, {}))
    assert (code, "fix: " in words) == (ExitCode.MALFORMED, True), words


def test_what_is_no_spec_and_files_that_are_too_short_are_refused(decode, tmp_path):
    words = write_case(tmp_path / "case", *draw_case("softmax"))
    Path(words[2].rpartition(":")[2]).write_bytes(b"short")
    assert decode(words)[0] == ExitCode.MALFORMED
    for text in ("{", "[]", json.dumps({"name": "softmax"}), json.dumps({"name": 3, "options": {}})):
        (tmp_path / "case/spec.json").write_text(text)
        code, said = decode(words)
        assert (code, "fix: " in said) == (ExitCode.MALFORMED, True), said
