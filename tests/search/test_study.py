"""The trials in their storage, without running any."""

import os
from contextlib import ExitStack

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.recipe import SearchSection
from toolchain.search.study import Study

COMPLETE = {"state": "complete"}


def open_study(out, *, name="net-cpu-1", storage=None, sampler="random", seed=0):
    return Study(
        name=name,
        storage=str(storage or out / "search.journal"),
        out=out,
        directions=["maximize", "minimize"],
        section=SearchSection(sampler=sampler, seed=seed),
    )


def run(study, trials, *, values=(0.9, 1000.0)):
    """Run one trial and return its number, None where there are enough."""
    with study.next_trial(trials) as begun:
        if begun is None:
            return None
        trial, _ = begun
        record = {"state": "complete", "number": trial.number, "x": trial.suggest_float("x", 0, 1)}
        study.end_trial(trial, record, list(values))
        return trial.number


def kill_one(study):
    """Begin a trial as a worker does that is killed in it: the system frees its lock, nothing else happens."""
    with ExitStack() as locks:
        trial, transport = study._begin_trial(100, locks)
    return trial.number, transport.bundle.parent


def test_trials_are_counted_over_runs(tmp_path):
    assert [run(open_study(tmp_path), 3) for _ in range(4)] == [0, 1, 2, None]
    assert run(open_study(tmp_path), 4) == 3


def test_a_killed_trial_does_not_count_and_its_folder_goes(tmp_path):
    number, folder = kill_one(open_study(tmp_path))
    assert (number, folder.is_dir()) == (0, True)
    study = open_study(tmp_path)
    assert [run(study, 2) for _ in range(3)] == [1, 2, None]
    assert [record["number"] for record in study.list_records()] == [1, 2]
    assert not folder.exists()


def test_a_trial_that_runs_counts_and_is_left_alone(tmp_path):
    with open_study(tmp_path).next_trial(2) as begun:
        other = open_study(tmp_path)
        assert [run(other, 2), run(other, 2)] == [1, None]
        assert begun[1].bundle.parent.is_dir()


def test_a_worker_with_another_folder_shares_the_trials(tmp_path):
    one = open_study(tmp_path / "one", storage=tmp_path / "shared.journal")
    two = open_study(tmp_path / "two", storage=tmp_path / "shared.journal")
    assert [run(one, 4), run(two, 4), run(two, 4), run(one, 4), run(two, 4)] == [0, 1, 2, 3, None]
    assert len(one.list_records()) == len(two.list_records()) == 4


def test_a_database_is_a_storage_too(tmp_path):
    study = open_study(tmp_path, storage=f"sqlite:///{tmp_path}/search.db")
    assert [run(study, 2) for _ in range(3)] == [0, 1, None]


def test_a_block_that_raises_leaves_a_trial_that_does_not_count(tmp_path):
    study = open_study(tmp_path)
    with pytest.raises(KeyboardInterrupt), study.next_trial(1):
        raise KeyboardInterrupt
    assert study.list_records() == []
    assert run(study, 1) == 1


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_the_seed_says_what_is_drawn_and_no_trial_draws_the_first_one_again(tmp_path, sampler):
    def draw(name, seed, runs):
        for count in runs:
            study = open_study(tmp_path / name, sampler=sampler, seed=seed)
            for _ in range(count):
                run(study, 6)
        return [record["x"] for record in study.list_records()]

    straight = draw("a", 0, [6])
    assert draw("b", 0, [1, 3, 2]) == straight  # interrupted and continued
    assert len(set(straight)) == 6
    assert draw("c", 1, [6]) != straight


def test_a_folder_of_another_search_is_refused(tmp_path):
    open_study(tmp_path)
    with pytest.raises(ToolchainError, match="another search") as caught:
        open_study(tmp_path, name="net-cpu-2")
    assert caught.value.code is ExitCode.USAGE
    assert "--out" in str(caught.value)


def test_a_storage_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(ToolchainError, match="storage") as caught:
        open_study(tmp_path, storage="nosuchdatabase://host/name")
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    "line",
    [
        "nothing of optuna's\n",
        "[" * 100_000 + "\n",
        "[]\n",
        "{}\n",
        '{"op_code": 4, "trial_id": 7}\n',
        '{"op_code": 99}\n',
        "\xff\n",
    ],
    ids=["no JSON", "nested", "a list", "no key", "a trial that is not there", "no operation", "no ASCII"],
)
def test_a_journal_that_optuna_did_not_write_is_refused(tmp_path, line):
    open_study(tmp_path)
    with (tmp_path / "search.journal").open("a") as file:
        file.write(line)
    with pytest.raises(ToolchainError) as caught:
        open_study(tmp_path)
    assert caught.value.code is ExitCode.USAGE
    assert str(tmp_path / "search.journal") in caught.value.where


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_journal_that_is_no_file_is_refused_and_not_waited_for(tmp_path, make):
    make(tmp_path / "search.journal")
    with pytest.raises(ToolchainError, match="no file"):
        open_study(tmp_path)
