import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {"mask": "attention_mask"}


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("token_argmax", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    mask = np.arange(6) < generator.integers(1, 7, (count, 1))
    return {"logits": generator.normal(size=(count, 6, 4)).astype(np.float32)}, {
        "attention_mask": mask.astype(np.int64)
    }


def test_the_largest_score_is_the_class_and_what_the_mask_leaves_out_has_none():
    outputs, inputs = draw(np.random.default_rng(0), 5)
    outputs["logits"][0, 0] = [np.nan, 1, 2, 3]
    tags = find_decoder("token_argmax", OPTIONS).decode(outputs, inputs)["tags"]
    expected = outputs["logits"].argmax(axis=2)
    expected[0, 0] = -1
    np.testing.assert_array_equal(tags, np.where(inputs["attention_mask"], expected, -100))
    assert -100 not in find_decoder("token_argmax", {}).decode(outputs, {})["tags"]


def test_a_mask_of_other_tokens_or_none_is_refused():
    outputs, inputs = draw(np.random.default_rng(0), 2)
    refuse(OPTIONS, outputs, {"attention_mask": inputs["attention_mask"][:, :3]})
    refuse(OPTIONS, outputs, {"ids": inputs["attention_mask"]})
    refuse({}, {"y": np.zeros((2, 3, 0))})
