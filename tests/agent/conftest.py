"""Boards in folders, bundles in memory, and hosts that drive the real agent process over pipes."""

import json
import shutil

import pytest

from tests.agent.board import Board
from tests.agent.quick_bundle import Bundle, make_good, make_quick
from tests.agent.surroundings import make_environment, make_keys, make_quick_environment, write_signers


@pytest.fixture(scope="session")
def quick():
    """Return the function that makes an unsigned bundle with the quick agent."""
    return make_quick


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Return the private keys of three signers by name."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory):
    """Return the folder in which the agents' processes keep their bytecode."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(scope="session")
def quick_environment(tmp_path_factory):
    """Return the environment of a board whose runtime is loaded at once."""
    return make_quick_environment(tmp_path_factory.mktemp("site"))


@pytest.fixture
def sign(keys):
    """Return a function that signs a bundle, by default with the key that the board allows."""

    def sign_with(bundle, name="allowed", **options):
        return bundle.sign(keys[name], **options)

    return sign_with


@pytest.fixture(scope="session")
def good(keys):
    """Return the signed bundles "old" and "new"."""
    return make_good(keys)


@pytest.fixture(scope="session")
def board_with_old(keys, good, quick_environment, tmp_path_factory):
    """Return the root of a board on which "old" is active; for copying only."""
    root = tmp_path_factory.mktemp("template") / "root"
    root.mkdir()
    write_signers(root, keys)
    board = Board(root, quick_environment)
    answer = board.install(good["old"])
    assert answer.code == 0, answer
    board.assert_settled(good["old"].id, None)
    return root


@pytest.fixture(scope="session")
def board_with_old_and_new(board_with_old, good, quick_environment, tmp_path_factory):
    """Return the root of a board on which "new" is active and "old" the previous one; for copying only."""
    root = tmp_path_factory.mktemp("template") / "root"
    shutil.copytree(board_with_old, root, symlinks=True)
    board = Board(root, quick_environment)
    assert board.install(good["new"]).code == 0
    board.assert_settled(good["new"].id, good["old"].id)
    return root


@pytest.fixture
def real_board(keys, bytecode, tmp_path):
    """Return an empty board with the real runtime."""
    root = tmp_path / "board/root"
    root.mkdir(parents=True)
    write_signers(root, keys)
    return Board(root, make_environment(bytecode))


@pytest.fixture
def real_bundle(make_bundle, sign):
    """Return a function that makes a signed bundle of real payloads with the real agent."""

    def make(**changes):
        folder = make_bundle(**changes)
        manifest_bytes = (folder / "manifest.json").read_bytes()
        paths = [entry["path"] for entry in json.loads(manifest_bytes)["files"]]
        return sign(Bundle({path: (folder / path).read_bytes() for path in paths}, manifest_bytes))

    return make


@pytest.fixture
def empty_board(keys, quick_environment, tmp_path):
    """Return a board that takes signed bundles, and has none yet."""
    root = tmp_path / "board/root"
    root.mkdir(parents=True)
    write_signers(root, keys)
    return Board(root, quick_environment)


@pytest.fixture
def board_with_both(board_with_old_and_new, quick_environment, tmp_path):
    """Return a board on which "new" is active and "old" the previous one."""
    (tmp_path / "board").mkdir(exist_ok=True)
    shutil.copytree(board_with_old_and_new, tmp_path / "board/root", symlinks=True)
    return Board(tmp_path / "board/root", quick_environment)


@pytest.fixture
def board(board_with_old, quick_environment, tmp_path):
    """Return a board on which "old" is active."""
    (tmp_path / "board").mkdir(exist_ok=True)
    shutil.copytree(board_with_old, tmp_path / "board/root", symlinks=True)
    return Board(tmp_path / "board/root", quick_environment)
