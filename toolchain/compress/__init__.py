"""Compression: a module in, a smaller module out. One method a file; the file's stem is the name in a recipe.

A method module offers SUMMARY (one line), TRAINS, Options (a pydantic model that forbids unknown keys) and
apply(draft, options, material).
"""

from toolchain.compress.compress import compress_draft, read_entry
from toolchain.compress.draft import Draft
from toolchain.compress.equality import check_equal
from toolchain.compress.material import Material
from toolchain.compress.reach import Reach
from toolchain.project.compress_entry import FinetuneSection

__all__ = [
    "Draft",
    "FinetuneSection",
    "Material",
    "Reach",
    "check_equal",
    "compress_draft",
    "read_entry",
]
