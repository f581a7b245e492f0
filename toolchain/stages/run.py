"""One run of the flow: what is deployed, where results are kept, and what was done so far."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cache import Cache, Entry, hash_file, hash_sources, read_versions
from toolchain.data import Dataset, Samples, load_dataset
from toolchain.progress import Progress
from toolchain.recipe import Recipe
from toolchain.report.document import StageRecord

if TYPE_CHECKING:
    from torch import nn

    from toolchain.data.feeds import Feeds
    from toolchain.structure import Edit

_CODE = Path(__file__).parent.parent

# Exports and passes are checked on so many real samples; the board checks the whole evaluation set.
PARITY_SAMPLES = 16


@dataclass
class Run:
    """A recipe on its way to the board."""

    recipe: Recipe
    cache: Cache
    progress: Progress
    records: list[StageRecord] = field(default_factory=list)
    data: Dataset = field(init=False)

    def __post_init__(self) -> None:
        self.data = load_dataset(self.recipe.data.name, self.recipe.resolve_options(self.recipe.data.options))

    def stage(self, name: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Entry:
        """Return the entry of a stage, made now or found in the cache, and record it."""
        started_s = time.monotonic()
        with self.progress.stage(name, cached=self.cache.has(name, inputs)):
            entry = self.cache.get_or_build(name, inputs, build)
        self._record(name, started_s, cached=entry.cached, sha256=entry.sha256)
        return entry

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Record a stage that is never cached, because it is about the board and not about its inputs."""
        started_s = time.monotonic()
        with self.progress.stage(name):
            yield
        self._record(name, started_s, cached=False, sha256=None)

    def identify_model(self, weights: Path) -> dict[str, Any]:
        """Return the part of a key that stands for the module and its weights."""
        section = self.recipe.model
        return {
            "builder": hash_sources(self.recipe.builder_folder),
            "build": [Path(section.build or "").name, section.build_options],
            "weights": hash_file(weights),
        }

    def identify_calibration(self, count: int) -> dict[str, Any]:
        """Return the part of a key that stands for the first `count` calibration samples."""
        return {"calibration": [self.data.calibration.sha256, min(count, len(self.data.calibration))]}

    def count_evaluation(self) -> int:
        """Return how many samples parity and metric are measured on."""
        asked, there = self.recipe.data.evaluation_samples, len(self.data.evaluation)
        return there if asked is None else min(asked, there)

    @property
    def metric_name(self) -> str | None:
        """The task metric; None where the recipe asks for none."""
        return None if self.recipe.data.metric == "none" else self.recipe.data.metric

    def load_compressed(self, weights: Path) -> tuple[nn.Module, list[Edit]]:
        """Return the recipe's module with these weights, in evaluation mode, and how it differs from its builder's."""
        from toolchain.builder import build_model
        from toolchain.weights import load_weights

        model = build_model(self.recipe)
        edits = load_weights(model, weights)
        return model.eval(), edits

    def load_model(self, weights: Path) -> nn.Module:
        """Return what is deployed: the recipe's module with these weights, its learned ranges at work."""
        model, edits = self.load_compressed(weights)
        if not any(edit.edit == "range" for edit in edits):
            return model  # what follows takes seconds to import
        from toolchain.compress.range_markers import insert_learned_ranges

        return insert_learned_ranges(model, edits)

    def bind_calibration(self, model: Path, count: int) -> Feeds:
        """Return the first `count` calibration samples as feeds of an ONNX file."""
        return self._bind(self.data.calibration, model, count)

    def bind_evaluation(self, model: Path) -> Feeds:
        """Return the evaluation samples as feeds of an ONNX file."""
        return self._bind(self.data.evaluation, model, self.count_evaluation())

    def describe_inputs(self) -> dict[str, Any]:
        """Return the hashes and versions that the bundle is made from: the same for the same inputs."""
        libraries = ("torch", "onnx", "onnxruntime", "onnxsim", "onnxscript", "numpy")
        return {
            # Where the data lies says nothing; its hash stands below.
            "recipe": self.recipe.model_dump(exclude={"data": {"options"}, "train": {"options"}, "search": True}),
            "calibration_sha256": self.data.calibration.sha256,
            "evaluation_sha256": self.data.evaluation.sha256,
            "versions": read_versions(*libraries),
        }

    def _bind(self, samples: Samples, model: Path, count: int) -> Feeds:
        from toolchain.agent.session import open_session
        from toolchain.data.feeds import bind_feeds

        inputs = open_session("onnxruntime", model, 1).inputs
        return bind_feeds(samples, inputs, by_name=self.data.names_inputs, where=self.name_data(), count=count)

    def name_data(self) -> str:
        """Return where the data comes from, for messages."""
        options = [f"{name} = {value}" for name, value in self.recipe.data.options.items()]
        return ", ".join([f"data set {self.data.name}", *options])

    def _record(self, name: str, started_s: float, *, cached: bool, sha256: str | None) -> None:
        duration_s = round(time.monotonic() - started_s, 3)
        self.records.append(StageRecord(name=name, duration_s=duration_s, cached=cached, sha256=sha256))


def hash_code(*names: str) -> str:
    """Return the version of our own code: the sha256 over these files and folders of the package."""
    return hash_sources(*(_CODE / name for name in names))


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a stage's own record beside its result."""
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
