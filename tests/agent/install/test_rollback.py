"""`rollback`, `status` and `check`."""

import hashlib
import json

import pytest

from toolchain.agent.errors import ExitCode


def test_rollback_goes_back_to_the_previous_release_and_again_forward(board_with_both, good):
    board, old, new = board_with_both, good["old"], good["new"]
    answer = board.rollback()
    assert answer.code == ExitCode.PROVEN, answer
    assert answer.document["measurements"]["bundle_id"] == answer.document["bundle_id"] == old.id
    board.assert_settled(old.id, new.id)
    assert board.rollback().code == ExitCode.PROVEN
    board.assert_settled(new.id, old.id)


def test_the_counter_does_not_fall_with_a_rollback(board_with_both, good, quick, sign):
    board = board_with_both
    board.rollback()
    assert board.state["counter"] == 1_790_000_001
    assert board.install(sign(quick(content=b"replayed"))).code == ExitCode.REPLAY
    # What is active is no replay: it may be deployed again.
    assert board.install(good["old"]).code == ExitCode.PROVEN


def test_without_a_previous_release_there_is_no_way_back(board, good):
    assert board.rollback().code == ExitCode.USAGE
    board.assert_settled(good["old"].id, None)


def test_a_previous_release_that_was_damaged_is_not_gone_back_to(board_with_both, good):
    board = board_with_both
    (board.root / "releases" / good["old"].id / "payload/int8/model.onnx").write_bytes(b"old weightz")
    answer = board.rollback()
    assert answer.code == ExitCode.ROLLBACK_FAILED
    assert "payload/int8/model.onnx" in str(answer.error)
    assert board.current == good["new"].id
    assert board.previous == good["old"].id


def test_a_previous_release_that_fails_its_self_test_now_is_not_gone_back_to(board, good, quick, sign, tmp_path):
    flag = tmp_path / "fail"
    first = sign(quick(body=f"code = 18 if os.path.exists({str(flag)!r}) else 0"))
    assert board.install(first).code == ExitCode.PROVEN
    assert board.install(good["new"]).code == ExitCode.PROVEN
    flag.touch()
    assert board.rollback().code == ExitCode.ROLLBACK_FAILED
    board.assert_settled(good["new"].id, first.id)


def test_status_tells_what_is_there(board_with_both, good):
    status = board_with_both.run("status").document
    assert (status["current"], status["previous"]) == (good["new"].id, good["old"].id)
    assert (status["counter"], status["verified"]) == (1_790_000_001, True)
    assert status["releases"] == sorted([good["old"].id, good["new"].id])
    assert status["log_tail"][-1]["state"] == "prune"


def test_status_tells_that_the_active_release_is_damaged(board, good):
    (board.root / "releases" / good["old"].id / "extra").touch()
    answer = board.run("status")
    assert (answer.code, answer.document["verified"]) == (ExitCode.CONTENT, False)
    assert answer.document["damage"]["where"] == "extra"


def test_status_of_a_board_that_has_nothing_yet(empty_board):
    answer = empty_board.run("status")
    nothing = dict.fromkeys(["current", "previous", "active", "verdict", "damage"])
    nothing.update(
        counter=0, exit_code=0, releases=[], log_tail=[], log_damage=[], reasons=[], verified=False, expired=False
    )
    assert (answer.code, answer.document) == (ExitCode.PROVEN, nothing)


def read_all(board):
    return {
        path.relative_to(board.root).as_posix(): path.read_bytes() for path in board.root.rglob("*") if path.is_file()
    }


def test_status_changes_nothing(board):
    before = read_all(board)
    assert board.run("status").code == ExitCode.PROVEN
    assert read_all(board) == before


def test_check_renews_the_verdict_logs_that_and_changes_nothing_else(board, good):
    before = read_all(board)
    assert board.run("check", "--who", "test").code == ExitCode.PROVEN
    after = read_all(board)
    verdict = f"verdicts/{good['old'].id}.json"
    assert {name for name in before if before[name] != after[name]} <= {"lock", "log.jsonl", verdict}
    assert (board.log[-1]["command"], board.log[-1]["verdict"]) == ("check", "done")
    board.assert_settled(good["old"].id, None)


