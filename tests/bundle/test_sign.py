import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native_board import make_key
from toolchain.agent.install.signature import NAMESPACE
from toolchain.bundle import write_bundle
from toolchain.bundle.sign import sign_manifest
from toolchain.errors import ExitCode, ToolchainError


@pytest.fixture
def key(tmp_path):
    make_key(tmp_path / "key")
    return tmp_path / "key"


def verifies(data, signature, key, *, namespace=NAMESPACE):
    """Ask OpenSSH itself whether a signature is of these bytes, by this key, for this purpose."""
    signers = key.with_name("signers")
    signers.write_text(f"someone {key.with_suffix('.pub').read_text()}")
    key.with_name("signature").write_bytes(signature)
    command = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "someone", "-n", namespace]
    done = subprocess.run([*command, "-s", key.with_name("signature")], input=data, capture_output=True, check=False)
    return done.returncode == 0


def test_openssh_verifies_the_signature_for_this_purpose_and_these_bytes_alone(key):
    signature = sign_manifest(b"manifest", key)
    assert verifies(b"manifest", signature, key)
    assert not verifies(b"manifes", signature, key)
    assert not verifies(b"manifest", signature, key, namespace="git")


def test_a_key_in_the_agent_signs_by_its_public_half(key, tmp_path):
    socket = tmp_path / "s"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert agent.poll() is None
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", key], env=environment, check=True, stderr=subprocess.DEVNULL)
        key.unlink()
        script = "import sys; from pathlib import Path; from toolchain.bundle.sign import sign_manifest\n"
        script += "sys.stdout.buffer.write(sign_manifest(b'manifest', Path(sys.argv[1])))"
        command = [sys.executable, "-c", script, key.with_suffix(".pub")]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
    finally:
        agent.kill()
        agent.wait()
    assert verifies(b"manifest", done.stdout, key)


@pytest.mark.parametrize("content", [None, "no key", "public half without its private one"])
def test_what_cannot_sign_is_exit_2(key, tmp_path, monkeypatch, content):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    path = tmp_path / "other.pub"
    if content is not None:
        path.write_text(key.with_suffix(".pub").read_text() if "public" in content else content)
    with pytest.raises(ToolchainError) as caught:
        sign_manifest(b"manifest", path)
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.fix
    assert str(path) not in str(caught.value.to_dict())


@pytest.mark.parametrize("name", [300 * "n", "folder/key", "folder"])
def test_a_key_that_cannot_be_looked_at_is_exit_2_and_its_path_is_not_told(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    path = tmp_path / name

    def refuse(_path):
        raise PermissionError(13, "Permission denied", str(path))

    if name == "folder/key":  # root may look into every folder
        monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(ToolchainError) as caught:
        sign_manifest(b"manifest", path)
    assert caught.value.code == ExitCode.USAGE
    assert str(path) not in str(caught.value.to_dict())


def test_without_ssh_keygen_it_is_exit_3(key, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolchainError) as caught:
        sign_manifest(b"manifest", key)
    assert caught.value.code == ExitCode.MISSING


def test_a_bundle_is_the_same_whatever_the_umask_the_folder_and_the_times_of_its_sources(
    bundle_inputs, write_model, tmp_path
):
    def read(folder):
        return {
            path.relative_to(folder).as_posix(): (stat.S_IMODE(path.stat().st_mode), path.is_dir() or path.read_bytes())
            for path in folder.rglob("*")
        }

    inputs = bundle_inputs(counter=7, expires="2027-01-31T00:00:00Z")
    write_bundle(inputs, tmp_path / "first")
    before = os.umask(0o077)
    try:
        for path in {*(lowered.path for lowered in inputs.candidates), inputs.reference}:
            os.utime(path, (1, 1))
            Path(path).chmod(0o600)
        write_bundle(inputs, tmp_path / "deep" / "other name" / "second")
    finally:
        os.umask(before)
    assert read(tmp_path / "first") == read(tmp_path / "deep" / "other name" / "second")
