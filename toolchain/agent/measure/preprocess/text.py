"""The tokenizer of a bundle, and what a payload takes of texts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

from numpy.typing import NDArray

from ...bundle_files import FileEntry
from ...errors import ExitCode, ToolchainError
from ...manifest import Manifest, TensorSpec
from ...regular import read_regular
from ...sensor import InputSpec
from .tokenize import Tokenizer
from .vocabulary import SIZE_BYTES_MAX


def open_tokenizer(bundle: Union[Path, int], manifest: Manifest) -> Optional[Tokenizer]:
    """Return the tokenizer of a bundle, a folder or the descriptor of one; None where no text feeds the payload.

    Raises ToolchainError: exit 11 a vocabulary that is not the manifest's, 23 one that is none.
    """
    spec = None if manifest.input is None else manifest.input.text
    if spec is None:
        return None
    if spec.file is None:
        return Tokenizer(spec, None, where="input.text", code=ExitCode.MALFORMED)
    entry = next(entry for entry in manifest.files if entry.path == spec.file)
    return Tokenizer(spec, _read(bundle, entry), where=spec.file, code=ExitCode.MALFORMED)


def _read(bundle: Union[Path, int], entry: FileEntry) -> bytes:
    """Return the very bytes that are hashed: what lies there afterwards may be others."""
    try:
        if isinstance(bundle, int):
            data = read_regular(entry.path, SIZE_BYTES_MAX, folder=bundle)
        else:
            data = read_regular(bundle / entry.path, SIZE_BYTES_MAX)
    except OSError as error:
        raise _differ(entry, error.strerror or "none") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != entry.sha256:
        raise _differ(entry, f"sha256 {sha256}")
    return data


def _differ(entry: FileEntry, found: str) -> ToolchainError:
    what, fix = "the tokenizer's file is not the one that was proven", "deploy the bundle again"
    expected = f"sha256 {entry.sha256}"
    return ToolchainError(ExitCode.CONTENT, what, where=entry.path, expected=expected, found=found, fix=fix)


def feed_texts(
    tokenizer: Tokenizer, texts: Sequence[str], spec: InputSpec, inputs: Sequence[TensorSpec]
) -> Dict[str, NDArray[Any]]:
    """Return what the payload takes of some texts, each input in its own type; raises ToolchainError (exit 2)."""
    made = tokenizer.tokenize(texts, spec.name)
    return {tensor.name: made[tensor.name].astype(tensor.dtype) for tensor in inputs}
