"""The recipe: what to deploy. Read from a TOML file; a wrong key, type or file is an error that names its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, PrivateAttr, SerializerFunctionWrapHandler, model_serializer

from toolchain.agent.manifest import Precision
from toolchain.project.agent_members import read_name, use_member
from toolchain.project.contradictions import find_contradiction
from toolchain.project.input_section import InputSection
from toolchain.project.limits import split_limits
from toolchain.project.members import Member, find_member, list_members, read_text
from toolchain.project.seams import CALIBRATION_METHODS, DECODERS, METRICS, TASKS
from toolchain.project.toml_file import Section, check_table, read_toml
from toolchain.run.names import check_path

AUTO = "auto"


class ModelSection(Section):
    """Where the float model comes from: a builder and its weights, or an ONNX file."""

    build: str | None = None
    """FILE.py:FUNCTION, relative to the recipe; FUNCTION() returns an untrained nn.Module."""
    build_options: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of FUNCTION."""
    weights: str | None = None
    """A safetensors file, relative to the recipe."""
    onnx: str | None = None
    """An ONNX file, relative to the recipe, in place of build and weights."""


class DataSection(Section):
    """The data: calibration comes from its training part, parity and metric from its test part."""

    name: str
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Options of the data set, such as the folder of image_folder."""
    metric: str | None = None
    """The task metric by name (agent/measure/metrics/) or as FILE.py:NAME of yours, or "none"; else the task's own."""
    calibration_samples: int = Field(default=256, ge=1)
    evaluation_samples: int | None = Field(default=None, ge=1)
    """How many samples of the test part to use; None uses all."""


class TaskSection(Section):
    """What the model is for: its loss and its metric."""

    name: str = "classification"
    """A task by name (toolchain/tasks/)."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Options of the task's loss."""
    loss: str | None = None
    """FILE.py:FUNCTION, relative to the recipe, in place of the task's: FUNCTION(outputs, targets), both by name."""
    targets: list[str] | None = None
    """What that function reads of each sample; None takes the task's."""
    metric: str | None = None
    """The task metric by name, as data.metric says it; where neither says one, the task's own."""
    metric_options: dict[str, JsonValue] = Field(default_factory=dict)
    """Options of the metric."""
    truth: Literal["labels", "float"] = "labels"
    """What the metric compares with: the data's targets, or the answers of the float model itself, where there are none."""


class OutputSection(Section):
    """What the model's outputs mean."""

    decode: str | None = None
    """The decoder between the outputs and the metric, by name (agent/measure/decoders/) or as FILE.py:NAME of yours; None takes
    the task's, "none" is none."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Options of the decoder; of the task's own, those that it does not set itself."""


class TrainSection(Section):
    """How `toolchain train` makes the weights."""

    data: str | None = None
    """The data set to train on, when it is larger than the one deployed with."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Of a classifier, where task.options does not say it."""
    validation: float = Field(default=0.05, ge=0, lt=0.5)
    """The share of the training part that is held out: the weights of the epoch that is best there are kept. Fewer than 100
    samples are none; 0 holds none out, and keeps the last."""
    crop_padding: int = Field(default=2, ge=0)
    """Every picture is shifted by up to so many pixels; in the trainings of `compress` too."""
    flip: bool = True
    """Mirror half of the pictures, there too; false where left and right differ: digits, letters, traffic signs."""
    seed: int = 0
    metric_min: float | None = None
    """The gate of the train stage, for a metric of which more is better: the least on the test part, in its unit."""
    metric_max: float | None = None
    """The same for a metric of which less is better: the most."""


class OptimizeSection(Section):
    """What is done to the ONNX file beside our own passes."""

    passes: list[str] = Field(default_factory=list)
    """Passes of the project or of installed packages, in this order after ours."""


class QuantizeSection(Section):
    """How int8 is made."""

    calibration: str = AUTO
    """How ranges are chosen; "auto" takes that of our methods whose int8 model is the nearest to the float model."""
    keep_float: list[str] = Field(default_factory=list)
    """Names of ONNX nodes that stay in float."""
    choose_by_measurement: bool = True
    """Keep a layer in float where it is slower in int8 on the target; false forbids it."""
    accuracy: Literal["sqnr", "metric", "agreement"] = "sqnr"
    """What int8 must keep: the SQNR of every output; the task's metric, on samples held out of calibration; or the float
    model's answers to them, as that metric compares them. SQNR decides where these cannot tell."""

    def list_calibration_methods(self) -> list[Member]:
        """Return the methods to choose among: what an installed package brings is tried where it is asked for by name."""
        if self.calibration != AUTO:
            return [find_member(CALIBRATION_METHODS, self.calibration, where="quantize.calibration")]
        return [member for member in list_members(CALIBRATION_METHODS).values() if member.is_ours]


class LimitsSection(Section):
    """What an ONNX file may take while it is opened, run and lowered; what is not set follows from its size."""

    memory_mb: int | None = Field(default=None, ge=1)
    """Memory beyond what the command itself takes."""
    step_s: float | None = Field(default=None, gt=0)
    """CPU and wall time of one step: the file opened, one sample run, one pass."""
    total_s: float | None = Field(default=None, gt=0)
    """Wall time of everything up to the bundle."""


