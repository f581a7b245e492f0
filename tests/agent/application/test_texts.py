"""Applications give texts: what they get, and what they are told."""

import numpy as np
import pytest

from tests.agent.application.text_boards import make_text_board, run_reader
from tests.agent.measure.text_bundle import TEXTS
from toolchain.agent.application.errors import FrameError
from toolchain.agent.application.model import open_current
from toolchain.agent.errors import ExitCode, ToolchainError


@pytest.fixture(scope="module")
def reading(tmp_path_factory, keys, bytecode):
    return make_text_board(tmp_path_factory.mktemp("text") / "root", keys, bytecode)


def open_model(board):
    return open_current(board.root, check_interval_s=None)


def test_a_text_is_answered_as_its_tokens_are(reading):
    with open_model(reading) as model:
        for text in TEXTS:
            assert np.array_equal(model(text)["logits"], run_reader([text])[0])
        assert model.sensor.text.tokenizer == "wordpiece"
        assert model.classes == ("a", "b", "c", "d")


def test_tokens_that_an_application_made_itself_are_taken_too(reading):
    with open_model(reading) as model:
        feeds = {spec.name: np.zeros((1, 16), np.int64) for spec in model.inputs}
        assert model(feeds)["logits"].shape == (1, 4)


@pytest.mark.parametrize("text", ["\ud800", "a" * (1 << 21)], ids=["half a character", "two megabytes"])
def test_what_is_no_text_is_refused_and_the_next_one_is_answered(reading, text):
    with open_model(reading) as model:
        with pytest.raises(FrameError) as caught:
            model(text)
        assert caught.value.code == ExitCode.USAGE
        assert model("hello")["logits"].shape == (4,)


def test_a_model_without_a_tokenizer_takes_no_text(board):
    with open_model(board) as model, pytest.raises(FrameError, match="takes no text"):
        model("hello")


def test_a_vocabulary_that_changed_on_the_board_is_refused(tmp_path, keys, bytecode):
    board = make_text_board(tmp_path / "root", keys, bytecode)
    path = board.release / "tokenizer/vocabulary.txt"
    path.write_bytes(path.read_bytes().replace(b"hello", b"hullo"))
    with pytest.raises(ToolchainError) as caught:
        open_model(board)
    assert (caught.value.code, caught.value.where) == (ExitCode.CONTENT, "tokenizer/vocabulary.txt")
