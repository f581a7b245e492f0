"""The power is cut at random times of a deploy: see cuts.py. Here 20 times; `make test-power` does it 200 times."""

import os

import pytest

from tests.agent.power.cuts import make_cuts, run_cuts
from tests.agent.power.disk import Disk, make_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk of its own needs root")


def test_the_disk_loses_what_was_not_synced_and_keeps_what_was(tmp_path):
    (tmp_path / "content").mkdir()
    make_disk(tmp_path / "a.img", tmp_path / "content")
    with Disk(tmp_path / "a.img", tmp_path / "mount") as disk:
        with (disk.folder / "synced").open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        (disk.folder / "unsynced").write_bytes(b"lost")
        disk.cut_power(tmp_path / "b.img")
    with Disk(tmp_path / "b.img", tmp_path / "mount") as disk:
        assert (disk.folder / "synced").read_bytes() == b"kept"
        assert not (disk.folder / "unsynced").exists() or (disk.folder / "unsynced").read_bytes() == b""


def test_after_any_cut_the_old_or_the_new_release_is_active_and_whole(tmp_path):
    result = run_cuts(make_cuts(tmp_path), 20, seed=1)
    assert result["violations"] == []
    assert sum(result["came_up_with"].values()) == 20


def test_an_agent_that_syncs_nothing_does_not_survive_it(tmp_path):
    # The check of this check: the same cut finds an agent that writes as carelessly as it can.
    cuts = make_cuts(tmp_path)
    (tmp_path / "careless").mkdir()
    (tmp_path / "careless/sitecustomize.py").write_text("import os\nos.fsync = lambda descriptor: None\n")
    search = f"{tmp_path / 'careless'}{os.pathsep}{cuts.environment['PYTHONPATH']}"
    cuts.environment = {**cuts.environment, "PYTHONPATH": search}
    with pytest.raises((AssertionError, OSError, ValueError)):
        cuts.cut(after_s=3 * cuts.measure_deploy_s())


def test_a_deploy_that_came_to_its_end_survives_the_cut(tmp_path):
    cuts = make_cuts(tmp_path)
    assert cuts.cut(after_s=10 * cuts.measure_deploy_s()) == "new"
