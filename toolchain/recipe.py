"""The recipe: what to deploy. Read from a TOML file; a wrong key, type or file is an error that names its place."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from toolchain.errors import usage

CalibrationMethod = Literal["minmax", "percentile", "entropy", "mse"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSection(_Section):
    """Where the float model comes from: a builder and its weights, or an ONNX file."""

    build: str | None = None
    """FILE.py:FUNCTION, relative to the recipe; FUNCTION() returns an untrained nn.Module."""
    build_options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of FUNCTION."""
    weights: str | None = None
    """A safetensors file, relative to the recipe."""
    onnx: str | None = None
    """An ONNX file, relative to the recipe, in place of build and weights."""


class DataSection(_Section):
    """The data: calibration comes from its training part, parity and metric from its test part."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the data set, such as the folder of image_folder."""
    metric: Literal["top1", "none"] = "top1"
    calibration_samples: int = Field(default=256, ge=1)
    evaluation_samples: int | None = Field(default=None, ge=1)
    """How many samples of the test part to use; None uses all."""


class TrainSection(_Section):
    """How `toolchain train` makes the weights."""

    data: str | None = None
    """The data set to train on, when it is larger than the one deployed with."""
    options: dict[str, Any] = Field(default_factory=dict)
    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 0
    metric_min: float = Field(default=0.0, ge=0, le=1)
    """The gate of the train stage: the least test accuracy, as a fraction."""


class QuantizeSection(_Section):
    """How int8 is made."""

    calibration: CalibrationMethod = "mse"
    keep_float: list[str] = Field(default_factory=list)
    """Names of ONNX nodes that stay in float."""
    choose_by_measurement: bool = True
    """Keep a layer in float where it is slower in int8 on the target; false forbids it."""


class GatesSection(_Section):
    """What the deployed artifact must reach on the board."""

    metric_drop_max: float | None = Field(default=None, ge=0)
    """Largest drop of the task metric against the uncompressed float model, as a fraction."""
    sqnr_db_min: dict[str, float] = Field(default_factory=dict)
    """Least SQNR in dB of every output, by precision; the defaults are in toolchain/agent/gates.py."""
    int8_share_min: float | None = Field(default=None, ge=0, le=1)
    """Least share of the MACs that must run in int8 when int8 is shipped."""
    latency_p90_ms_max: float | None = Field(default=None, gt=0)


class Recipe(_Section):
    """A recipe, and the file that it was read from."""

    model: ModelSection
    data: DataSection
    train: TrainSection | None = None
    compress: list[dict[str, Any]] = Field(default_factory=list)
    """Compression methods in the order of application: a `method` each, and its options."""
    quantize: QuantizeSection = Field(default_factory=QuantizeSection)
    gates: GatesSection = Field(default_factory=GatesSection)
    _path: Path = PrivateAttr(default=Path())
    _name: str | None = PrivateAttr(default=None)

    def at(self, path: Path, *, name: str | None = None) -> Recipe:
        """Return the recipe as if it had been read from this file."""
        recipe = self.model_copy()
        recipe._path = path.resolve()
        recipe._name = name
        return recipe

    @property
    def folder(self) -> Path:
        """The folder that the paths inside the recipe are relative to."""
        return self._path.parent

    @property
    def path(self) -> Path:
        return self._path

    @property
    def name(self) -> str:
        """The model's name: its folder's, and the recipe file's where that is not recipe.toml."""
        if self._name is not None:
            return self._name
        stem = self._path.stem
        return self.folder.name if stem == "recipe" else f"{self.folder.name}-{stem}"


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """Return the parsed TOML file; a missing or unreadable one is a usage error that names file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise usage(f"the {kind} {path} does not exist", fix=f"check the path of the {kind}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage(f"the {kind} is not valid TOML", where=str(path), found=str(error)) from error


def explain_validation(path: Path, kind: str, error: ValidationError) -> Exception:
    """Return the usage error for the first thing that pydantic found wrong in a TOML file."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return usage(
            f"unknown key in the {kind}",
            where=f"{path}: {key}",
            found=repr(first["input"]),
            fix="remove it or correct its spelling; docs/recipe.md lists all keys",
        )
    if first["type"] == "missing":
        return usage(f"a key is missing in the {kind}", where=str(path), expected=key)
    message = first["msg"].removeprefix("Input should be ")
    return usage(f"wrong value in the {kind}", where=f"{path}: {key}", expected=message, found=repr(first["input"]))


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file.

    Raises ToolchainError (exit 2): a missing file, a syntax error, an unknown key, a wrong type or value.
    """
    document = read_toml(path, "recipe")
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        raise explain_validation(path, "recipe", error) from error
    model = recipe.model
    if (model.onnx is None) == (model.build is None):
        raise usage(
            "a recipe names a builder or an ONNX file",
            where=f"{path}: model",
            expected="exactly one of build and onnx",
            found="both" if model.onnx else "neither",
        )
    return recipe.at(path)
