"""One run of the flow: what is deployed, where results are kept, and what was done so far."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.agent.manifest import TRUTH_FLOAT
from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import TargetArray, slice_target
from toolchain.agent.measure.traits import find_traits, list_runtimes
from toolchain.agent.sensor import UNCHANGED, InputSpec
from toolchain.data import Dataset, Samples, load_dataset
from toolchain.data.sensor import Sensed, sense_dataset
from toolchain.data.steady import SteadySamples
from toolchain.data.texts import sense_texts
from toolchain.errors import usage
from toolchain.module.files import identify_files, identify_member
from toolchain.project.input_section import InputSection, describe_input
from toolchain.project.members import Member, find_member
from toolchain.project.recipe import Recipe
from toolchain.project.seams import DATA_SETS, DECODERS, LOWERINGS, METRICS, RUNTIMES, TASKS
from toolchain.project.text_section import ReadText, read_text_section
from toolchain.run.cache import Cache, Entry, find_version, hash_file, read_versions
from toolchain.run.sources import Sources, find_sources
from toolchain.run.stage_record import StageRecord, record_stage
from toolchain.tasks.own_answers import make_answer
from toolchain.tasks.scoring import describe_metric, load_scoring

if TYPE_CHECKING:
    from toolchain.data.feeds import Feeds
    from toolchain.run.progress import Progress  # what it shows changes no result, so that it is no part of a key

# Exports and passes are checked on so many real samples; the board checks the whole evaluation set.
PARITY_SAMPLES = 16

# What changes no result: how recipes are checked, how an entry is locked, what is shown.
_OF_NO_RESULT = {"filelock", "pydantic", "rich", "typing_extensions"}

# What this machine opens ONNX files with, whatever the board has.
_EVALUATION = "evaluation.sha256"
_HOST_RUNTIME = "onnxruntime"

# The distributions of other names than what is imported.
_DISTRIBUTIONS = {"PIL": "pillow", "google": "protobuf"}


@dataclass
class Run:
    """A recipe on its way to the board."""

    recipe: Recipe
    cache: Cache
    progress: Progress
    sources: Sources = field(default_factory=find_sources)
    records: list[StageRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a user has to know of a stage's result although it is no error: for the report's warnings."""
    data: Dataset = field(init=False)
    evaluation: SteadySamples = field(init=False)
    """The data's evaluation part."""
    sensed: Sensed | None = field(init=False, default=None)
    """The data as the sensor of [input] gives them too; None where the recipe names none."""
    text: ReadText | None = field(init=False, default=None)
    """The tokenizer of [input]; None where the sensor gives no text."""

    def __post_init__(self) -> None:
        name = self.recipe.data.name
        data = load_dataset(name, self.recipe.data.options, folder=self.recipe.folder)
        if self.recipe.input is not None:
            data = self._sense(data, self.recipe.input)
        self.evaluation = SteadySamples(data.evaluation, data_set=name)
        self.data = replace(data, evaluation=self.evaluation)

    def _sense(self, data: Dataset, section: InputSection) -> Dataset:
        """Keep the data as the sensor gives them; return them as the model takes them."""
        if section.text is not None:
            path = None if section.text.file is None else self.recipe.folder / section.text.file
            self.text = read_text_section(section.text, path, where=f"{self.recipe.path}: input.text")
            self.sensed = sense_texts(data, self.text, where=self.name_data())
            return self.sensed.model
        array = section.name or next(iter(data.evaluation.batch(0, 1)), "input")
        spec = describe_input(section, array)
        self.sensed = sense_dataset(data, spec, array=array, where=self.name_data())
        return self.sensed.model

    def describe_input(self, name: str) -> InputSpec | None:
        """Return what [input] says of the sensor, under the name that its input has in the graph; None without it."""
        if self.text is not None:
            return InputSpec(name=self.text.ids, picture=None, sound=None, in_graph=UNCHANGED, text=self.text.spec)
        return None if self.recipe.input is None else describe_input(self.recipe.input, name)

    def identify_input(self) -> dict[str, Any]:
        """Return the part of a key that stands for [input]; nothing without it."""
        section = self.recipe.input
        if section is None:
            return {}
        prepared = None if section.prepared is None else hash_file(self.recipe.folder / section.prepared)
        tokenizer = None if self.text is None else self.text.sha256
        return {"input": [section.model_dump(), prepared, tokenizer]}

    @property
    def fed(self) -> Dataset:
        """The data that payloads are fed with: the sensor's, or where there is none the model's."""
        return self.data if self.sensed is None else self.sensed.sensor

    def stage(self, name: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Entry:
        """Return the entry of a stage, made now or found in the cache, and record it."""
        started_s = time.monotonic()
        with self.progress.stage(name, cached=self.cache.has(name, inputs)):
            entry = self.cache.get_or_build(name, inputs, build)
        self._record(name, started_s, cached=entry.cached, sha256=entry.sha256)
        return entry

    def note(self, text: str) -> None:
        """Say what a user has to know of a stage's result, now and in the report."""
        self.notes.append(text)
        self.progress.note(text)

    def timed(self, name: str) -> AbstractContextManager[None]:
        """Record a stage that is never cached."""
        return record_stage(name, self.records, self.progress)

    def identify_code(
        self, stage: str, *chosen: Member, libraries: Sequence[str] = (), runtime: str | None = None
    ) -> dict[str, Any]:
        """Return the part of a key that stands for the code of a stage and the libraries that it runs.

        Every stage may read the recipe's data, and open a session of ONNX Runtime.

        Args:
            stage: the stage's module; what it imports counts, inside functions too.
            chosen: the members that run beside those, by a name from the recipe.
            libraries: distributions that no import statement of ours shows, as the user's code or a library loads them.
            runtime: the board's, where a payload is made for it. It need not be installed here; what its lowering uses
                where it is there counts by its version.

        Raises:
            ToolchainError: a library is not installed (exit 3).
        """
        board = [] if runtime is None else [find_member(RUNTIMES, runtime)]
        lowered = [] if runtime is None else [find_member(LOWERINGS, runtime)]
        members = [find_member(DATA_SETS, self.recipe.data.name), *chosen, *lowered]
        ours = [member.module for member in members if member.is_ours]
        theirs = [identify_member(member) for member in (*members, *board) if not member.is_ours]
        modules = [stage, f"toolchain.agent.measure.runtimes.{_HOST_RUNTIME}", *ours]
        outside = [source for code in theirs for source in code.sources]
        found = {} if runtime is None else {name: find_version(name) for name in find_traits(runtime).lowered_with}
        boards_alone = set(list_runtimes()) - {_HOST_RUNTIME}
        imported = self.sources.list_libraries(*modules, outside=outside) - _OF_NO_RESULT - boards_alone
        distributions = {_DISTRIBUTIONS.get(name, name) for name in imported}
        return {
            "code": self.sources.hash_imports(
                *modules, *(member.module for member in board if member.is_ours), outside=outside
            ),
            "versions": {**read_versions(*sorted(distributions.union(libraries))), **found},
            **({"members": [code.identity for code in theirs]} if theirs else {}),
        }

    def identify_model(self, weights: Path) -> dict[str, Any]:
        """Return the part of a key that stands for the module and its weights."""
        section = self.recipe.model
        return {
            "builder": identify_files(self.recipe),
            "build": [Path(section.build or "").name, section.build_options],
            "weights": hash_file(weights),
        }

    def identify_calibration(self, count: int) -> dict[str, Any]:
        """Return the part of a key that stands for the first `count` calibration samples."""
        return {"calibration": [self.fed.calibration.sha256, min(count, len(self.fed.calibration))]}

    def count_evaluation(self) -> int:
        """Return how many samples parity and metric are measured on."""
        asked, there = self.recipe.data.evaluation_samples, len(self.data.evaluation)
        return there if asked is None else min(asked, there)

    @property
    def metric_name(self) -> str | None:
        """The task metric; None where the recipe asks for none."""
        return self.recipe.metric_name

    @cached_property
    def scoring(self) -> Scoring | None:
        """How a model is scored by the task metric; None where the recipe asks for none."""
        return load_scoring(self.recipe)

    @cached_property
    def answer(self) -> Callable[[Targets], Targets] | None:
        """What makes the float model's answers the targets, from what the metric reads; None where the data has them."""
        if self.scoring is None or self.recipe.task.truth != TRUTH_FLOAT:
            return None
        return make_answer(self.recipe, self.scoring)

    def describe_metric(self) -> dict[str, Any]:
        """Return the part of a key that stands for the task metric, its decoder and the options of both."""
        return asdict(describe_metric(self.recipe))

    @property
    def metric_members(self) -> tuple[Member, ...]:
        """The metric and the decoder that their names choose, and the task that chooses them where the recipe does not."""
        spec = describe_metric(self.recipe)
        decoder = None if spec.decoder is None else spec.decoder.name
        chosen = [(METRICS, spec.name), (DECODERS, decoder), (TASKS, self.recipe.task.name)]
        return tuple(find_member(seam, name) for seam, name in chosen if name is not None)

    def take_targets(self) -> dict[str, TargetArray]:
        """Return what the metric compares with, of the evaluation samples that are used; nothing where the data is not asked.

        Raises ToolchainError (exit 2) where the data does not have it.
        """
        targets = self.data.evaluation.targets
        has_labels = self.scoring is not None and self.answer is None
        names = self.scoring.list_targets(list(targets)) if self.scoring is not None and has_labels else []
        for name in names:
            if name not in targets:
                raise usage(
                    f"the metric {self.metric_name} needs {name}",
                    where=self.name_data(),
                    expected=f"{name} of each evaluation sample",
                    found=f"a data set without {name}",
                    fix=f'add the {name}; or set task.truth = "float", which takes the float model\'s own answers for them, or '
                    'data.metric = "none"',
                )
        return {name: slice_target(targets[name], 0, self.count_evaluation()) for name in names}

    def bind_calibration(self, model: Path, count: int) -> Feeds:
        """Return the first `count` calibration samples as feeds of a payload."""
        return self._bind(self.fed.calibration, model, count)

    def bind_evaluation(self, model: Path) -> Feeds:
        """Return the evaluation samples as feeds of a payload."""
        return self._bind(self.fed.evaluation, model, self.count_evaluation())

    def bind_plain(self, model: Path, *, data: Dataset | None = None) -> Feeds:
        """Return the evaluation samples as feeds of the model as it came, without what [input] puts in front of it.

        data: the samples in another form that such a model takes.
        """
        evaluation = (data or self.data).evaluation
        self._bind((data or self.data).calibration, model, 1)  # it may lie in another file, of another dtype
        return self._bind(evaluation, model, self.count_evaluation())

    def keep_evaluation(self, folder: Path) -> None:
        """Keep in a stage's result which evaluation samples it was made from; all of them were read."""
        (folder / _EVALUATION).write_text(self.evaluation.hash_read(self.count_evaluation()), encoding="ascii")

    def check_evaluation(self, folder: Path) -> None:
        """Refuse (exit 2) evaluation samples, all read by now, that are others than those of an earlier result."""
        sha256 = (folder / _EVALUATION).read_text(encoding="ascii")
        self.evaluation.check_read(sha256, self.count_evaluation())

    def describe_inputs(self) -> dict[str, Any]:
        """Return the hashes and versions that the bundle is made from: the same for the same inputs."""
        libraries = ("torch", "onnx", _HOST_RUNTIME, "onnxsim", "onnxscript", "numpy")
        return {
            # Where the data lies says nothing; its hash stands below.
            "recipe": self.recipe.model_dump(
                exclude={"data": {"options"}, "train": {"options"}, "search": True, "limits": True}
            ),
            "calibration_sha256": self.data.calibration.sha256,
            "evaluation_sha256": self.data.evaluation.sha256,
            "versions": read_versions(*libraries),
        }

    def _bind(self, samples: Samples, model: Path, count: int) -> Feeds:
        from toolchain.data.feeds import bind_feeds
        from toolchain.graph.session import open_as_board

        inputs = open_as_board(model, threads=1).inputs
        return bind_feeds(samples, inputs, by_name=self.data.names_inputs, where=self.name_data(), count=count)

    def name_data(self) -> str:
        """Return where the data comes from, for messages."""
        options = [f"{name} = {value}" for name, value in self.recipe.data.options.items()]
        return ", ".join([f"data set {self.recipe.data.name}", *options])

    def _record(self, name: str, started_s: float, *, cached: bool, sha256: str | None) -> None:
        duration_s = round(time.monotonic() - started_s, 3)
        self.records.append(StageRecord(name=name, duration_s=duration_s, cached=cached, sha256=sha256))


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a stage's own record beside its result."""
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
