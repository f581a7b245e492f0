"""What a verdict says of an engine, and the file that is there; that TensorRT gets none of these is in agent/application/test_engine.py."""

import hashlib

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.engine_file import read_engine
from toolchain.agent.install.folder import Folder
from toolchain.agent.install.verdict import BuiltEngine

DATA = b"an engine"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "engines").mkdir(parents=True)
    (root / "engines/x.engine").write_bytes(DATA)
    (root / "x.engine").write_bytes(DATA)
    return Folder(root)


def describe(**changes):
    usual = {"path": "engines/x.engine", "sha256": hashlib.sha256(DATA).hexdigest(), "size_bytes": len(DATA)}
    return BuiltEngine(**{**usual, **changes})


def test_the_engine_of_the_verdict_is_read_with_what_its_file_is(root):
    file = read_engine(root, describe())
    assert (file.data, file.status.st_size, file.path) == (DATA, len(DATA), root.path / "engines/x.engine")


@pytest.mark.parametrize(
    "path", ["x.engine", "engines/../x.engine", "engines/..", "engines/", "engines", "/x.engine", "a/engines/x.engine"]
)
def test_a_verdict_that_names_a_file_elsewhere_is_refused(path, root):
    with pytest.raises(ToolchainError) as caught:
        read_engine(root, describe(path=path))
    assert (caught.value.code, caught.value.found) == (ExitCode.MALFORMED, path)


@pytest.mark.parametrize(
    "changes", [{"sha256": "0" * 64}, {"size_bytes": 8}, {"size_bytes": 10}, {"path": "engines/y.engine"}]
)
def test_other_bytes_than_the_verdicts_or_none_are_refused(changes, root):
    with pytest.raises(ToolchainError) as caught:
        read_engine(root, describe(**changes))
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.CONTENT, True)


def test_without_a_folder_of_engines_there_is_none(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        read_engine(Folder(tmp_path), describe())
    assert caught.value.code == ExitCode.CONTENT
