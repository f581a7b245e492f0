"""A model that reads texts: PASS with other tokens than those that it was trained with must not be."""

import json

import numpy as np
import pytest

from tests.agent.measure.text_bundle import TEXTS, build_reader, read_tokenizer
from tests.texts import TOKENS, write_tokenizer_json, write_vocabulary
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.golden import open_golden

RECIPE = """
[model]
onnx = "model.onnx"
[data]
name = "npz"
options = { path = "texts.npz" }
metric = "none"
[input.text]
tokenizer = "wordpiece"
file = "tokenizer.json"
length = 16
mask = "attention_mask"
types = "token_type_ids"
"""


@pytest.fixture
def reader(project):
    """Return the tiny project with a model of texts, whose tokens another hand has made of them."""
    folder = project.folder / "models" / "reader"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(build_reader())
    (folder / "tokenizer.json").write_bytes(write_tokenizer_json())
    texts = [f"{text} {number}" for number in range(8) for text in TEXTS]
    text = read_tokenizer()
    np.savez(folder / "texts.npz", text=np.array(texts), **text.tokenizer.tokenize(texts, text.ids))
    (folder / "recipe.toml").write_text(RECIPE)
    return project


def deploy(reader):
    out = reader.folder / "out"
    return reader.run("deploy", "reader", "--target", "board", "--out", out), out


def test_a_model_of_texts_is_proven_with_its_tokenizer_in_the_bundle_and_with_another_one_not(reader):
    result, out = deploy(reader)
    reader.assert_passed(result, out)
    manifest, _ = read_manifest(out / "bundle")
    assert (out / "bundle" / manifest.input.text.file).read_bytes() == write_vocabulary()
    assert (manifest.input.name, manifest.input.text.lowercase) == ("input_ids", True)
    golden = open_golden(out / "bundle", manifest)
    made = np.load(out / "bundle" / manifest.golden.pairs.texts.inputs["input_ids"])
    assert all((golden.read_inputs(row, row + 1)["input_ids"][0] == made[row]).all() for row in range(8))
    # Two words exchanged: every token is there, and every length is right.
    exchanged = {"hello": TOKENS.index("world"), "world": TOKENS.index("hello")}
    vocabulary = {token: exchanged.get(token, number) for number, token in enumerate(TOKENS)}
    path = reader.folder / "models/reader/tokenizer.json"
    path.write_bytes(write_tokenizer_json(model__vocab=vocabulary))
    result, out = deploy(reader)
    reader.assert_stopped(result, 2, "usage", out)
    assert "other tokens" in result.stderr
    assert json.loads((out / "report.json").read_text())["exit_code"] == 2
