import json
import os

import pytest
from typer.testing import CliRunner

from toolchain.cli import create_app
from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.cache import Cache


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return the root of a cache of three results, of which one was last used in 1970."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(folder))
    for stage, key in (("export", 1), ("export", 2), ("lower-int8", 1)):
        entry = Cache(folder).get_or_build(stage, {"key": key}, lambda made: (made / "model").write_bytes(bytes(1000)))
    os.utime(entry.folder / "entry.json", (0, 0))
    return folder


def run(*arguments):
    done = CliRunner().invoke(create_app(), ["cache", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_it_says_what_there_is_and_changes_nothing(root):
    before = sorted(root.rglob("*"))
    rows = json.loads(run("--json"))
    assert (rows["folder"], rows["entries"], rows["limits"]) == (str(root), 3, {"size_gb": 20.0, "unused_days": 90.0})
    assert {stage: held["entries"] for stage, held in rows["stages"].items()} == {"export": 2, "lower-int8": 1}
    assert rows["size_bytes"] == sum(held["size_bytes"] for held in rows["stages"].values()) > 3000
    assert rows["unused_days"] > 10_000
    assert sorted(root.rglob("*")) == before
    assert "20 GB, 90 days unused" in run()


def test_prune_removes_what_was_not_used_for_long(root):
    rows = json.loads(run("--prune", "--json"))
    assert (rows["removed"], rows["entries"], list(rows["stages"])) == (1, 2, ["export"])
    assert "removed         0, 0 B" in run("--prune")


def test_prune_takes_limits_of_its_own(root):
    assert json.loads(run("--prune", "--older-than", "100000", "--json"))["removed"] == 0
    assert json.loads(run("--prune", "--older-than", "100000", "--max-size-gb", "0", "--json"))["removed"] == 3


@pytest.mark.parametrize("option", ["--older-than", "--max-size-gb"])
def test_a_limit_without_prune_is_refused(root, option):
    with pytest.raises(ToolchainError) as caught:
        run(option, "1")
    assert (caught.value.code, caught.value.fix) == (ExitCode.USAGE, "add --prune")
    assert json.loads(run("--json"))["entries"] == 3


def test_an_empty_cache_is_no_error_and_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "none"))
    assert json.loads(run("--prune", "--json"))["entries"] == 0
    assert run()
    assert not (tmp_path / "none").exists()


def test_a_cache_of_others_is_refused(root):
    root.chmod(0o777)
    with pytest.raises(ToolchainError, match="others may write"):
        run("--prune")
