import subprocess

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.freshness import choose_freshness, find_commit_time_s

COMMIT_S = 1_800_000_000  # 2027-01-15T08:00:00Z


@pytest.fixture(autouse=True)
def _no_epoch(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "someone")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "someone@example.org")
        monkeypatch.setenv(f"GIT_{name}_DATE", f"{COMMIT_S} +0000")
    folder = tmp_path / "repository"
    for command in (["init", "-q", folder], ["-C", folder, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], check=True)
    return folder


def test_the_counter_is_the_time_of_the_commit(repository):
    fresh = choose_freshness(repository, counter=None, expires_days=None)
    assert (fresh.counter, fresh.expires) == (COMMIT_S, None)
    assert find_commit_time_s(repository) == COMMIT_S


def test_a_counter_that_is_given_wins(repository):
    assert choose_freshness(repository, counter=7, expires_days=None).counter == 7


def test_outside_of_a_repository_the_counter_is_0(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert choose_freshness(tmp_path, counter=None, expires_days=None).counter == 0


def test_a_repository_without_a_commit_has_no_time(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert find_commit_time_s(tmp_path) is None


def test_both_times_follow_source_date_epoch(repository, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(COMMIT_S + 3))
    fresh = choose_freshness(repository, counter=None, expires_days=2)
    assert (fresh.counter, fresh.expires) == (COMMIT_S + 3, "2027-01-18T00:00:00Z")


@pytest.mark.parametrize("text", ["", "today", "-1", "1.5", "9" * 17, "9" * 9000])
def test_a_source_date_epoch_that_is_no_time_is_exit_2(tmp_path, monkeypatch, text):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(ToolchainError) as caught:
        choose_freshness(tmp_path, counter=None, expires_days=None)
    assert caught.value.code == ExitCode.USAGE


def test_the_last_day_is_a_whole_one(tmp_path):
    assert choose_freshness(tmp_path, counter=0, expires_days=1).expires.endswith("T00:00:00Z")


def test_a_repository_names_no_program_that_is_run_for_its_time(tmp_path):
    canary = tmp_path / "executed"
    program = tmp_path / "gpg"
    program.write_text(f"#!/bin/sh\ntouch {canary}\n")
    program.chmod(0o755)
    folder = tmp_path / "repository"

    def git(*arguments, **options):
        done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True, **options)
        return done.stdout.strip()

    subprocess.run(["git", "init", "-q", folder], check=True)
    who = "x <x@example.org> 1700000000 +0000"
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    text = f"tree {git('mktree', input='')}\nauthor {who}\ncommitter {who}\n{signature}\n\nx\n"
    git("reset", git("hash-object", "-t", "commit", "-w", "--stdin", input=text))
    git("config", "log.showSignature", "true")
    git("config", "gpg.program", program)
    git("show", "--no-patch")
    assert canary.exists()  # else this shows nothing
    canary.unlink()
    assert find_commit_time_s(folder) == 1700000000
    assert not canary.exists()


@pytest.mark.parametrize("given", [{"counter": 2**53}, {"expires_days": 3_000_000}, {"expires_days": 10**11}])
def test_a_number_that_no_manifest_holds_is_exit_2(tmp_path, given):
    with pytest.raises(ToolchainError) as caught:
        choose_freshness(tmp_path, **{"counter": None, "expires_days": None, **given})
    assert caught.value.code == ExitCode.USAGE
