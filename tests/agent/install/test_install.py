"""What an `install` does when nothing is wrong, and when the line drops."""

import json
import os
import signal

import pytest

from toolchain.agent.errors import ExitCode
from toolchain.agent.install.receive import SYNCED_BYTES
from toolchain.agent.install.states import INSTALL


def test_the_first_bundle_becomes_the_active_release(empty_board, good):
    answer = empty_board.install(good["old"])
    assert answer.code == ExitCode.PROVEN
    empty_board.assert_settled(good["old"].id, None)
    document = answer.document
    assert (document["bundle_id"], document["signer"]) == (good["old"].id, "allowed@example.com")
    assert (document["measurements"]["verdict"], document["samples_ms"]) == ("pass", {"int8": [1.0]})
    assert document["state"]["current"] == good["old"].id
    assert document["state"]["counter"] == empty_board.state["counter"] == 1_790_000_000
    assert document["notes"] == []


def test_the_next_bundle_takes_over_and_the_first_is_the_previous_one(board, good):
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)
    assert board.state["counter"] == 1_790_000_001


def test_files_that_another_release_has_are_not_sent_again(board, good):
    answer = board.install(good["new"])
    assert [item["path"] for item in answer.wanted] == ["payload/int8/model.onnx", "payload/new.bin"]
    assert [item["offset"] for item in answer.wanted] == [0, 0]


def test_the_same_bundle_again_is_proven_again_without_being_sent(board, good):
    answer = board.install(good["old"])
    assert (answer.code, answer.wanted) == (ExitCode.PROVEN, [])
    assert answer.document["measurements"]["verdict"] == "pass"
    board.assert_settled(good["old"].id, None)


def test_the_active_bundle_is_sent_again_where_its_release_was_damaged(board, good):
    payload = board.root / "releases" / good["old"].id / "payload/int8/model.onnx"
    payload.write_bytes(b"old weightz")
    answer = board.install(good["old"])
    assert answer.code == ExitCode.PROVEN
    assert [item["path"] for item in answer.wanted] == ["payload/int8/model.onnx"]
    board.assert_settled(good["old"].id, None)


def test_a_damaged_file_of_another_release_is_not_copied(board, good):
    (board.root / "releases" / good["old"].id / "golden/in.npy").write_bytes(b"golden on")
    answer = board.install(good["new"])
    assert answer.code == ExitCode.PROVEN
    assert "golden/in.npy" in [item["path"] for item in answer.wanted]
    board.assert_release_is_whole(good["new"].id)


def test_the_log_tells_who_did_what_to_which_bundle(board, good):
    board.install(good["new"])
    lines = board.log[-len(INSTALL) :]
    assert [line["state"] for line in lines] == [state.name for state in INSTALL]
    assert {(line["who"], line["command"], line["verdict"]) for line in lines} == {("test", "install", "done")}
    assert {line["bundle_id"] for line in lines[2:]} == {good["new"].id}
    assert all(line["time"].endswith("Z") for line in lines)


def test_a_refusal_is_in_the_log_with_its_code(board, quick):
    board.install(quick())
    line = board.log[-1]
    assert (line["state"], line["verdict"], line["code"]) == ("authenticate", "failed", ExitCode.SIGNATURE)
    assert "not signed" in line["what"]


def make_large(quick, sign):
    extra = {"payload/large.bin": os.urandom(2 * SYNCED_BYTES + 12345), "payload/small.bin": b"s" * 1000}
    return sign(quick(content=b"large", extra=extra))


def test_an_upload_that_was_cut_goes_on_where_it_was_written_to_the_disk(board, good, quick, sign):
    bundle = make_large(quick, sign)
    answer = board.install(bundle, limit_bytes=SYNCED_BYTES + 99_999)
    assert answer.code == ExitCode.CONNECTION_LOST
    assert "goes on" in answer.error["fix"]
    board.assert_invariant(good["old"].id)
    again = board.install(bundle)
    assert again.code == ExitCode.PROVEN
    offsets = {item["path"]: item["offset"] for item in again.wanted}
    assert offsets == {"payload/large.bin": SYNCED_BYTES, "payload/small.bin": 0}
    board.assert_settled(bundle.id, good["old"].id)


def test_a_file_that_had_come_whole_is_not_sent_again(board, good, quick, sign):
    bundle = sign(quick(extra={"payload/a.bin": b"a" * 1000, "payload/b.bin": b"b" * 1000}))
    assert board.install(bundle, limit_bytes=1500).code == ExitCode.CONNECTION_LOST
    again = board.install(bundle)
    assert [item["path"] for item in again.wanted] == ["payload/b.bin", "payload/int8/model.onnx"]
    board.assert_settled(bundle.id, good["old"].id)


def test_what_came_before_a_power_cut_is_sent_again_where_it_is_not_what_was_sent(board, good, quick, sign):
    bundle = make_large(quick, sign)
    small_bytes = 500  # of what comes after it
    answer = board.install(bundle, limit_bytes=len(b"large") + 2 * SYNCED_BYTES + 12345 + small_bytes)
    assert answer.code == ExitCode.CONNECTION_LOST
    large = board.root / "staging" / f"{bundle.id}.partial" / "payload/large.bin"
    assert large.stat().st_size == 2 * SYNCED_BYTES + 12345
    with large.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0" if file.read(1) != b"\0" else b"\1")
    again = board.install(bundle)
    assert again.code == ExitCode.PROVEN
    assert "payload/large.bin" in [item["path"] for item in again.wanted]


