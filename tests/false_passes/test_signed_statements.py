"""A signature that cannot be made, or is of something else, is beside no pass."""

import os
import shutil

from tests.native_board import make_key
from toolchain.bundle.sign import sign_manifest

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


def test_a_bundle_beside_the_signature_of_another_manifest_is_no_pass(deployed_copy, tmp_path):
    key, bundle = tmp_path / "signer", deployed_copy.out / "bundle"
    make_key(key)
    manifest = (bundle / "manifest.json").read_bytes()
    for signature, code in (
        (sign_manifest(manifest, key), 0),
        (sign_manifest(manifest + b" ", key), 10),
        (b"junk", 10),
    ):
        (bundle / "manifest.json.sig").write_bytes(signature)
        result = deployed_copy.run("verify", bundle)
        assert (result.code, "PASS" in result.stdout) == (code, code == 0), result.stderr
