import pytest

from toolchain.graph.safety.sizes import check_sizes

GRAPH = "g (float[1] x) => (float[A, B, C] y) <int64[3] s = {SHAPE}>"


@pytest.mark.parametrize("maker", ["ConstantOfShape (s)", "Expand (x, s)"])
def test_a_tensor_that_no_board_can_hold_is_refused(parse, refuse, maker):
    text = f"{GRAPH} {{ t = {maker} y = Relu (t) }}"
    assert "too large" in refuse(check_sizes, parse(text.replace("SHAPE", "100000, 100000, 1000")))
    assert "too large" in refuse(check_sizes, parse(text.replace("SHAPE", "1024, 1024, 512")))  # 2^31 bytes
    check_sizes(parse(text.replace("SHAPE", "1024, 1024, 511")), "m")


def test_a_tensor_of_too_many_axes_is_refused(parse, refuse):
    shape = ", ".join(["1"] * 65)
    text = f"g (float[1] x) => (float[A] y) <int64[65] s = {{{shape}}}> {{ t = Expand (x, s) y = Flatten (t) }}"
    assert "axes" in refuse(check_sizes, parse(text))


def test_a_type_that_nobody_knows_takes_a_byte(parse):
    model = parse("g (float[N, 4] x) => (float[N, 4] y) { y = Relu (x) }")
    model.graph.value_info.add(name="z").type.tensor_type.elem_type = 999
    check_sizes(model, "m")