class GatesSection(Section):
    """What the deployed artifact must reach on the board."""

    metric_drop_max: float | None = Field(default=None, ge=0)
    """Largest drop of the task metric against the uncompressed float model, in the metric's unit; where it is not set, 0.01
    of a fraction, and of other metrics a hundredth of the float model's value."""
    drift_sqnr_db_min: float | None = None
    """Least SQNR in dB of every output against the model that was brought; without a metric, 20 where it is not set."""
    agreement_min: float | None = Field(default=None, ge=0, le=1)
    """Least share of samples with the same answer; without a metric, 0.9 for scores of classes where it is not set."""
    precision_required: Precision | None = None
    """The run fails where another precision would be shipped."""
    sqnr_db_min: dict[str, float] = Field(default_factory=dict)
    """Least SQNR in dB of every output, by precision; the defaults are in toolchain/agent/measure/gates/parity.py."""
    int8_share_min: float | None = Field(default=None, ge=0, le=1)
    """Least share of the MACs that must run in int8 when int8 is shipped."""
    latency_p90_ms_max: float | None = Field(default=None, gt=0)
    limits: dict[str, float] = Field(default_factory=dict)
    """What gates declare as their own; a recipe writes them among the others."""

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the table as a recipe writes it."""
        table: dict[str, Any] = write(self)
        return {**{key: value for key, value in table.items() if key != "limits"}, **table.get("limits", {})}


class SearchStep(Section):
    """One place in the order of compression: one of its alternatives, or none."""

    name: str = Field(min_length=1)
    alternatives: list[dict[str, JsonValue]] = Field(min_length=1)
    """Entries of [[compress]]; a value { low, high, step, log } or { choices } in them is searched."""
    optional: bool = True
    """Whether the step may be left out."""


class SearchSection(Section):
    """What `toolchain compress MODEL --search` tries; toolchain/search/space.py has the steps where none are given."""

    steps: list[SearchStep] = Field(default_factory=list)
    precision: list[Precision] = Field(default_factory=list)
    """Of the payload; none takes those of the target."""
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    seed: int = 0
    stop_drop: float | None = Field(default=None, gt=0)
    """A trial whose model loses more than this in PyTorch, in the metric's unit, is stopped before it is exported; where it
    is not set, 0.05 of a fraction, and of other metrics a twentieth of the float model's value."""
    stop_samples: int = Field(default=2000, ge=1)
    """Evaluation samples that stop_drop is measured on."""


class Recipe(Section):
    """A recipe, and the file that it was read from."""

    model: ModelSection
    data: DataSection
    task: TaskSection = Field(default_factory=TaskSection)
    input: InputSection | None = None
    """None: the data's arrays are what the model takes, and what the payload is fed with."""
    output: OutputSection = Field(default_factory=OutputSection)
    train: TrainSection | None = None
    compress: list[dict[str, JsonValue]] = Field(default_factory=list)
    """Compression methods in the order of application: a `method` each, and its options."""
    optimize: OptimizeSection = Field(default_factory=OptimizeSection)
    quantize: QuantizeSection = Field(default_factory=QuantizeSection)
    gates: GatesSection = Field(default_factory=GatesSection)
    limits: LimitsSection = Field(default_factory=LimitsSection)
    """Of model.onnx alone; what they are changes no result."""
    search: SearchSection | None = None
    """None searches what toolchain/search/space.py suggests."""
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
    def builder_folder(self) -> Path:
        """The folder of the file that builds the model: the recipe's own, or that of the model it borrows."""
        build = self.model.build
        return self.folder if build is None else (self.folder / build.rpartition(":")[0]).parent.resolve()

    @property
    def metric_name(self) -> str | None:
        """The task metric; None where the recipe asks for none."""
        named = self.task.metric or self.data.metric
        if named is None:
            named = read_text(find_member(TASKS, self.task.name, where=f"{self.path}: task.name"), "METRIC")
        return None if named == "none" else read_name(named)

    @property
    def decoder_name(self) -> str | None:
        """The decoder that the recipe names, "none" where it wants none; None leaves it to the task."""
        return None if self.output.decode is None else read_name(self.output.decode)

    @property
    def path(self) -> Path:
        return self._path

    @property
    def name(self) -> str:
        """The model's name: its folder's, and the recipe file's where that is not recipe.toml."""
        if self._name is not None:
            return self._name
        return name_model(self._path)


def name_model(path: Path) -> str:
    """Return the name of the model whose recipe lies at a resolved path, without reading it."""
    return path.parent.name if path.stem == "recipe" else f"{path.parent.name}-{path.stem}"


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file.

    Raises ToolchainError (exit 2): a missing file, a syntax error, an unknown key, a wrong type or value, parts that
    contradict each other.
    """
    check_path(path.resolve(), "the recipe")
    document = read_toml(path, "recipe")
    if isinstance(gates := document.get("gates"), dict):
        own, limits = split_limits(gates, GatesSection.model_fields.keys() - {"limits"}, where=str(path))
        document = {**document, "gates": {**own, "limits": limits} if limits else own}
    recipe = check_table(Recipe, document, what="the recipe", where=str(path)).at(path)
    if recipe.quantize.calibration != AUTO:
        find_member(CALIBRATION_METHODS, recipe.quantize.calibration, where=f"{path}: quantize.calibration")
    find_member(TASKS, recipe.task.name, where=f"{path}: task.name")
    if recipe.metric_name is not None:
        use_member(
            METRICS,
            recipe.task.metric or recipe.data.metric or recipe.metric_name,
            where=f"{path}: {'data.metric' if recipe.task.metric is None else 'task.metric'}",
            folder=recipe.folder,
        )
    if recipe.output.decode not in (None, "none"):
        use_member(DECODERS, recipe.output.decode, where=f"{path}: output.decode", folder=recipe.folder)
    problem = find_contradiction(recipe, path)
    if problem is not None:
        raise problem
    return recipe
