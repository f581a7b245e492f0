"""What a bundle that was made elsewhere has to be, to be brought to a board from here."""

from __future__ import annotations

from toolchain.agent.manifest import Manifest
from toolchain.bundle.agent_files import list_foreign_files
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.project.target import Target


def check_target(manifest: Manifest, target: Target, *, device: str | None, where: str) -> None:
    """Refuse (exit 2) a bundle for another target than that of the device."""
    if manifest.target != target.name:
        raise usage(
            f"the bundle is for another target than the device {device}",
            where=where,
            expected=target.name,
            found=manifest.target,
            fix="name another device, or the bundle that was deployed to this one",
        )


def requires_signature(manifest: Manifest, target: Target | None, *, is_vouched: bool) -> bool:
    """Return whether somebody whom the board knows must have signed a bundle.

    On a board its own agent runs: one that is not this toolchain's is a stranger's code, for which a signature has to stand.

    Args:
        manifest: of the bundle.
        target: the device's; None is this machine, where nothing of a bundle is executed.
        is_vouched: whether the user signs it with a key of theirs.
    """
    if manifest.signature == "required" or target is None:
        return manifest.signature == "required"
    return target.signature == "required" or (not is_vouched and bool(list_foreign_files(manifest)))


def explain_unsigned(manifest: Manifest, *, where: str) -> ToolchainError:
    """Return the error (exit 10) for a bundle that has to be signed, and is not."""
    foreign = list_foreign_files(manifest)
    return ToolchainError(
        ExitCode.SIGNATURE,
        f"nobody signed the bundle of {manifest.model}",
        where=where,
        expected=f"a signature: its agent, which the board runs, is not this toolchain's ({foreign[0]})"
        if foreign
        else f"a signature: {manifest.target} takes signed bundles alone",
        found="none",
        fix="get it from somebody who signs it; or vouch for it yourself: --sign KEY",
    )
