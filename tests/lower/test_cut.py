import numpy as np
import pytest

from tests.lower.conftest import RESIDUAL, parse_model, run_model
from toolchain.errors import ToolchainError
from toolchain.lower.cut import Cut


@pytest.fixture
def model():
    return parse_model(RESIDUAL)


@pytest.fixture
def image(images):
    return {"image": images["image"][:1]}


def test_pieces_end_with_the_tensors_of_interest_and_pass_on_what_is_read_behind_them(model, image):
    cut, known, seen = Cut(model, {"c1", "c2", "scores"}), dict(image), []
    for piece in cut.list_pieces():
        known = cut.open(piece, [known]).run(known)
        seen.append((piece.found, set(known)))
    assert seen == [(("c1",), {"c1"}), (("c2",), {"c2", "r1"}), (("scores",), {"scores"})]
    np.testing.assert_allclose(known["scores"], run_model(model, image)["scores"], atol=1e-5)


def test_what_somebody_asks_for_later_is_kept_until_then(model, image):
    cut, known, seen = Cut(model, {"c1", "c2", "a", "p"}, to_the_end=["c1"], kept_for=[("image", "a")]), dict(image), []
    for piece in cut.list_pieces():
        known = cut.open(piece, [known]).run(known)
        seen.append({"c1", "image"}.intersection(known))
    assert seen == [{"c1", "image"}, {"c1", "image"}, {"c1"}, {"c1"}]


def test_a_piece_that_is_opened_for_one_shape_refuses_others_and_one_for_any_takes_them():
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[1, t, 4] x) => (float[1, t, 2] y) <float[4, 2] w> '
        "{ [m] y = MatMul(x, w) }"
    )
    short, long = ({"x": np.ones((1, length, 4), np.float32)} for length in (3, 5))
    cut = Cut(model, ["y"])
    (piece,) = cut.list_pieces()
    assert cut.open(piece, [short], any_shape=True).run(long)["y"].shape == (1, 5, 2)
    with pytest.raises(ToolchainError):
        cut.open(piece, [short]).run(long)
