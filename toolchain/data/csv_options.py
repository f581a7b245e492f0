"""What data sets of CSV files have in common: their files, and how a class is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section

Names = Annotated[list[str], Field(min_length=1)]


class CsvOptions(Section):
    """Where the rows are."""

    train: DataPath
    """The file to calibrate with and to learn from."""
    evaluation: DataPath
    delimiter: Annotated[str, Field(pattern=r'^[^"\r\n\x00]$')] = ","
    classes: Names | None = None
    """The names of the classes, as they stand in the column of the label, in the order of their numbers; None reads
    numbers from 0."""
