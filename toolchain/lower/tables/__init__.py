"""Tables of embeddings in int8: which there are, how they are written, and whether the model keeps its answers with them."""

from toolchain.lower.tables.choose import Tables, choose_tables

__all__ = ["Tables", "choose_tables"]
