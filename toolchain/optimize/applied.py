"""What a pass returns: a model, and what it did or why it did nothing."""

from __future__ import annotations

from dataclasses import dataclass

import onnx


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The rewritten copy, or the very model that came where there was nothing to do."""

    model: onnx.ModelProto
    report: str
    """What was changed; else what of the model kept the pass from acting."""
