"""What a board refuses, with which exit code, and that nothing of it stays."""

import os
import stat
import subprocess

import pytest

from toolchain.agent.errors import ExitCode


def assert_refused(board, good, answer, code, words=""):
    """The code, the words, the old release active, the trust state as it was; then a good bundle goes in."""
    assert answer.code == code, answer
    assert answer.error["code"] == code
    assert words in str(answer.error)
    board.assert_settled(good["old"].id, None)
    assert board.state["counter"] == 1_790_000_000
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda good, quick, sign: quick(), "is not signed"),
        (lambda good, quick, sign: sign(quick(), "stranger"), "not of an allowed signer"),
        (lambda good, quick, sign: sign(quick(), namespace="file"), "another purpose"),
        (lambda good, quick, sign: sign(quick(), "revoked"), "revoked"),
        (lambda good, quick, sign: type(good["old"])({}, quick().manifest_bytes, good["old"].signature_bytes), "not of this manifest"),
        (lambda good, quick, sign: type(good["old"])({}, quick().manifest_bytes, b"no signature"), "is no signature"),
    ],
    ids=["unsigned", "wrong key", "wrong namespace", "revoked", "signature of another manifest", "garbage"],
)  # fmt: skip
@pytest.mark.parametrize("option", ["required", "optional"])
def test_a_bundle_without_a_good_signature_is_refused_whatever_the_host_says(
    board, good, quick, sign, make, words, option
):
    answer = board.install(make(good, quick, sign), "--signature", option)
    assert_refused(board, good, answer, ExitCode.SIGNATURE, words)
    assert answer.error["fix"]


def test_a_key_whose_time_is_over_is_refused(board, good, quick, sign):
    signers = board.root / "allowed_signers"
    text = signers.read_text()
    signers.write_text(text.replace("allowed@example.com ", 'allowed@example.com valid-before="20200101" '))
    answer = board.install(sign(quick()))
    signers.write_text(text)
    assert_refused(board, good, answer, ExitCode.SIGNATURE, "expired")


def test_a_signature_is_checked_before_the_manifest_is_parsed(board, good, quick):
    bundle = type(good["old"])({}, b"{ no JSON", b"")
    assert_refused(board, good, board.install(bundle), ExitCode.SIGNATURE, "not signed")


def test_a_broken_list_of_revoked_keys_lets_nobody_in(board, good):
    revoked = board.root / "revoked_keys"
    data = revoked.read_bytes()
    revoked.unlink()
    revoked.mkdir()
    answer = board.install(good["new"])
    revoked.rmdir()
    revoked.write_bytes(data)
    assert_refused(board, good, answer, ExitCode.SIGNATURE)


def test_a_board_without_ssh_keygen_says_what_to_install(board, good, tmp_path):
    path = board.environment["PATH"]
    board.environment = {**board.environment, "PATH": str(tmp_path)}
    answer = board.install(good["new"])
    board.environment = {**board.environment, "PATH": path}
    assert_refused(board, good, answer, ExitCode.INCOMPATIBLE, "openssh-client")


def test_a_board_that_knows_no_signer_takes_an_unsigned_bundle_only_where_host_and_target_say_so(
    empty_board, quick, sign
):
    (empty_board.root / "allowed_signers").unlink()
    refused = empty_board.install(sign(quick()))
    assert (refused.code, refused.error["found"]) == (ExitCode.SIGNATURE, "no file")
    refused = empty_board.install(quick(), "--signature", "optional")
    assert (refused.code, "target requires" in refused.error["what"]) == (ExitCode.SIGNATURE, True)
    bundle = quick(signature="optional")
    answer = empty_board.install(bundle, "--signature", "optional")
    assert (answer.code, answer.document["signer"]) == (ExitCode.PROVEN, None)
    empty_board.assert_settled(bundle.id, None)


def flip(content, index):
    changed = bytearray(content)
    changed[index] ^= 1
    return bytes(changed)


def replace_file(bundle, path, content):
    return type(bundle)({**bundle.files, path: content}, bundle.manifest_bytes, bundle.signature_bytes)


