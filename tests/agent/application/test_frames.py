import numpy as np
import pytest

from toolchain.agent.application.errors import FrameError
from toolchain.agent.application.frames import FrameReader, take_batch, take_sample
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.measure.targets import Ragged


def make_reader(*shapes, dtype="float32", stacked=False):
    specs = [TensorSpec(name=f"t{index}", dtype=dtype, shape=shape) for index, shape in enumerate(shapes)]
    return FrameReader(specs, stacked=stacked)


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("shapes", "frame", "fed", "is_single"),
    [
        ([(None, 3)], zeros(5, 3), (5, 3), False),
        ([(None, 3)], zeros(3), (1, 3), True),
        ([(1, 3)], zeros(3), (1, 3), True),
        ([(4, 3)], zeros(4, 3), (4, 3), False),
        ([(None, None, 3)], zeros(7, 3), (1, 7, 3), True),
        ([(None, None, 3)], zeros(2, 7, 3), (2, 7, 3), False),
        ([(None,)], zeros(2), (2,), False),
    ],
)
def test_a_frame_that_fits_is_fed_as_it_is(shapes, frame, fed, is_single):
    feeds, single = make_reader(*shapes).read(frame)
    assert (feeds["t0"].shape, single) == (fed, is_single)
    assert np.shares_memory(feeds["t0"], frame)


@pytest.mark.parametrize(
    ("shapes", "frame", "words"),
    [
        ([(None, 3)], zeros(5, 4), ("(any, 3), or (3)", "(5, 4)")),
        ([(None, 3)], zeros(0, 3), ("1 or more", "t0: 0")),
        ([(4, 3)], zeros(3), ("(4, 3)", "(3,)")),
        ([(4, 3)], zeros(5, 3), ("(4, 3)", "(5, 3)")),
        ([(None, 3)], zeros(5, 3, dtype=np.float64), ("float32", "float64")),
        ([(None, 3)], zeros(5, 3).astype(">f4"), ("float32", ">f4")),
        ([(None, 3)], zeros(5, 3, dtype=np.uint8), ("float32", "uint8")),
        ([(None, 3)], [[1.0, 2.0, 3.0]], ("numpy.ndarray", "list")),
        ([(None, 3)], b"bytes", ("numpy.ndarray", "bytes")),
        ([(None, 3)], {"other": zeros(5, 3)}, ("t0", "other")),
        ([(None, 3)], {}, ("t0", "")),
        ([(None, 3), (None, 2)], zeros(5, 3), ("each of t0, t1", "ndarray")),
        ([(None, 3), (None, 2)], {"t0": zeros(5, 3), "t1": zeros(4, 2)}, ("one number", "t0: 5, t1: 4")),
        ([(None, 3), (None, 2)], {"t0": zeros(5, 3), "t1": zeros(2)}, ("all or none", "t1 (2,)")),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_with_what_was_expected_and_found(shapes, frame, words):
    with pytest.raises(FrameError) as caught:
        make_reader(*shapes).read(frame)
    assert words[0] in caught.value.expected
    assert words[1] in caught.value.found
    assert caught.value.fix


def test_several_inputs_are_one_sample_where_none_has_a_batch_axis():
    feeds, single = make_reader((None, 3), (None, 2)).read({"t1": zeros(2), "t0": zeros(3)})
    assert ({name: array.shape for name, array in feeds.items()}, single) == ({"t0": (1, 3), "t1": (1, 2)}, True)


def test_stacked_inputs_are_whole_tensors_of_which_no_axis_is_a_batch():
    reader = make_reader((None, 3), (2,), stacked=True)
    assert reader.read({"t0": zeros(5, 3), "t1": zeros(2)})[1] is False
    with pytest.raises(FrameError):
        reader.read({"t0": zeros(3), "t1": zeros(2)})


def test_rows_of_samples_come_apart():
    ragged = Ragged(values=np.arange(5), offsets=np.array([0, 2, 2, 5]))
    batch = take_batch({"scores": np.eye(3), "boxes": ragged})
    assert [rows.tolist() for rows in batch["boxes"]] == [[0, 1], [], [2, 3, 4]]
    assert batch["scores"].shape == (3, 3)
    assert take_sample({"boxes": ragged})["boxes"].tolist() == [0, 1]
