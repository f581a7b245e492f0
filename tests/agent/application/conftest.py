"""A board with two releases, of which the second is active; each test has a copy of its own."""

import shutil

import pytest

from tests.agent.application.boards import ApplicationBoard, make_board, make_frames, make_payload_bundle
from tests.agent.quick_bundle import COUNTER, describe_candidate
from tests.agent.surroundings import make_keys
from tests.one_cpu import one_cpu  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Return the private keys of three signers by name."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory):
    """Return the folder in which the agents' processes keep their bytecode."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(scope="session")
def bundles():
    """Return two bundles whose payloads answer differently."""
    return make_payload_bundle("float32"), make_payload_bundle("negated", counter=COUNTER + 1)


@pytest.fixture(scope="session")
def template(keys, bytecode, bundles, tmp_path_factory):
    """Return the root of a board with both; for copying only."""
    return make_board(tmp_path_factory.mktemp("template") / "root", keys, bytecode, *bundles).root


@pytest.fixture
def board(template, bytecode, tmp_path):
    """Return a board on which the second bundle is active and the first the previous one."""
    (tmp_path / "board").mkdir()
    shutil.copytree(template, tmp_path / "board/root", symlinks=True)
    return ApplicationBoard(tmp_path / "board/root", bytecode)


@pytest.fixture(scope="session")
def pinned(keys, bytecode, tmp_path_factory):
    """Return a board on which two pinned threads were proven; for reading only."""
    bundle = make_payload_bundle("float32", candidates=[describe_candidate("int8", threads=2, pins_threads=True)])
    return make_board(tmp_path_factory.mktemp("pinned") / "root", keys, bytecode, bundle)


@pytest.fixture(scope="session")
def frames():
    """Return a few frames (6, 3, 8, 8)."""
    return make_frames()
