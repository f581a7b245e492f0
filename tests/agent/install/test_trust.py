import dataclasses
import json

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.folder import Folder
from toolchain.agent.install.trust import EMPTY, Active, is_bundle_id, read_state, write_state

BUNDLE_ID = "5f" * 32
STATE = dataclasses.replace(
    EMPTY,
    counter=7,
    current=BUNDLE_ID,
    proven=(BUNDLE_ID,),
    active=Active(
        model="tiny",
        precision="int8",
        runtime="onnxruntime",
        threads=1,
        pins_threads=False,
        payload="payload/int8/model.onnx",
        sha256="ab" * 32,
    ),
)


def refuse(root, document):
    (root / "state.json").write_text(json.dumps(document))
    with pytest.raises(ToolchainError) as caught:
        read_state(Folder(root))
    assert caught.value.code == ExitCode.MALFORMED
    return caught.value


def test_a_board_without_a_file_trusts_nothing_yet(tmp_path):
    assert read_state(Folder(tmp_path)) == EMPTY


def test_what_was_written_is_read_back(tmp_path):
    write_state(Folder(tmp_path), STATE)
    assert read_state(Folder(tmp_path)) == STATE


def test_a_state_of_the_first_schema_says_nothing_of_what_is_active(tmp_path):
    document = {key: value for key, value in dataclasses.asdict(STATE).items() if key != "active"}
    (tmp_path / "state.json").write_text(json.dumps({**document, "schema": 1}))
    assert read_state(Folder(tmp_path)) == dataclasses.replace(STATE, active=None)


def test_a_state_of_the_second_schema_keeps_its_counter_and_not_what_was_proven_in_no_known_way(tmp_path):
    document = dataclasses.asdict(STATE)
    active = {key: document["active"][key] for key in ("model", "precision", "payload", "sha256")}
    (tmp_path / "state.json").write_text(json.dumps({**document, "schema": 2, "active": active}))
    assert read_state(Folder(tmp_path)) == dataclasses.replace(STATE, active=None)


def test_a_state_of_the_third_schema_does_not_say_that_threads_were_not_pinned(tmp_path):
    document = dataclasses.asdict(STATE)
    active = {key: value for key, value in document["active"].items() if key != "pins_threads"}
    (tmp_path / "state.json").write_text(json.dumps({**document, "schema": 3, "active": active}))
    assert read_state(Folder(tmp_path)) == dataclasses.replace(STATE, active=None)


def test_a_state_of_a_newer_schema_is_refused(tmp_path):
    assert "schema 99" not in refuse(tmp_path, {**dataclasses.asdict(STATE), "schema": 99}).expected


@pytest.mark.parametrize("name", ["current", "previous", "proven"])
def test_a_release_that_is_no_bundle_id_is_refused(tmp_path, name):
    wrong = "../../etc"
    refuse(tmp_path, {**dataclasses.asdict(STATE), name: [wrong] if name == "proven" else wrong})


def test_a_state_that_cannot_be_read_says_what_a_new_one_costs(tmp_path):
    assert "counter" in refuse(tmp_path, []).fix


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "state.json").mkdir()
    with pytest.raises(ToolchainError) as caught:
        read_state(Folder(tmp_path))
    assert (caught.value.code, caught.value.found) == (ExitCode.MALFORMED, "a folder")


@pytest.mark.parametrize("text", ["5F" * 32, "5f" * 31, "5f" * 33, "5f" * 32 + "\n", ""])
def test_only_64_small_hex_digits_are_a_bundle_id(text):
    assert not is_bundle_id(text)
    assert is_bundle_id(BUNDLE_ID)
