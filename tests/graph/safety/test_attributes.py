import onnx
import pytest

from toolchain.graph.safety.attributes import check_attributes

POOL = "g (float[N, 3, 8, 8] x) => (float[N, 3, a, b] y) { y = MaxPool <kernel_shape = [2, 2], ATTRIBUTE> (x) }"


@pytest.mark.parametrize("attribute", ["strides = [2, 1]", "pads = [0, 1, 0, 1]", "dilations = [1, 1]"])
def test_attributes_with_a_meaning_pass(parse, attribute):
    check_attributes(parse(POOL.replace("ATTRIBUTE", attribute)), "m")


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("strides = [0, 1]", "strides from 1"),
        ("strides = [-1, 1]", "found -1"),
        ("dilations = [1, 2305843009213693952]", "dilations from 1"),
        ("pads = [0, 0, -1, 0]", "pads from 0"),
        ("group = 0", "group from 1"),
        ("kernel_shape = [2, 2]", "each attribute once"),
    ],
)
def test_attributes_without_a_meaning_are_refused(parse, refuse, attribute, says):
    assert says in refuse(check_attributes, parse(POOL.replace("ATTRIBUTE", attribute)))


def test_a_pad_that_cuts_passes(parse):
    check_attributes(parse("g (float[9] x) => (float[8] y) { y = Pad <pads = [0, -1]> (x) }", opset=10), "m")


def test_block_size_may_say_that_there_are_no_blocks(parse):
    check_attributes(
        parse("g (int8[9] x, float s) => (float[9] y) { y = DequantizeLinear <block_size = 0> (x, s) }"), "m"
    )


def test_a_split_into_another_number_than_its_outputs_is_refused(parse, refuse):
    text = "g (float[9] x) => (float[a] y, float[b] z) { y, z = Split <num_outputs = 2> (x) }"
    check_attributes(parse(text), "m")
    assert "num_outputs = 2" in refuse(check_attributes, parse(text.replace("= 2", "= 1000000000")))


def test_attributes_of_other_domains_and_of_other_types_are_left_alone(parse):
    model = parse("g (float[9] x) => (float[9] y) { y = com.microsoft.Magic <strides = [0]> (x) }")
    model.graph.node[0].attribute.add(name="group", type=onnx.AttributeProto.STRING, s=b"0")
    check_attributes(model, "m")
