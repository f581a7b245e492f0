"""Disks that are full, that become full, that have no inodes, that are read-only; and a file over 2 GiB."""

import os
import shutil
import subprocess

import pytest

from toolchain.agent.errors import ExitCode
from toolchain.agent.install.receive import SYNCED_BYTES

# printf 'huge!' | cat <(head -c 2147483648 /dev/zero) - | sha256sum
HUGE_SHA256 = "f21aa55d851433fc20a1af8c59422b05a76838638dd9365550cf5ba15cc02dd7"


def fill(path, left_bytes):
    """Write a file that leaves so many bytes free."""
    disk = os.statvfs(path.parent)
    path.write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - left_bytes))


def assert_storage(board, good, answer, bundle, make_room):
    assert answer.code == ExitCode.STORAGE, answer
    assert answer.error["fix"]
    board.assert_invariant(good["old"].id)
    assert board.state["current"] == good["old"].id
    make_room()
    assert board.install(bundle).code == ExitCode.PROVEN
    board.assert_settled(bundle.id, good["old"].id)


@pytest.fixture
def large(quick, sign):
    return sign(quick(content=b"large", extra={"payload/large.bin": os.urandom(SYNCED_BYTES + 1000)}))


def test_a_bundle_that_does_not_fit_is_refused_before_it_is_sent(mount_board, good, large):
    board = mount_board("size=16m")
    ballast = board.root.parent / "ballast"
    fill(ballast, SYNCED_BYTES)
    answer = board.install(large)
    assert answer.wanted is None
    assert "bytes free" in answer.error["found"]
    assert_storage(board, good, answer, large, ballast.unlink)


@pytest.mark.parametrize("left_bytes", [0, 8192, 16384])
@pytest.mark.parametrize("place", ["receive:entry", "receive:exit", "place:entry", "self_test:entry"])
def test_a_disk_that_fills_up_on_the_way_leaves_the_old_release(mount_board, good, large, place, left_bytes):
    board = mount_board("size=16m")
    ballast = board.root.parent / "ballast"
    if place == "receive:entry":
        host = board.start("--fault", "receive:entry:stop")
        header_then_stopped(board, host, large)
        fill(ballast, left_bytes)
        answer = go_on(host, large)
    else:
        answer = board.install_with_change(large, place, lambda: fill(ballast, left_bytes))
    if left_bytes and answer.code == ExitCode.PROVEN:  # enough for the verdict and the links, or for the state too
        board.assert_invariant(large.id)
        ballast.unlink()
        if answer.document["notes"]:
            assert board.install(large).code == ExitCode.PROVEN
        board.assert_settled(large.id, good["old"].id)
        return
    assert answer.code == ExitCode.STORAGE, answer
    board.assert_invariant(good["old"].id)
    ballast.unlink()
    assert board.install(large).code == ExitCode.PROVEN
    board.assert_settled(large.id, good["old"].id)


def header_then_stopped(board, host, bundle):
    host.send_offer(bundle)
    board.wait_until_stopped(host)


def go_on(host, bundle):
    host.resume()
    host.read_wanted()
    host.send(bundle)
    return host.finish()


@pytest.mark.parametrize("place", ["activate:exit", "record:entry"])
def test_a_disk_that_is_full_after_the_switch_leaves_the_new_release_and_the_next_run_settles_it(
    mount_board, good, large, place
):
    board = mount_board("size=16m")
    ballast = board.root.parent / "ballast"
    answer = board.install_with_change(large, place, lambda: fill(ballast, 0))
    assert answer.code == ExitCode.PROVEN
    board.assert_invariant(large.id)
    ballast.unlink()
    assert board.install(large).code == ExitCode.PROVEN
    board.assert_settled(large.id, good["old"].id)


def test_old_releases_give_way_to_a_bundle_that_would_not_fit_beside_them(mount_board, good, quick, sign):
    board = mount_board("size=16m")
    bundles = [
        sign(quick(content=b"x", extra={"payload/large.bin": os.urandom(SYNCED_BYTES)}, counter=1_790_000_010 + index))
        for index in range(4)
    ]
    for bundle in bundles:
        assert board.install(bundle, "--keep", "9").code == ExitCode.PROVEN
    assert board.list_releases() == sorted(bundle.id for bundle in bundles[1:])
    board.assert_settled(bundles[3].id, bundles[2].id)


def test_a_disk_without_inodes_refuses_before_anything_is_sent(mount_board, good):
    board = mount_board("size=16m,nr_inodes=64")
    full = board.root.parent / "full"
    full.mkdir()
    while os.statvfs(full).f_favail > 3:
        (full / str(os.statvfs(full).f_favail)).touch()
    answer = board.install(good["new"])
    assert answer.wanted is None
    assert_storage(board, good, answer, good["new"], lambda: shutil.rmtree(full))


def test_a_read_only_disk_is_told_and_nothing_is_lost(mount_board, good):
    board = mount_board("size=16m")
    disk = board.root.parent
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    answer = board.install(good["new"])
    assert_storage(
        board, good, answer, good["new"], lambda: subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    )


@pytest.mark.skipif(
    "AGENT_PYTHON" in os.environ, reason="the board's Python does not see what is mounted after its start"
)
def test_a_release_that_failed_and_cannot_be_removed_is_exit_22_and_goes_with_the_next_deploy(
    mount_board, good, quick, sign
):
    board = mount_board("size=16m")
    bad = sign(quick(body="code, reasons = 18, ['int8: output y: SQNR 1.0 dB is under 20 dB']"))
    release = board.root / "releases" / bad.id

    def pin():
        subprocess.run(["mount", "--bind", release, release], check=True)

    answer = board.install_with_change(bad, "self_test:entry", pin)
    assert answer.code == ExitCode.ROLLBACK_FAILED
    assert "SQNR" in answer.error["what"]
    board.assert_invariant(good["old"].id)
    subprocess.run(["umount", release], check=True)
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


def test_a_file_over_2_gib_is_never_in_memory(mount_board, good, quick, sign, tmp_path):
    board = mount_board("size=64m")
    # A disk with room for 2 GiB that are not there: the files of this test are holes.
    subprocess.run(["mount", "-o", "remount,size=8g", board.root.parent], check=True)
    file = tmp_path / "huge.bin"
    with file.open("wb") as stream:
        stream.truncate((1 << 31) + 5)
        stream.seek(-5, os.SEEK_END)
        stream.write(b"huge!")
    bundle = sign(quick(content=b"huge", extra={"payload/huge.bin": file}, sha256={"payload/huge.bin": HUGE_SHA256}))
    partial = board.root / "staging" / f"{bundle.id}.partial" / "payload"
    partial.mkdir(parents=True)
    with (partial / "huge.bin").open("wb") as stream:
        stream.truncate(1 << 31)
    answer = board.install(bundle, "--limit-s", "600", prefix=("prlimit", f"--as={1 << 30}"))
    assert answer.code == ExitCode.PROVEN, answer
    assert {item["path"]: item["offset"] for item in answer.wanted}["payload/huge.bin"] == 1 << 31
    assert board.current == bundle.id
    with (board.root / "current/payload/huge.bin").open("rb") as stream:
        stream.seek(-5, os.SEEK_END)
        assert stream.read() == b"huge!"
