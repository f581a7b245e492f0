"""The evaluation set of several releases is on the disk once; every release is checked as if it had its own."""

import os

import pytest

from toolchain.agent.errors import ExitCode

SYNCED_BYTES = 4 * 1024 * 1024
COUNTER = 1_790_000_010


@pytest.fixture
def releases(quick, sign):
    """Return three bundles with another payload each, on one large data set."""
    data = os.urandom(SYNCED_BYTES)
    return [
        sign(quick(content=b"%d" % index, extra={"golden/large.bin": data}, counter=COUNTER + index))
        for index in range(3)
    ]


def find_file(board, bundle, path="golden/large.bin"):
    return board.root / "releases" / bundle.id / path


def is_one_file(board, bundles, path="golden/large.bin"):
    return len({find_file(board, bundle, path).stat().st_ino for bundle in bundles}) == 1


def damage(path):
    """Change the last byte in place, as a disk does."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


def install_all(board, bundles):
    for bundle in bundles:
        assert board.install(bundle).code == ExitCode.PROVEN


def test_data_of_several_releases_lies_there_once_and_what_runs_lies_there_for_each(board, releases):
    install_all(board, releases)
    assert is_one_file(board, releases)
    assert not is_one_file(board, releases[:2], "agent/__main__.py")
    board.assert_settled(releases[2].id, releases[1].id)


def test_a_data_set_that_is_there_is_not_sent_again(board, releases):
    install_all(board, releases[:1])
    answer = board.install(releases[1])
    assert [item["path"] for item in answer.wanted] == ["payload/int8/model.onnx"]


def test_what_is_shared_outlives_the_release_that_it_came_with(board, releases):
    install_all(board, releases[:1])
    for bundle in releases[1:]:
        assert board.install(bundle, "--keep", "2").code == ExitCode.PROVEN
    assert board.list_releases() == sorted(bundle.id for bundle in releases[1:])
    board.assert_settled(releases[2].id, releases[1].id)


def test_damage_of_what_is_shared_is_noticed_in_every_release_that_has_it_and_the_next_deploy_heals(board, releases):
    install_all(board, releases[:2])
    damage(find_file(board, releases[0]))
    assert board.run("status").code == ExitCode.CONTENT
    assert board.rollback().code == ExitCode.ROLLBACK_FAILED
    answer = board.install(releases[2])
    assert answer.code == ExitCode.PROVEN
    assert "golden/large.bin" in [item["path"] for item in answer.wanted]
    board.assert_release_is_whole(releases[2].id)
    # What was damaged stays damaged where it is, and does not pass for the new file that has its name elsewhere.
    assert board.rollback().code == ExitCode.ROLLBACK_FAILED
    assert board.install(releases[1]).code == ExitCode.REPLAY
    assert board.current == releases[2].id


def test_an_upload_that_broke_off_never_writes_into_the_file_of_a_release(board, releases, quick, sign):
    install_all(board, releases[:1])
    data = find_file(board, releases[0]).read_bytes()
    extra = {"golden/large.bin": data, "payload/more.bin": os.urandom(3 * SYNCED_BYTES)}
    bundle = sign(quick(content=b"next", extra=extra, counter=COUNTER + 1))
    answer = board.install(bundle, limit_bytes=2 * SYNCED_BYTES)
    assert answer.code == ExitCode.CONNECTION_LOST
    staged = board.root / "staging" / f"{bundle.id}.partial" / "golden/large.bin"
    assert staged.samefile(find_file(board, releases[0]))
    again = board.install(bundle)
    assert again.code == ExitCode.PROVEN
    assert [item["path"] for item in again.wanted if item["offset"]] == ["payload/more.bin"]
    assert find_file(board, releases[0]).read_bytes() == data
    board.assert_settled(bundle.id, releases[0].id)


def test_a_shorter_file_that_is_staged_under_a_second_name_is_left_alone(board, releases, quick, sign):
    install_all(board, releases[:1])
    own = find_file(board, releases[0])
    bundle = sign(quick(content=b"x", extra={"golden/large.bin": own.read_bytes() + b"more"}, counter=COUNTER + 1))
    staged = board.root / "staging" / f"{bundle.id}.partial" / "golden/large.bin"
    staged.parent.mkdir(parents=True)
    os.link(own, staged)
    assert board.install(bundle).code == ExitCode.PROVEN
    board.assert_settled(bundle.id, releases[0].id)


def test_a_file_system_without_second_names_gets_a_copy(board, releases, tmp_path):
    site = tmp_path / "without_links"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os\ndef link(*_, **__):\n    raise PermissionError(1, 'no hard links here')\nos.link = link\n"
    )
    board.environment = {**board.environment, "PYTHONPATH": f"{site}:{board.environment['PYTHONPATH']}"}
    install_all(board, releases[:2])
    assert not is_one_file(board, releases[:2])
    board.assert_settled(releases[1].id, releases[0].id)


def test_data_that_is_there_needs_no_space_of_its_own(mount_board, releases):
    board = mount_board("size=8m")
    install_all(board, releases)
    assert board.list_releases() == sorted([*(bundle.id for bundle in releases)])
