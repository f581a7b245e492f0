"""Products whose weight alone is stored in 8 bits, in blocks: what a layer can be that would otherwise stay in float."""

from toolchain.lower.blocks.choose import BlockChoice, choose_blocks

__all__ = ["BlockChoice", "choose_blocks"]
