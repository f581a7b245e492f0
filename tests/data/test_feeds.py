import numpy as np
import pytest

from toolchain.agent.manifest import TensorSpec
from toolchain.data.feeds import bind_feeds
from toolchain.data.npz import ArraySamples
from toolchain.errors import ExitCode, ToolchainError

IMAGES = TensorSpec(name="images", dtype="float32", shape=(None, 3))
STATE = TensorSpec(name="state", dtype="float32", shape=(None, 2))


def make(targets=None, **widths):
    arrays = {name: np.zeros((4, width), np.float32) for name, width in widths.items()}
    return ArraySamples(arrays=arrays, targets=targets or {}, sha256="")


def refuse(samples, inputs, *, by_name=True):
    with pytest.raises(ToolchainError) as caught:
        bind_feeds(samples, inputs, by_name=by_name, where="here")
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, "here")
    return caught.value


def test_arrays_are_taken_by_the_names_of_the_inputs():
    assert list(bind_feeds(make(state=2, images=3), [IMAGES, STATE], by_name=True, where="")[0]) == ["images", "state"]


def test_an_array_of_another_name_is_refused_with_both_names_and_the_fix():
    error = refuse(make(picture=3), [IMAGES])
    assert (error.expected, error.found) == ("images", "picture")
    assert "{'images': …}" in error.fix


def test_an_array_that_nothing_reads_and_one_that_is_missing_are_refused():
    assert refuse(make(images=3, state=2), [IMAGES]).found == "images, state"
    assert refuse(make(images=3), [IMAGES, STATE]).expected == "images, state"


def test_an_array_beside_the_inputs_is_told_from_targets_which_are_named():
    error = refuse(make(images=3, y=1, targets={"values": np.zeros(4)}), [IMAGES])
    assert error.what == "y: neither an input of the model nor a target"
    assert error.expected == "the inputs images; the targets labels, values"
    assert 'data.options.targets of a recipe, such as ["y"]' in error.fix


def test_pictures_of_a_data_set_fit_one_input_of_any_name_and_not_two():
    assert list(bind_feeds(make(input=3), [IMAGES], by_name=False, where="")[0]) == ["images"]
    refuse(make(input=3), [IMAGES, STATE], by_name=False)
