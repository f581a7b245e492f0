"""Whose a bundle is: of its manifest, of somebody that the user named, or nobody's."""

import os

import pytest

from tests.native_board import make_key
from toolchain.bundle.authenticate import Signature, authenticate_bundle
from toolchain.bundle.sign import sign_bytes, sign_manifest
from toolchain.errors import ExitCode, ToolchainError

MANIFEST = b'{"schema": 3}\n'


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("named", "stranger"):
        make_key(folder / name)
    return folder


@pytest.fixture
def signers(keys, tmp_path):
    path = tmp_path / "allowed_signers"
    path.write_text(f"ci@example.org {(keys / 'named.pub').read_text()}")
    return path


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder


def sign(bundle, data):
    (bundle / "manifest.json.sig").write_bytes(data)


def assert_refused(code, *arguments):
    with pytest.raises(ToolchainError) as caught:
        authenticate_bundle(*arguments)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def test_a_bundle_of_a_named_signer_is_that_signers(bundle, keys, signers):
    sign(bundle, sign_manifest(MANIFEST, keys / "named"))
    assert authenticate_bundle(bundle, MANIFEST, signers) == Signature(is_there=True, signer="ci@example.org")


def test_without_named_signers_nobody_is_said_to_have_signed(bundle, keys):
    assert authenticate_bundle(bundle, MANIFEST, None) == Signature(is_there=False, signer=None)
    sign(bundle, sign_manifest(MANIFEST, keys / "stranger"))
    assert authenticate_bundle(bundle, MANIFEST, None) == Signature(is_there=True, signer=None)


def test_where_signers_are_named_a_bundle_of_nobody_or_of_somebody_else_is_refused(bundle, keys, signers):
    assert "not signed" in assert_refused(ExitCode.SIGNATURE, bundle, MANIFEST, signers).what
    sign(bundle, sign_manifest(MANIFEST, keys / "stranger"))
    assert "allowed signer" in assert_refused(ExitCode.SIGNATURE, bundle, MANIFEST, signers).what


@pytest.mark.parametrize("is_named", [False, True])
def test_a_signature_of_another_manifest_or_for_another_purpose_or_none_is_refused(bundle, keys, signers, is_named):
    for data in (
        sign_manifest(MANIFEST + b" ", keys / "named"),
        sign_bytes(MANIFEST, keys / "named", namespace="git"),
        b"junk",
        b"",
        b"x" * (64 * 1024 + 1),
    ):
        sign(bundle, data)
        assert_refused(ExitCode.SIGNATURE, bundle, MANIFEST, signers if is_named else None)


def test_what_is_no_regular_file_is_no_signature(bundle, keys, tmp_path):
    path = bundle / "manifest.json.sig"
    (tmp_path / "good.sig").write_bytes(sign_manifest(MANIFEST, keys / "named"))
    for make in (
        lambda: path.symlink_to(tmp_path / "good.sig"),
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/none"),
    ):
        make()
        assert_refused(ExitCode.SIGNATURE, bundle, MANIFEST, None)
        path.unlink()


def test_a_file_of_signers_that_is_not_there_is_a_usage_error(bundle, tmp_path):
    assert_refused(ExitCode.USAGE, bundle, MANIFEST, tmp_path / "none")


def test_without_ssh_keygen_nobody_is_believed_to_be_a_named_signer(bundle, keys, signers, monkeypatch):
    sign(bundle, sign_manifest(MANIFEST, keys / "named"))
    monkeypatch.setenv("PATH", "/none")
    assert authenticate_bundle(bundle, MANIFEST, None) == Signature(is_there=True, signer=None)
    assert_refused(ExitCode.MISSING, bundle, MANIFEST, signers)
