from dataclasses import replace

import pytest

from tests.texts import BYTE, LETTER, PAIRS, WORDS
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.sensor import NO_PAIRS, UNCHANGED, GoldenPairs, InputSpec, check_sensor
from toolchain.agent.text import TextPairs

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def list_inputs(*names, dtype="int64", length=16):
    return [TensorSpec(name=name, dtype=dtype, shape=(None, length)) for name in names]


def check(spec=WORDS, inputs=None, *, pairs=None, graph=UNCHANGED):
    inputs = list_inputs(*NAMES[: 3 if spec.types else 2]) if inputs is None else inputs
    paths = TextPairs(utf8="a", offsets="b", inputs={tensor.name: "c" for tensor in inputs})
    sensor = InputSpec(name="input_ids", picture=None, sound=None, in_graph=graph, text=spec)
    check_sensor(sensor, inputs, GoldenPairs(texts=paths) if pairs is None else pairs)


@pytest.mark.parametrize("spec", [WORDS, LETTER, BYTE, PAIRS, replace(WORDS, lowercase=False, strip_accents=False)])
def test_a_tokenizer_that_makes_the_inputs_is_taken(spec):
    check(spec)


def test_a_graph_that_takes_any_length_and_other_types_is_taken():
    check(inputs=list_inputs(*NAMES, length=None))
    check(inputs=list_inputs(*NAMES, dtype="int32"))
    check(LETTER, [*list_inputs("input_ids"), *list_inputs("attention_mask", dtype="float32")])


@pytest.mark.parametrize(
    ("spec", "inputs"),
    [
        (replace(WORDS, tokenizer="bpe"), None),
        (replace(WORDS, file=None), None),
        (replace(BYTE, file="tokenizer/vocabulary.txt"), None),
        (replace(WORDS, length=2), list_inputs(*NAMES, length=2)),
        (replace(WORDS, length=1 << 17), list_inputs(*NAMES, length=1 << 17)),
        (replace(WORDS, tables="tokenizers 0.1"), None),
        (replace(WORDS, tables=None), None),
        (replace(LETTER, lowercase=True), None),
        (replace(PAIRS, lowercase=True), None),
        (replace(PAIRS, tables=None), None),
        (replace(PAIRS, file=None), None),
        (replace(LETTER, special_in_text=True), None),
        (replace(LETTER, types="token_type_ids"), None),
        (replace(WORDS, mask="input_ids"), None),
        (WORDS, list_inputs(*NAMES, length=15)),
        (WORDS, list_inputs(*NAMES, dtype="float32")),
        (WORDS, list_inputs("input_ids")),
        (WORDS, list_inputs(*NAMES, "other")),
        (WORDS, list_inputs("ids", *NAMES[1:])),
        (WORDS, [TensorSpec(name=name, dtype="int64", shape=(16,)) for name in NAMES]),
    ],
    ids=range(20),
)
def test_a_tokenizer_that_does_not_make_the_inputs_is_refused(spec, inputs):
    with pytest.raises(ToolchainError) as caught:
        check(spec, inputs)
    assert caught.value.code == ExitCode.MALFORMED


@pytest.mark.parametrize(
    "options",
    [
        {"pairs": NO_PAIRS},
        {"pairs": GoldenPairs(texts=TextPairs(utf8="a", offsets="b", inputs={"input_ids": "c"}))},
        {"graph": replace(UNCHANGED, scale=2.0)},
    ],
    ids=["no pairs", "pairs of one input", "a graph that scales tokens"],
)
def test_a_text_without_its_pairs_or_changed_by_the_graph_is_refused(options):
    with pytest.raises(ToolchainError) as caught:
        check(**options)
    assert caught.value.code == ExitCode.MALFORMED


def test_texts_without_a_tokenizer_are_refused():
    with pytest.raises(ToolchainError):
        check_sensor(None, [], GoldenPairs(texts=TextPairs(utf8="a", offsets="b", inputs={})))
