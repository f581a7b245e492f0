"""What to tell a user whose checkpoint holds code, or is a program and no checkpoint."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from toolchain.errors import ToolchainError, malformed
from toolchain.run.regular_file import open_regular

_LISTED_MAX = 8
_SAVE = "torch.save(model.state_dict(), 'weights.pt')"


def explain_class(name: str, path: Path, *, is_zip: bool) -> ToolchainError:
    """Return the error for a pickle that names a class or function which is no tensor's; nothing of it was run."""
    names = list(dict.fromkeys([name, *list_classes(path)])) if is_zip else [name]
    listed = ", ".join(names[:_LISTED_MAX]) + (
        f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
    )
    if any(each.startswith("torch.nn.modules.") for each in names):
        return malformed(
            "the checkpoint is a whole pickled model, and reading one runs code in it",
            where=str(path),
            expected="a state dict: tensors by name",
            found=f"the classes {listed}",
            fix=f"save its state dict where it was trained, with its code at hand: {_SAVE}",
        )
    return malformed(
        "the checkpoint is refused: reading it would run code that it names",
        where=str(path),
        expected="tensors, texts and numbers",
        found=listed,
        fix=f"where you made it yourself, save its weights alone there: {_SAVE}; else do not open it at all",
    )


def explain_zip(path: Path) -> ToolchainError | None:
    """Return the error for a zip file that torch.save did not write; None for one that it did, or a broken one."""
    names = _list_names(path)
    if any("/code/" in f"/{name}" for name in names):
        return _refuse_program(path, "a TorchScript program", "torch.jit.load(FILE).state_dict()")
    if any(name.endswith(("serialized_exported_program.json", "archive_format")) for name in names):
        return _refuse_program(path, "an exported program of torch.export", "torch.export.load(FILE).state_dict")
    if names and not any(name.endswith("data.pkl") for name in names):
        return malformed(
            "the file is no checkpoint",
            where=str(path),
            expected="what torch.save writes, or a safetensors file",
            found=f"a zip file of {', '.join(names[:3])}",
            fix=f"name the file that the training wrote, or save one: {_SAVE}",
        )
    return None


def list_classes(path: Path) -> Sequence[str]:
    """Return all names that torch's unpickler would refuse; none where it cannot tell."""
    import torch

    try:
        with open_regular(path) as file:
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # noqa: BLE001 - of a file that was refused already; whatever is wrong with it besides
        return ()


def _refuse_program(path: Path, found: str, take: str) -> ToolchainError:
    return malformed(
        "the file is a program and no checkpoint",
        where=str(path),
        expected="a state dict: tensors by name",
        found=found,
        fix=f"where you trust it, save its state dict: torch.save(dict({take}), 'weights.pt')",
    )


def _list_names(path: Path) -> Sequence[str]:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return ()
