"""Where summaries are handed to: a file that never outlives its run, and the page of a job."""

from pathlib import Path

import pytest

from toolchain.cli.places import Place
from toolchain.cli.summary import STEP_SUMMARY, hand_summaries
from toolchain.errors import ExitCode, ToolchainError


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.delenv(STEP_SUMMARY, raising=False)
    return [Place(folder=tmp_path / name, model="m", target="t", may_be_made=True) for name in ("a", "b")]


def leave(place: Place) -> None:
    place.folder.mkdir()
    (place.folder / "summary.md").write_text(f"of {place.folder.name}\n")


def test_every_unit_is_in_the_file(places, tmp_path):
    with hand_summaries(places, tmp_path / "new/summary.md"):
        for place in places:
            leave(place)
    assert (tmp_path / "new/summary.md").read_text() == "of a\n\nof b\n"


def fail(place: Place) -> None:
    leave(place)
    raise ValueError("failed")


def test_a_deploy_that_fails_has_its_summary_too(places, tmp_path):
    with pytest.raises(ValueError, match="failed"), hand_summaries(places, tmp_path / "s.md"):
        fail(places[0])
    assert (tmp_path / "s.md").read_text() == "of a\n"


def test_no_summary_of_an_earlier_run_is_left(places, tmp_path):
    (tmp_path / "s.md").write_text("PASS, of yesterday")
    with pytest.raises(KeyboardInterrupt), hand_summaries(places, tmp_path / "s.md"):
        raise KeyboardInterrupt
    assert not (tmp_path / "s.md").exists()


def test_a_file_that_cannot_be_written_is_a_storage_error(places, tmp_path):
    with pytest.raises(ToolchainError) as caught, hand_summaries(places, Path("/proc/none/s.md")):
        leave(places[0])
    assert caught.value.code == ExitCode.STORAGE


def test_the_page_of_a_job_is_added_to(places, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("before\n")
    monkeypatch.setenv(STEP_SUMMARY, str(page))
    with hand_summaries(places, None):
        leave(places[0])
    assert page.read_text() == "before\nof a\n\n"


def test_a_page_that_cannot_be_written_decides_nothing(places, monkeypatch, capsys):
    monkeypatch.setenv(STEP_SUMMARY, "/proc/none/page.md")
    with hand_summaries(places, None):
        leave(places[0])
    assert "not on the job's page" in capsys.readouterr().err