@pytest.mark.parametrize("index", [0, 2500, -1])
def test_a_flipped_bit_on_the_way_is_refused(board, good, index):
    bad = replace_file(good["new"], "payload/new.bin", flip(good["new"].files["payload/new.bin"], index))
    assert_refused(board, good, board.install(good["new"], send=bad), ExitCode.CONTENT, "sha256")


def test_a_file_of_another_signed_release_is_refused(board, good):
    bad = replace_file(good["new"], "payload/int8/model.onnx", good["old"].files["payload/int8/model.onnx"])
    assert_refused(board, good, board.install(good["new"], send=bad), ExitCode.CONTENT, "payload/int8/model.onnx")


def make_unlinked(path):
    path.unlink()


def make_truncated(path):
    os.truncate(path, 4999)


def make_symlink(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_fifo(path):
    path.unlink()
    os.mkfifo(path)


def make_device(path):
    path.unlink()
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def make_extra(path):
    path.with_name("extra.bin").write_bytes(b"")


def make_folder(path):
    path.with_name("folder").mkdir()


CHANGES = [make_unlinked, make_truncated, make_symlink, make_fifo, make_device, make_extra, make_folder]


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_from_the_manifest_in_staging_is_refused(board, good, change):
    new = good["new"]
    path = board.root / "staging" / f"{new.id}.partial" / "payload/new.bin"
    try:
        answer = board.install_with_change(new, "verify:entry", lambda: change(path))
    except PermissionError:
        pytest.skip("only root can make devices")
    assert_refused(board, good, answer, ExitCode.CONTENT, "payload/")


@pytest.mark.parametrize("place", ["place:exit", "self_test:entry", "self_test:exit", "activate:entry"])
def test_a_file_swapped_between_verify_and_activate_is_refused(board, good, place):
    new = good["new"]
    path = board.root / "releases" / new.id / "payload/int8/model.onnx"
    answer = board.install_with_change(new, place, lambda: path.write_bytes(b"NEW WEIGHTS"))
    assert_refused(board, good, answer, ExitCode.CONTENT, "payload/int8/model.onnx")


def test_a_manifest_swapped_between_verify_and_activate_is_refused(board, good):
    path = board.root / "releases" / good["new"].id / "manifest.json"
    answer = board.install_with_change(
        good["new"], "self_test:exit", lambda: path.write_bytes(good["old"].manifest_bytes)
    )
    assert_refused(board, good, answer, ExitCode.CONTENT, good["old"].id)


def test_a_link_that_lies_in_an_interrupted_upload_is_not_written_through(board, good, tmp_path):
    new = good["new"]
    outside = tmp_path / "outside"
    (outside / "golden").mkdir(parents=True)
    (outside / "file").write_bytes(b"mine")
    partial = board.root / "staging" / f"{new.id}.partial"
    (partial / "payload").mkdir(parents=True)
    (partial / "payload/new.bin").symlink_to(outside / "file")
    (partial / "golden").symlink_to(outside / "golden")
    assert board.install(new).code == ExitCode.PROVEN
    board.assert_settled(new.id, good["old"].id)
    assert (outside / "file").read_bytes() == b"mine"
    assert list((outside / "golden").iterdir()) == []


def test_nothing_in_a_release_is_setuid_or_executable(board, good):
    new = good["new"]
    partial = board.root / "staging" / f"{new.id}.partial"
    answer = board.install_with_change(new, "verify:entry", lambda: (partial / "payload/new.bin").chmod(0o6755))
    assert answer.code == ExitCode.PROVEN
    release = board.root / "releases" / new.id
    assert {stat.S_IMODE(path.stat().st_mode) for path in release.rglob("*") if path.is_file()} == {0o644}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"arch": "riscv64"}, "arch"),
        ({"accelerator": "sm_87"}, "accelerator"),
        ({"runtime_versions": {"onnxruntime": ">=99"}}, "runtime_version"),
        ({"cpu_features": ["no_such_feature"]}, "cpu_features"),
    ],
)
def test_a_bundle_for_another_board_is_refused_before_it_is_sent(board, good, quick, sign, changes, where):
    compatible = {"arch": None, "accelerator": None, "runtime_versions": {}, "cpu_features": [], **changes}
    answer = board.install(sign(quick(compatible=compatible)))
    assert answer.wanted is None
    assert_refused(board, good, answer, ExitCode.INCOMPATIBLE, where)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counter": 1_789_999_999}, "older than one"),
        ({"expires": "2026-01-01T00:00:00Z"}, "has expired"),
        ({"expires": "2099-01-01T00:00:00Z", "counter": 4_000_000_000}, "clock"),
    ],
    ids=["lower counter", "expired", "clock implausible"],
)
def test_an_old_bundle_or_one_whose_time_cannot_be_told_is_refused(board, good, quick, sign, changes, words):
    answer = board.install(sign(quick(**changes)))
    assert answer.wanted is None
    assert_refused(board, good, answer, ExitCode.REPLAY, words)


