"""Who is asked whether [input] makes the tokens that the model was trained with, and what the answer must not be."""

import io
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.texts import TOKENS, write_vocabulary
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.builder import build_model
from toolchain.module.train import train_model
from toolchain.project.recipe import read_recipe
from toolchain.run.cache import Cache
from toolchain.run.progress import Progress
from toolchain.stages.float_model import examine_data, open_module
from toolchain.stages.prove_text import prove_text, prove_tokens
from toolchain.stages.run import Run

MODEL = """
from torch import nn

class Reader(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Embedding(rows, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[:, :, None].float()
        return self.head((self.rows(input_ids) * mask).sum(1))

def build(rows=%d):
    return Reader(rows)
"""
TEXT = '{ tokenizer = "wordpiece", file = "vocab.txt", length = 16, lowercase = true, mask = "attention_mask" }'
RECIPE = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "csv_text"
options = { train = "train.csv", evaluation = "test.csv", tokenizer = %s }
[input]
text = %s
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.py").write_text(MODEL % len(TOKENS))
    (tmp_path / "vocab.txt").write_bytes(write_vocabulary())
    for name, first in (("train", 0), ("test", 20)):
        rows = [f"hello world {number},0\nthe unaffable École {number},1\n" for number in range(first, first + 20)]
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(rows))
    return tmp_path


def open_run(folder, data=TEXT, text=TEXT, more=""):
    (folder / "recipe.toml").write_text(RECIPE % (data, text) + more)
    progress = Progress(stream=io.StringIO(), quiet=True)
    return Run(recipe=read_recipe(folder / "recipe.toml"), cache=Cache(folder / "cache"), progress=progress)


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.fix
    return caught.value


def test_the_same_tokenizer_in_data_and_input_is_taken_and_said_to_prove_nothing_of_the_weights(folder):
    run = open_run(folder)
    assert "nothing but the metric shows" in prove_text(run, run.text)[0]


def write_record(folder, sha256):
    save_file({"x": np.zeros(1, np.float32)}, folder / "weights.safetensors")
    (folder / "weights.json").write_text(json.dumps({"data": {"tokenizer_sha256": sha256}}))


def test_weights_that_were_trained_with_this_tokenizer_say_so(folder):
    run = open_run(folder)
    write_record(folder, run.data.tokenizer_sha256)
    assert prove_text(run, run.text) == []


def test_a_tokenizer_that_changed_after_the_training_is_refused(folder):
    run = open_run(folder, more="[train]\nepochs = 1\nbatch_size = 8\n")
    train_model(run.recipe)
    assert prove_text(run, run.text) == []
    tokens = [*TOKENS]
    tokens[-1], tokens[-2] = tokens[-2], tokens[-1]  # of no text here: the data are the same tokens
    (folder / "vocab.txt").write_bytes(write_vocabulary(tokens))
    run = open_run(folder)
    assert "trained with another tokenizer" in refuse(lambda: prove_text(run, run.text)).what


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (TEXT.replace("lowercase = true", "lowercase = false"), "lowercase = true"),
        (TEXT.replace("vocab.txt", "other.txt"), "name the file"),
    ],
)
def test_another_tokenizer_in_input_than_in_the_data_is_refused(folder, text, fix):
    tokens = [*TOKENS]
    index, other = tokens.index("hello"), tokens.index("world")
    tokens[index], tokens[other] = tokens[other], tokens[index]
    (folder / "other.txt").write_bytes(write_vocabulary(tokens))
    run = open_run(folder, text=text)
    error = refuse(lambda: prove_text(run, run.text))
    assert fix in error.fix
    assert "line " in error.where


def test_one_sample_of_the_evaluation_with_other_tokens_is_refused_as_the_bundle_is_written(folder):
    run = open_run(folder)
    arrays = {name: array.copy() for name, array in run.data.evaluation.batch(20, 21).items()}
    prove_tokens(run, run.text, "evaluation", range(20, 21), arrays)
    arrays["input_ids"][0, 1] += 1
    refuse(lambda: prove_tokens(run, run.text, "evaluation", range(20, 21), arrays))


@pytest.mark.parametrize(
    "text", [TEXT.replace("length = 16", "length = 17"), TEXT.replace('"attention_mask"', '"mask"')]
)
def test_another_length_or_other_inputs_are_refused_before_anything_is_built(folder, text):
    refuse(lambda: open_run(folder, text=text))


@pytest.mark.parametrize(("rows", "fits"), [(len(TOKENS), True), (len(TOKENS) + 8, True), (len(TOKENS) - 1, False)])
def test_tokens_beyond_the_rows_of_the_embedding_are_refused(folder, rows, fits):
    (folder / "model.py").write_text(MODEL % rows)
    run = open_run(folder)
    module = build_model(run.recipe)
    if fits:
        examine_data(run, open_module(run, module))
    else:
        assert "more tokens than the model has rows" in refuse(lambda: open_module(run, module)).what


def prepare(folder, run, change=lambda name, array: array):
    batch = run.data.evaluation.batch(0, 8)
    np.savez(folder / "prepared.npz", **{name: change(name, array) for name, array in batch.items()})
    return open_run(folder, more='prepared = "prepared.npz"\n')


def test_tokens_of_the_users_own_code_prove_it(folder):
    run = prepare(folder, open_run(folder))
    assert prove_text(run, run.text) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda name, array: array + (name == "input_ids"),
        lambda name, array: array[:, :8],
        lambda name, array: array[:0],
        lambda name, array: array[: 4 if name == "input_ids" else 8],
    ],
    ids=["other tokens", "another length", "none", "of different numbers of texts"],
)
def test_tokens_of_the_users_own_code_that_differ_are_refused(folder, change):
    run = prepare(folder, open_run(folder), change)
    refuse(lambda: prove_text(run, run.text))
