import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("heat_maps", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("heat_maps", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {"maps": generator.random((count, 3, 6, 5)).astype(np.float32)}, {}


def test_points_lie_a_quarter_towards_the_higher_neighbour():
    maps = np.zeros((1, 1, 5, 6))
    maps[0, 0, 2, 3], maps[0, 0, 2, 4], maps[0, 0, 1, 3] = 0.9, 0.5, 0.4
    made = find_decoder("heat_maps", {"stride": 4.0}).decode({"y": maps}, {})
    np.testing.assert_allclose(made["points"], [[[13.0, 7.0, 0.9]]], rtol=1e-6)
    np.testing.assert_allclose(made["scores"], [0.9], rtol=1e-6)


def test_a_point_on_the_edge_stays_there():
    maps = np.zeros((1, 1, 5, 6))
    maps[0, 0, 0, 0], maps[0, 0, 0, 1] = 0.9, 0.5
    assert find_decoder("heat_maps", {}).decode({"y": maps}, {})["points"][0, 0, :2].tolist() == [0.0, 0.0]


def test_every_point_is_the_one_of_a_loop():
    outputs, _ = draw(np.random.default_rng(0), 4)
    found = find_decoder("heat_maps", {"stride": 1.0}).decode(outputs, {})["points"]
    for place in np.ndindex(4, 3):
        heat = outputs["maps"][place]
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        x = column + (0.25 * np.sign(heat[row, column + 1] - heat[row, column - 1]) if 0 < column < 4 else 0)
        y = row + (0.25 * np.sign(heat[row + 1, column] - heat[row - 1, column]) if 0 < row < 5 else 0)
        np.testing.assert_allclose(found[place], [x, y, heat.max()])


def test_a_heat_map_with_a_nan_has_its_point_nowhere_and_the_others_have_theirs():
    maps = np.random.default_rng(0).random((1, 2, 4, 4))
    maps[0, 0, 1, 1] = np.nan
    points = find_decoder("heat_maps", {}).decode({"y": maps}, {})["points"]
    assert np.isnan(points[0, 0]).all()
    assert np.isfinite(points[0, 1]).all()


def test_maps_without_a_cell_and_strides_that_are_none_are_refused():
    refuse({}, {"y": np.zeros((1, 2, 0, 4))})
    refuse_options({"stride": 0.0})