def test_a_release_that_was_active_before_is_a_replay_once_a_newer_one_was(board_with_both, good):
    answer = board_with_both.install(good["old"])
    assert answer.code == ExitCode.REPLAY
    assert "rollback" in answer.error["fix"]
    board_with_both.assert_settled(good["new"].id, good["old"].id)


@pytest.mark.parametrize(
    "changes",
    [{"counter": 1_790_000_000}, {"expires": "2099-01-01T00:00:00Z"}, {"counter": 4_000_000_000}],
    ids=["equal counter", "not yet expired", "a counter that is no time, without expiry"],
)
def test_a_fresh_bundle_is_accepted(board, good, quick, sign, changes):
    bundle = sign(quick(content=b"fresh", **changes))
    assert board.install(bundle).code == ExitCode.PROVEN
    board.assert_settled(bundle.id, good["old"].id)


@pytest.mark.parametrize(
    "path",
    [
        "../escape",
        "/tmp/absolute",
        "a/../../b",
        "a\\b",
        "C:drive",
        "line\nbreak",
        "caf\udce9",
        "Payload/int8.onnx",
        ".",
    ],
)
def test_an_unsafe_name_in_a_signed_manifest_is_refused_before_anything_is_sent(board, good, quick, sign, path):
    def add(manifest):
        manifest["files"].append({"path": path, "size_bytes": 0, "sha256": "0" * 64})
        manifest["files"].sort(key=lambda entry: entry["path"])

    answer = board.install(sign(quick(change=add)))
    assert answer.wanted is None
    assert_refused(board, good, answer, ExitCode.MALFORMED)


def test_a_name_that_is_not_utf_8_is_refused(board, good, quick, sign):
    data = quick().manifest_bytes.replace(b"golden/in.npy", b"golden/\xff.npy")
    assert_refused(board, good, board.install(sign(type(good["old"])({}, data))), ExitCode.MALFORMED, "UTF-8")


@pytest.mark.parametrize(
    "changes",
    [{"counter": "7"}, {"counter": -1}, {"expires": 7}, {"candidates": 5}, {"files": {}}, {"golden": None}],
    ids=str,
)
def test_a_field_of_the_wrong_type_is_refused(board, good, quick, sign, changes):
    answer = board.install(sign(quick(change=lambda manifest: manifest.update(changes))))
    assert_refused(board, good, answer, ExitCode.MALFORMED, next(iter(changes)))


def test_several_names_in_one_line_of_allowed_signers_are_one_signer(board, quick, sign):
    signers = board.root / "allowed_signers"
    signers.write_text(signers.read_text().replace("allowed@example.com", "!no@example.com,*@example.com,ci"))
    answer = board.install(sign(quick(content=b"pattern")))
    assert (answer.code, answer.document["signer"]) == (ExitCode.PROVEN, "*@example.com")


def test_a_list_of_revoked_keys_may_be_a_krl(board, good, keys, tmp_path):
    krl = board.root / "revoked_keys"
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", krl, keys["allowed"].with_suffix(".pub")], check=True)
    answer = board.install(good["new"])
    krl.unlink()
    assert_refused(board, good, answer, ExitCode.SIGNATURE, "revoked")
