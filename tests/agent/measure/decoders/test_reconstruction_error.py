import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("reconstruction_error", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("reconstruction_error", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    shape = (count, 3, 4)
    return {"out": generator.random(shape).astype(np.float32)}, {"in": generator.random(shape).astype(np.float32)}


@pytest.mark.parametrize(("error", "power"), [("squared", 2), ("absolute", 1)])
def test_the_error_is_the_mean_over_each_sample(error, power):
    outputs, inputs = draw(np.random.default_rng(0), 4)
    expected = (np.abs(outputs["out"].astype(float) - inputs["in"]) ** power).mean(axis=(1, 2))
    np.testing.assert_allclose(
        find_decoder("reconstruction_error", {"error": error}).decode(outputs, inputs)["error"], expected
    )


def test_output_and_input_are_options():
    outputs, inputs = {"a": np.zeros((1, 2)), "b": np.ones((1, 2))}, {"c": np.zeros((1, 3)), "d": np.zeros((1, 2))}
    decoder = find_decoder("reconstruction_error", {"output": "b", "input": "d"})
    assert (decoder.decode(outputs, inputs)["error"].tolist(), decoder.list_read(["a", "b"])) == ([1.0], ["b"])


def test_a_nan_is_an_error_that_is_one():
    made = find_decoder("reconstruction_error", {}).decode({"y": np.array([[np.nan, 0.0]])}, {"x": np.zeros((1, 2))})
    assert np.isnan(made["error"]).all()


def test_an_input_of_another_shape_or_none_is_refused():
    refuse({}, {"y": np.zeros((2, 3))}, {"x": np.zeros((2, 4))})
    refuse({}, {"y": np.zeros((2, 3))}, {})
    refuse({"input": "z"}, {"y": np.zeros((2, 3))}, {"x": np.zeros((2, 3))})
    refuse_options({"error": "cubed"})