def test_a_killed_session_leaves_an_upload_to_go_on_with(board, good, quick, sign):
    bundle = make_large(quick, sign)
    host = board.start()
    host.offer(bundle)
    host.send(bundle, 2 * SYNCED_BYTES)
    partial = board.root / "staging" / f"{bundle.id}.partial" / "payload/large.bin"
    while not partial.exists() or partial.stat().st_size < SYNCED_BYTES:
        assert host.process.poll() is None
    host.process.send_signal(signal.SIGTERM)
    assert host.finish().code == -signal.SIGTERM
    board.assert_invariant(good["old"].id)
    again = board.install(bundle)
    assert again.code == ExitCode.PROVEN
    assert again.wanted[0]["path"] == "payload/large.bin"
    assert again.wanted[0]["offset"] == SYNCED_BYTES


def test_a_host_that_stalls_is_given_up_and_the_board_is_free_again(board, good):
    host = board.start("--limit-s", "2")
    host.offer(good["new"])
    assert host.process.wait() == ExitCode.CONNECTION_LOST
    assert "nothing came" in host.finish().error["what"]
    board.assert_invariant(good["old"].id)
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


@pytest.mark.parametrize(
    "sent", [b"", b"{", b'{"protocol": 1, "manifest_bytes": 100, "signature_bytes": 0}\n{"schema"']
)
def test_a_host_that_hangs_up_early_is_exit_15(board, good, sent):
    host = board.start()
    host.process.stdin.write(sent)
    assert host.finish().code == ExitCode.CONNECTION_LOST
    board.assert_settled(good["old"].id, None)


@pytest.mark.parametrize(
    "header",
    [
        b"SSH-2.0-OpenSSH_9.2\n",
        b"x" * 5000 + b"\n",
        b'{"protocol": 2, "manifest_bytes": 1, "signature_bytes": 1}\n',
        b'{"protocol": 1, "manifest_bytes": -1, "signature_bytes": 1}\n',
        b'{"protocol": 1, "manifest_bytes": 16777217, "signature_bytes": 1}\n',
        b'{"protocol": 1, "manifest_bytes": 1, "signature_bytes": 65537}\n',
        b'{"protocol": 1, "manifest_bytes": "1", "signature_bytes": 1}\n',
    ],
    ids=lambda header: repr(header[:60]),
)
def test_an_offer_that_is_none_of_ours_or_too_large_is_refused_before_it_comes(board, good, header):
    host = board.start()
    host.process.stdin.write(header)
    answer = host.finish()
    assert answer.code == ExitCode.MALFORMED
    board.assert_settled(good["old"].id, None)


def test_an_upload_of_another_bundle_is_not_kept_for_ever(board, good, quick, sign):
    bundle = make_large(quick, sign)
    board.install(bundle, limit_bytes=1)
    assert board.list_staged() == [f"{bundle.id}.partial"]
    board.install(good["new"])
    board.assert_settled(good["new"].id, good["old"].id)


def test_a_bundle_that_is_refused_does_not_cost_the_upload_of_another_one(board, quick, sign):
    bundle = make_large(quick, sign)
    board.install(bundle, limit_bytes=1)
    board.install(quick())
    assert board.list_staged() == [f"{bundle.id}.partial"]


def test_two_deploys_at_once_the_second_is_told_who_has_the_board(board, good):
    first = board.start("--fault", "receive:exit:stop")
    first.offer(good["new"])
    first.send(good["new"])
    board.wait_until_stopped(first)
    second = board.install(good["new"])
    assert second.code == ExitCode.BUSY
    assert f"process {first.process.pid} of test" in second.error["found"]
    board.assert_invariant(good["old"].id)
    first.process.send_signal(signal.SIGCONT)
    assert first.finish().code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


def test_a_lock_file_that_was_left_behind_locks_nothing(board, good):
    (board.root / "lock").write_text("process 1 of somebody who is long gone\n")
    assert board.install(good["new"]).code == ExitCode.PROVEN


def test_old_releases_are_removed_by_count_and_never_current_or_previous(board, good, quick, sign):
    bundles = [sign(quick(content=bytes([index]), counter=1_790_000_010)) for index in range(4)]
    for bundle in bundles:
        assert board.install(bundle, "--keep", "3").code == ExitCode.PROVEN
    assert board.list_releases() == sorted(bundle.id for bundle in bundles[1:])
    board.assert_settled(bundles[3].id, bundles[2].id)


def test_a_release_whose_files_a_process_has_open_is_not_removed(board, good, quick, sign):
    bundles = [sign(quick(content=bytes([index]))) for index in range(2)]
    with (board.root / "releases" / good["old"].id / "payload/int8/model.onnx").open("rb"):
        for bundle in bundles:
            assert board.install(bundle, "--keep", "2").code == ExitCode.PROVEN
        assert good["old"].id in board.list_releases()
    assert board.install(bundles[1], "--keep", "2").code == ExitCode.PROVEN
    assert good["old"].id not in board.list_releases()


@pytest.mark.parametrize("keep", ["1", "0", "-1"])
def test_fewer_than_two_releases_cannot_be_kept(board, good, keep):
    assert board.install(good["new"], "--keep", keep).code == ExitCode.USAGE


def test_the_signature_stays_with_the_release(board, good):
    folder = board.root / "releases" / good["old"].id
    assert (folder / "manifest.json.sig").read_bytes() == good["old"].signature_bytes
    assert json.loads((folder / "manifest.json").read_bytes())["model"] == "small"
