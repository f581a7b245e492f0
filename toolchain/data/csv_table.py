"""Tables in CSV files: columns of numbers that a model takes as one array, and columns that it should answer."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import LABELS, TargetArray
from toolchain.data.csv_options import CsvOptions, Names
from toolchain.data.csv_rows import CsvRows, Row
from toolchain.data.dataset import IMAGE_INPUT, Dataset, hash_files, interleave_classes
from toolchain.data.faults import Faults, refuse_without
from toolchain.errors import usage
from toolchain.project.toml_file import check_table


class Options(CsvOptions):
    """Where the rows are, and what their columns mean."""

    columns: Names | None = None
    """Those that the model takes, in its order; None takes all that are no targets."""
    label: str | None = None
    """The column of the class."""
    values: Names | None = None
    """The columns of the numbers that should come out."""
    anomalous: str | None = None
    """The column that has 1 where a sample is not normal, and 0 where it is."""
    mean: Annotated[list[float], Field(min_length=1)] = Field(default=[0.0])
    """Of the columns, or one for all: it is taken off, and the rest divided by std."""
    std: Annotated[list[float], Field(min_length=1)] = Field(default=[1.0])


@dataclass(frozen=True)
class TableRows:
    """Rows in memory, 4 bytes a number."""

    features: NDArray[np.float32]
    """`(N, columns)`, normalized."""
    targets: Mapping[str, TargetArray]
    sha256: str
    path: Path
    lines: NDArray[np.int64]
    """Where each row begins in the file, `(N,)`."""

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the rows start to stop."""
        return {IMAGE_INPUT: self.features[start:stop]}

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the rows at the indices `(n,)`."""
        return {IMAGE_INPUT: self.features[indices]}

    def name_sample(self, index: int) -> str:
        """Return where a row stands."""
        return f"{self.path}, line {self.lines[index]}"


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the rows of two files."""
    chosen = check_table(Options, options, what="the options of csv_table", where="data.options")
    faults = Faults()
    names, parts = chosen.columns, []
    for path in (chosen.train, chosen.evaluation):
        rows = CsvRows(Path(path), chosen.delimiter, faults)
        names = names or _find_features(rows, chosen)
        parts.append(_read_part(Path(path), rows, names, chosen))
    faults.refuse()
    train, evaluation = (_make_samples(part, chosen) for part in parts)
    return Dataset(
        name="csv_table",
        train=train,
        calibration=train,
        evaluation=evaluation,
        classes=None if chosen.classes is None else tuple(chosen.classes),
        licence=None,
    )


def _list_targets(options: Options) -> list[str]:
    return [name for name in (options.label, options.anomalous, *(options.values or ())) if name is not None]


def _find_features(rows: CsvRows, options: Options) -> list[str]:
    return [name for name in rows.header if name not in _list_targets(options)]


@dataclass(frozen=True)
class _Part:
    path: Path
    names: Sequence[str]
    """Of the columns that the model takes."""
    features: array[float]
    values: array[float]
    labels: array[int]
    anomalous: array[int]
    lines: array[int]


def _read_part(path: Path, rows: CsvRows, names: Sequence[str], options: Options) -> _Part:
    features = rows.find_columns(names, option="columns")
    values = rows.find_columns(options.values or [], option="values")
    labels = rows.find_columns([options.label] if options.label is not None else [], option="label")
    anomalous = rows.find_columns([options.anomalous] if options.anomalous is not None else [], option="anomalous")
    _check_columns(names, options)
    part = _Part(path, names, array("f"), array("f"), array("q"), array("q"), array("q"))
    for row in rows.read():
        numbers = _read_all(rows, row, features)
        wanted = _read_all(rows, row, values)
        classes = [rows.read_class(row, column, options.classes) for column in labels]
        flags = [rows.read_flag(row, column) for column in anomalous]
        if numbers is None or wanted is None or None in classes or None in flags:
            continue
        part.features.extend(numbers)
        part.values.extend(wanted)
        part.labels.extend(number for number in classes if number is not None)
        part.anomalous.extend(number for number in flags if number is not None)
        part.lines.append(row.line)
    return part


def _read_all(rows: CsvRows, row: Row, columns: Sequence[int]) -> list[float] | None:
    found = [rows.read_number(row, column) for column in columns]
    numbers = [number for number in found if number is not None]
    return numbers if len(numbers) == len(found) else None


def _check_columns(names: Sequence[str], options: Options) -> None:
    targets = _list_targets(options)
    both = sorted(set(names) & set(targets))
    if both or not names or len(set(names)) < len(names):
        raise usage(
            "the columns that the model takes are not told from those that it answers",
            where="data.options.columns",
            expected="one column or more, each of them once, and none of them a target",
            found=f"{both[0]}, which is a target too" if both else ", ".join(names) or "none",
            fix="correct data.options.columns",
        )
    for option, numbers in (("mean", options.mean), ("std", options.std)):
        if len(numbers) not in (1, len(names)) or (option == "std" and 0 in numbers):
            raise usage(
                f"{option} does not fit the columns",
                where=f"data.options.{option}",
                expected=f"1 number for all columns, or {len(names)}; no standard deviation of 0",
                found=f"{len(numbers)}: {', '.join(map(str, numbers[:10]))}",
                fix=f"correct data.options.{option}",
            )


def _make_samples(part: _Part, options: Options) -> TableRows:
    count = len(part.lines)
    refuse_without(count, what="row", where=str(part.path))
    features = np.frombuffer(part.features, dtype=np.float32).reshape(count, len(part.names))
    mean, std = (np.array(numbers, dtype=np.float32) for numbers in (options.mean, options.std))
    targets: dict[str, TargetArray] = {}
    if options.values is not None:
        targets["values"] = np.frombuffer(part.values, dtype=np.float32).reshape(count, -1)
    if options.label is not None:
        targets[LABELS] = np.frombuffer(part.labels, dtype=np.int64)
    if options.anomalous is not None:
        targets["anomalous"] = np.frombuffer(part.anomalous, dtype=np.int64)
        # What is learned from is normal, as a rule; what is evaluated on has both kinds.
        if part.path == Path(options.evaluation):
            anomalies = sum(part.anomalous)
            refuse_without(anomalies, what="1 as anomalous", where=str(part.path))
            refuse_without(count - anomalies, what="0 as anomalous", where=str(part.path))
    kinds = targets.get(LABELS, targets.get("anomalous"))
    order = interleave_classes(kinds) if isinstance(kinds, np.ndarray) else np.arange(count)
    lines = np.frombuffer(part.lines, dtype=np.int64)
    # Paths, and who calibrates with which part, are not what the rows are.
    what = options.model_dump_json(exclude={"train", "evaluation"})
    return TableRows(
        features=((features - mean) / std)[order],
        targets={name: target[order] for name, target in targets.items() if isinstance(target, np.ndarray)},
        sha256=hash_files(f"csv_table {list(part.names)} {what}", [part.path]),
        path=part.path,
        lines=lines[order],
    )
