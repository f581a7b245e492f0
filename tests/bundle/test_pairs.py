import numpy as np
import pytest

from tests.agent.test_sensor import INPUT, PICTURE, SOUND, change
from toolchain.agent.manifest import DecoderSpec
from toolchain.agent.measure.preprocess.picture import prepare_picture
from toolchain.bundle.pairs import write_answers, write_pairs


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "golden").mkdir()
    return tmp_path


def test_each_frame_has_the_input_that_the_reference_makes_of_it(folder):
    pairs = write_pairs(INPUT, {}, folder)
    boxes = np.load(folder / pairs.boxes)
    sizes = set()
    for pair in pairs.pictures:
        frame = np.load(folder / pair.picture)
        tensor, at = prepare_picture(frame, PICTURE)
        assert (np.load(folder / pair.tensor) == tensor).all()
        assert (np.load(folder / pair.restored) == at.restore_boxes(boxes)).all()
        assert (pair.left, pair.top, pair.width, pair.height) == (at.left, at.top, at.width, at.height)
        sizes.add(frame.shape[:2])
    assert {(1, 1), (4, 6)} < sizes
    assert all((folder / path).is_file() for path in pairs.list_files())


def test_frames_of_no_other_size_are_written_where_nothing_resizes(folder):
    pairs = write_pairs(change(resize="none"), {}, folder)
    assert [np.load(folder / pair.picture).shape for pair in pairs.pictures] == [(4, 6, 3)]


@pytest.mark.parametrize("spec", [None, SOUND])
def test_no_frame_is_written_where_no_picture_is_described(spec, folder):
    assert write_pairs(spec, {"scores": "golden/answer-0.npy"}, folder).list_files() == ("golden/answer-0.npy",)


def test_answers_are_what_the_decoder_makes_of_each_run(folder):
    runs = [({}, {"output": np.array([[0.0, np.log(3.0)]], np.float32)}) for _ in range(3)]
    paths = write_answers(DecoderSpec(name="softmax"), runs, folder)
    assert np.allclose(np.load(folder / paths["scores"]), [[0.25, 0.75]] * 3)


def test_answers_of_different_numbers_of_rows_are_values_and_offsets(folder):
    boxes = np.array([[[0, 0, 4, 4], [10, 10, 14, 14]]], np.float32)
    runs = [({}, {"boxes": boxes, "scores": np.array([[[score], [0.9]]], np.float32)}) for score in (0.8, 0.0)]
    paths = write_answers(DecoderSpec(name="boxes"), runs, folder)
    assert np.load(folder / paths["boxes.offsets"]).tolist() == [0, 2, 3]
    assert np.load(folder / paths["boxes.values"]).tolist()[2] == [10, 10, 14, 14]


def test_without_a_decoder_there_are_no_answers(folder):
    assert write_answers(None, [], folder) == {}
