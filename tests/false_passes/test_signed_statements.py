"""A statement that cannot be signed leaves no pass behind: the run ends with another exit code than the verdict's."""

import os
import shutil

from tests.native_board import make_key

# A token that signs the bundle, and is not touched in time for the statement.
SSH_KEYGEN = """\
#!/bin/sh
case "$*" in *edge-toolchain-statement*) echo "device not found" >&2; exit 1;; esac
exec {ssh_keygen} "$@"
"""


def test_a_statement_that_cannot_be_signed_leaves_no_pass(project, tmp_path, monkeypatch):
    key, folder = tmp_path / "signer", tmp_path / "bin"
    make_key(key)
    folder.mkdir()
    (folder / "ssh-keygen").write_text(SSH_KEYGEN.format(ssh_keygen=shutil.which("ssh-keygen")))
    (folder / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    project.assert_stopped(project.deploy("--sign", key), 2, "usage")
    assert project.read_report()["exit_code"] == 2
    assert not list(project.out.glob("statement.json*"))
