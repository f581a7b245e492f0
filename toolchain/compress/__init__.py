"""Compression: a module in, a smaller module out. One method a file; the file's stem is the name in a recipe.

A method module offers SUMMARY (one line), Options (a pydantic model that forbids unknown keys) and
apply(model, options) -> nn.Module.
"""

from toolchain.compress.compress import compress_model, list_methods

__all__ = ["compress_model", "list_methods"]
