"""Where a key lies that signs is told to nobody who reads what a run left."""

import pytest

from tests.native_board import make_key

CANARY = "canary-9f3d"


@pytest.fixture
def key(tmp_path):
    folder = tmp_path / CANARY
    folder.mkdir()
    make_key(folder / "signer")
    return folder / "signer"


def list_telling(project, word):
    """Return the files of a project's runs, what they cached among them, whose name or content has a word."""
    files = [path for root in (project.out, project.cache) for path in root.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if word in path.name or word.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        (["--sign", "{key}"], {0, 20}),
        (["--sign={key}.missing"], {2}),
        (["--sign", "{key}.pub"], {2}),  # its private half is elsewhere
        (["--sgin", "{key}"], {2}),
    ],
    ids=["signed", "missing", "no private half", "misspelt"],
)
def test_no_report_log_or_bundle_has_the_path_of_the_key(cached_project, key, monkeypatch, arguments, codes):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    if arguments[-1].endswith(".pub"):
        key.unlink()
    result = cached_project.deploy(*(argument.format(key=key) for argument in arguments))
    assert result.code in codes, result.stderr
    assert (cached_project.out / "report.json").exists()
    assert "--s" in cached_project.read_report()["provenance"]["command"]
    assert list_telling(cached_project, CANARY) == []
    assert list_telling(cached_project, "provenance")
