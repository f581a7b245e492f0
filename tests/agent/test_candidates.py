"""What a candidate is called says what it is, and no more than tells it from the others."""

import pytest

from toolchain.agent.candidates import Candidate, Opening, name_candidates, name_openings


def make(precision, runtime="onnxruntime", threads=1, *, pins=False):
    return Candidate(
        precision, runtime=runtime, threads=threads, pins_threads=pins, path=f"payload/{precision}/model.onnx"
    )


@pytest.mark.parametrize(
    ("candidates", "names"),
    [
        ([make("int8"), make("float32")], ("int8", "float32")),
        ([make("int8", threads=4)], ("int8",)),
        ([make("int8"), make("int8", threads=2)], ("int8 1 thread", "int8 2 threads")),
        ([make("int8"), make("float32", "openvino")], ("int8 onnxruntime", "float32 openvino")),
        (
            [make("int8"), make("int8", "openvino", 2)],
            ("int8 onnxruntime 1 thread", "int8 openvino 2 threads"),
        ),
        ([make("int8", threads=2), make("int8", threads=2, pins=True)], ("int8", "int8 pinned")),
        (
            [make("int8"), make("int8", threads=2), make("int8", threads=2, pins=True)],
            ("int8 1 thread", "int8 2 threads", "int8 2 pinned threads"),
        ),
        ([make("int8", threads=2, pins=True), make("float32", threads=2, pins=True)], ("int8", "float32")),
        ([], ()),
    ],
)
def test_a_name_has_the_runtime_and_the_threads_where_candidates_differ_in_them(candidates, names):
    assert name_candidates(candidates) == names


def test_openings_of_one_file_are_told_apart():
    path = "payload/int8/model.onnx"
    one, two = (Opening(path, runtime="onnxruntime", threads=threads, pins_threads=False) for threads in (1, 2))
    assert name_openings([one]) == {one: path}
    assert name_openings([one, two]) == {one: f"{path} 1 thread", two: f"{path} 2 threads"}


def test_a_candidate_is_opened_as_it_says():
    assert make("int8", "openvino", 2).opening == Opening(
        "payload/int8/model.onnx", runtime="openvino", threads=2, pins_threads=False
    )