def test_check_proves_any_release_again(board_with_both, good):
    answer = board_with_both.run("check", "--bundle", good["old"].id)
    assert (answer.code, answer.document["bundle_id"]) == (ExitCode.PROVEN, good["old"].id)
    assert answer.document["samples_ms"] == {"int8": [1.0]}
    assert answer.document["signer"] == "allowed@example.com"


def test_check_refuses_what_must_be_signed_where_the_board_knows_no_signers_any_more(board):
    (board.root / "allowed_signers").unlink()
    assert board.run("check").code == ExitCode.SIGNATURE


def test_check_of_a_release_whose_key_was_revoked_since_is_exit_10(board, good, keys):
    (board.root / "revoked_keys").write_text(keys["allowed"].with_suffix(".pub").read_text())
    answer = board.run("check")
    assert answer.code == ExitCode.SIGNATURE
    assert "revoked" in str(answer.error)


@pytest.mark.parametrize("bundle_id", ["0" * 64, "..", "../current"])
def test_check_of_a_release_that_is_not_there_is_a_usage_error(board, bundle_id):
    assert board.run("check", "--bundle", bundle_id).code == ExitCode.USAGE


def test_check_of_a_damaged_release_is_exit_11(board, good):
    (board.root / "releases" / good["old"].id / "payload/int8/model.onnx").write_bytes(b"old weightz")
    assert board.run("check").code == ExitCode.CONTENT


def test_a_lost_trust_state_starts_again_at_the_counter_of_the_active_release(board_with_both, good):
    board = board_with_both
    (board.root / "state.json").unlink()
    assert board.install(good["old"]).code == ExitCode.REPLAY
    assert board.state["counter"] == 1_790_000_001
    assert board.current == good["new"].id


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"\0" * 100, b'{"schema": 4}'])
def test_a_trust_state_that_cannot_be_read_stops_everything_with_the_way_out(board, good, data):
    state = board.state_bytes
    (board.root / "state.json").write_bytes(data)
    answer = board.install(good["new"])
    assert answer.code == ExitCode.MALFORMED
    assert "restore" in answer.error["fix"]
    assert (board.current, board.state_bytes) == (good["old"].id, data)
    (board.root / "state.json").write_bytes(state)
    assert board.install(good["new"]).code == ExitCode.PROVEN


def test_a_trust_state_of_a_newer_toolchain_is_not_touched(board, good):
    state = {**board.state, "schema": 5}
    (board.root / "state.json").write_text(json.dumps(state))
    answer = board.install(good["new"])
    assert (answer.code, board.state) == (ExitCode.MALFORMED, state)


def test_a_folder_in_place_of_current_is_not_removed(board, good):
    (board.root / "current").unlink()
    (board.root / "current").mkdir()
    assert board.install(good["new"]).code == ExitCode.MALFORMED
    (board.root / "current").rmdir()
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


def test_a_trust_state_of_an_older_toolchain_is_read_and_then_says_what_was_proven(board, good):
    state = {**board.state, "schema": 1}
    del state["active"]
    (board.root / "state.json").write_text(json.dumps(state))
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)
    assert board.state["schema"] == 4


def make_older(board, schema):
    """Turn the active release into one that an agent of an earlier manifest put there, and return its id."""
    release = board.root / "releases" / board.current
    document = json.loads((release / "manifest.json").read_bytes())
    data = json.dumps({**document, "schema": schema, "of_then": 1}).encode()
    older = hashlib.sha256(data).hexdigest()
    (release / "manifest.json").write_bytes(data)
    release.rename(release.with_name(older))
    (board.root / "current").unlink()
    (board.root / "current").symlink_to(f"releases/{older}")
    text = board.state_bytes.decode().replace(release.name, older)
    (board.root / "state.json").write_text(text)
    return older


def test_a_release_of_an_earlier_manifest_makes_way_for_a_new_one_and_is_not_gone_back_to(board, good):
    older = make_older(board, schema=2)
    answer = board.run("status")
    assert (answer.code, answer.document["verified"]) == (ExitCode.MALFORMED, False)
    assert "deploy the model again" in str(answer.document["damage"]["fix"])
    assert board.install(good["new"]).code == ExitCode.PROVEN
    assert (board.current, board.previous) == (good["new"].id, older)
    assert board.rollback().code == ExitCode.ROLLBACK_FAILED
    assert board.current == good["new"].id
