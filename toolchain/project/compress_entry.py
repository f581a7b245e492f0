"""What an entry of [[compress]] may have beside its method and the options of that."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toolchain.project.toml_file import Section


class FinetuneSection(Section):
    """How to win accuracy back after a method, or how long a method that trains takes."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    """The peak of the one-cycle schedule; a tenth of what trains from scratch."""
    batch_size: int = Field(default=128, ge=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    seed: int = 0


class EntrySection(Section):
    """What every entry may have beside its method's options."""

    finetune: FinetuneSection | None = None
    """A training after the method, or the method's own where it trains by itself."""
