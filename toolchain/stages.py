"""The stages that make a bundle: what each depends on (its key in the cache) and how it is built.

A key says everything that the result depends on, and nothing else, so that a change rebuilds exactly what
hangs on it. Nothing here imports torch or onnx before a stage must be built: a cached run needs neither.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.agent.facts import Facts
from toolchain.agent.manifest import Compatible, Gates, MetricSpec
from toolchain.cache import Cache, Entry, hash_file, hash_sources, read_versions
from toolchain.data import Dataset, load_dataset
from toolchain.errors import missing
from toolchain.progress import Progress
from toolchain.recipe import Recipe
from toolchain.report.document import StageRecord
from toolchain.target import Precision, Target

if TYPE_CHECKING:
    from torch import nn

    from toolchain.bundle import GoldenBatch
    from toolchain.data.feeds import Feeds

_CODE = Path(__file__).parent

# Exports and passes are checked on so many real samples; the board checks the whole evaluation set.
_PARITY_SAMPLES = 16

# Samples in one run of PyTorch: large enough for its speed, small enough for pictures at 224.
_BATCH = 64


@dataclass
class Stages:
    """The stages of one run, for one recipe; each returns its entry, made now or found in the cache."""

    recipe: Recipe
    cache: Cache
    progress: Progress
    records: list[StageRecord] = field(default_factory=list)
    data: Dataset = field(init=False)

    def __post_init__(self) -> None:
        self.data = load_dataset(self.recipe.data.name, self.recipe.data.options)

    def train(self) -> Path | None:
        """Return the float weights, trained now where the recipe can and there are none; None for an ONNX file."""
        if self.recipe.model.weights is None:
            return None
        weights = self.recipe.folder / self.recipe.model.weights
        if weights.is_file():
            return weights
        if self.recipe.train is None:
            raise missing(
                f"{self.recipe.name} has no weights",
                where=str(weights),
                fix="bring a safetensors file of the model's state dict; the model's README says how",
            )
        from toolchain.train import train_model
        from toolchain.train.show import show_training

        with self.timed("train"):
            train_model(self.recipe, on_progress=show_training(self.progress))
        return weights

    def compress(self, weights: Path | None) -> Path | None:
        """Return the weights of the compressed model; those that came in where the recipe compresses nothing."""
        if not self.recipe.compress or weights is None:
            return weights
        inputs = {
            "code": hash_sources(_CODE / "compress", _CODE / "train", _CODE / "builder.py"),
            "versions": read_versions("torch", "torchvision", "numpy"),
            "compress": self.recipe.compress,
            "data": self.data.train.sha256 if self.data.train else None,
            **self._identify_model(weights),
        }

        def build(folder: Path) -> None:
            from toolchain.compress import compress_model
            from toolchain.weights import save_weights

            model = compress_model(self._load_model(weights), self.recipe.compress, where=str(self.recipe.path))
            save_weights(model, folder / "weights.safetensors", {"compress": self.recipe.compress})

        return self._stage("compress", inputs, build).folder / "weights.safetensors"

    def export(self, weights: Path | None) -> Entry:
        """Return model.onnx: the model as PyTorch computes it, or the ONNX file that the recipe brings."""
        if weights is None:
            return self._import_onnx()
        inputs = {
            "code": hash_sources(
                _CODE / "builder.py", _CODE / "weights.py", _CODE / "export.py", _CODE / "onnx_file.py"
            ),
            "versions": read_versions("torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "numpy"),
            **self._identify_model(weights),
            **self._identify_calibration(_PARITY_SAMPLES),
        }

        def build(folder: Path) -> None:
            from toolchain.export import check_export, export_onnx

            model = self._load_model(weights)
            samples = self.data.calibration
            export_onnx(model, samples.batch(0, 1), folder / "model.onnx")
            batch = samples.batch(0, min(_PARITY_SAMPLES, len(samples)))
            _write_json(folder / "export.json", {"sqnr_db": check_export(folder / "model.onnx", model, [batch])})

        return self._stage("export", inputs, build)

    def optimize(self, exported: Entry) -> Entry:
        """Return model.onnx, simplified and fused, every pass checked against the one before."""
        inputs = {
            "code": hash_sources(_CODE / "optimize", _CODE / "onnx_file.py", _CODE / "float_parity.py"),
            "versions": read_versions("onnx", "onnxsim", "onnxruntime", "onnxscript"),
            "model": exported.sha256,
            **self._identify_calibration(_PARITY_SAMPLES),
        }

        def build(folder: Path) -> None:
            from toolchain.onnx_file import read_onnx, write_onnx
            from toolchain.optimize import PASSES, optimize

            path = exported.folder / "model.onnx"
            advance = self.progress.steps("optimize", len(PASSES))
            feeds = self._bind_calibration(path, _PARITY_SAMPLES)
            result = optimize(read_onnx(path, trusted=True), list(feeds), on_pass=lambda _: advance())
            write_onnx(result.model, folder / "model.onnx")
            _write_json(folder / "optimize.json", {"passes": [asdict(record) for record in result.passes]})

        return self._stage("optimize", inputs, build)

    def lower(self, optimized: Entry, target: Target, precision: Precision, facts: Facts) -> Entry:
        """Return model.onnx and lowering.json for one runtime and precision."""
        samples = self.recipe.data.calibration_samples
        inputs = {
            "code": hash_sources(_CODE / "lower", _CODE / "agent"),
            "versions": read_versions("onnx", "onnxruntime", "numpy"),
            "model": optimized.sha256,
            "target": [target.runtime, target.threads, target.activation_type],
            "precision": precision,
        }
        if precision != "float32":
            inputs |= {
                "quantize": self.recipe.quantize.model_dump(),
                "sqnr_db_min": self.recipe.gates.sqnr_db_min,
                # Precision is chosen by measurement, so that another CPU makes another result.
                "machine": [facts.arch, facts.cpu, list(facts.cpu_features)],
                **self._identify_calibration(samples),
            }

        def build(folder: Path) -> None:
            from toolchain.lower import LowerRequest, lower_model

            path = optimized.folder / "model.onnx"
            request = LowerRequest(
                model=path,
                target=target,
                precision=precision,
                facts=facts,
                feeds=self._bind_calibration(path, samples),
                options=self.recipe.quantize,
                sqnr_db_min=self.recipe.gates.sqnr_db_min,
            )
            lower_model(request, folder, start_steps=self.progress.steps)

        return self._stage(f"lower-{precision}", inputs, build)

    def golden(self, exported: Entry, weights: Path | None) -> Entry:
        """Return what the exported model returns for the evaluation set, and its task metric."""
        metric = None if self.recipe.data.metric == "none" else self.recipe.data.metric
        count = self._count_evaluation()
        inputs = {
            "code": hash_sources(_CODE / "bundle", _CODE / "export.py", _CODE / "agent"),
            "versions": read_versions("torch", "torchvision", "onnxruntime", "numpy"),
            "model": exported.sha256,
            "metric": metric,
            "evaluation": [self.data.evaluation.sha256, count],
        }

        def build(folder: Path) -> None:
            from toolchain.bundle.golden import write_golden_outputs

            labels = self.data.evaluation.labels
            write_golden_outputs(
                folder,
                self._run_evaluation(exported, weights, count),
                samples=count,
                metric_name=metric,
                labels=None if labels is None else labels[:count],
            )

        return self._stage("golden", inputs, build)

    def bundle(
        self, target: Target, candidates: Mapping[str, Entry], *, reference: Entry, golden: Entry, metric: Entry
    ) -> Entry:
        """Return the bundle folder: payloads, golden arrays, agent, manifest.

        golden: outputs of the model that was exported. metric: the golden entry of the uncompressed float model.
        """
        inputs = {
            "code": hash_sources(_CODE / "bundle", _CODE / "agent"),
            "candidates": {name: entry.sha256 for name, entry in candidates.items()},
            "order": list(candidates),
            "reference": reference.sha256,
            "golden": [golden.sha256, metric.sha256],
            "recipe": [self.recipe.name, self.recipe.gates.model_dump(), self.recipe.data.metric],
            "target": [target.name, target.model_dump()],
            "evaluation": [self.data.evaluation.sha256, self._count_evaluation()],
            "provenance": self.describe_inputs(),
        }

        def build(folder: Path) -> None:
            from toolchain.agent.session import open_session
            from toolchain.bundle import BundleInputs, write_bundle
            from toolchain.bundle.golden import read_golden_outputs

            session = open_session(target.runtime, reference.folder / "model.onnx", target.threads)
            count = self._count_evaluation()
            labels = self.data.evaluation.labels
            metric_name = None if self.recipe.data.metric == "none" else self.recipe.data.metric
            bundle_inputs = BundleInputs(
                model=self.recipe.name,
                target=target.name,
                runtime=target.runtime,
                threads=target.threads,
                emulated=target.emulated,
                signature=target.signature,
                compatible=Compatible(
                    arch=target.compatible.arch,
                    accelerator=target.compatible.accelerator,
                    runtime_version=target.compatible.runtime_version,
                    cpu_features=tuple(target.compatible.cpu_features),
                ),
                candidates={name: entry.folder / "model.onnx" for name, entry in candidates.items()},
                reference=reference.folder / "model.onnx",
                inputs=session.inputs,
                outputs=session.outputs,
                golden=self._read_golden(reference, golden),
                golden_samples=count,
                labels=labels[:count] if metric_name is not None and labels is not None else None,
                metric=MetricSpec(name=metric_name, reference=read_golden_outputs(metric.folder).metric),
                gates=self._merge_gates(target),
                provenance=self.describe_inputs(),
            )
            write_bundle(bundle_inputs, folder / "bundle")

        return self._stage("bundle", inputs, build)

    def describe_inputs(self) -> dict[str, Any]:
        """Return the hashes and versions that the bundle was made from: the same for the same inputs."""
        libraries = ("torch", "onnx", "onnxruntime", "onnxsim", "onnxscript", "numpy")
        return {
            "recipe_sha256": hash_file(self.recipe.path),
            "calibration_sha256": self.data.calibration.sha256,
            "evaluation_sha256": self.data.evaluation.sha256,
            "seed": self.recipe.train.seed if self.recipe.train else None,
            "versions": read_versions(*libraries),
        }

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Record a stage that is never cached, because it is about the board and not about its inputs."""
        started_s = time.monotonic()
        with self.progress.stage(name):
            yield
        self._record(name, started_s, cached=False, sha256=None)

    def _import_onnx(self) -> Entry:
        path = self.recipe.folder / (self.recipe.model.onnx or "")

        def build(folder: Path) -> None:
            from toolchain.onnx_file import read_onnx, write_onnx

            write_onnx(read_onnx(path), folder / "model.onnx")

        code = hash_sources(_CODE / "onnx_file.py", _CODE / "onnx_safety.py")
        content = hash_file(path) if path.is_file() else None
        inputs = {"code": code, "versions": read_versions("onnx"), "model": content, "folder": str(path.parent)}
        return self._stage("import", inputs, build)

    def _run_evaluation(self, exported: Entry, weights: Path | None, count: int) -> Iterator[Mapping[str, Any]]:
        """Yield the outputs (n, ...) of the model that was exported, batch by batch, over the evaluation set."""
        samples = self.data.evaluation
        advance = self.progress.steps("golden outputs", count)
        if weights is None:
            from toolchain.agent.runs import stack_run
            from toolchain.agent.session import open_session
            from toolchain.data.feeds import bind_feeds

            session = open_session("onnxruntime", exported.folder / "model.onnx", 1)
            feeds = bind_feeds(samples, session.inputs, where=str(self.recipe.path), count=count)
            for feed in feeds:
                outputs = session.run(feed)
                yield {name: stack_run(array, batched=feeds.batched) for name, array in outputs.items()}
                advance()
            return
        from toolchain.export import run_pytorch

        model = self._load_model(weights)
        for start in range(0, count, _BATCH):
            stop = min(start + _BATCH, count)
            yield run_pytorch(model, samples.batch(start, stop))
            advance(stop - start)

    def _read_golden(self, reference: Entry, golden: Entry) -> Iterator[GoldenBatch]:
        from toolchain.agent.session import open_session
        from toolchain.bundle import GoldenBatch
        from toolchain.bundle.golden import read_golden_outputs
        from toolchain.data.feeds import bind_feeds

        inputs = open_session("onnxruntime", reference.folder / "model.onnx", 1).inputs
        feeds = bind_feeds(self.data.evaluation, inputs, where=str(self.recipe.path), count=self._count_evaluation())
        outputs = read_golden_outputs(golden.folder).outputs
        for index in range(len(feeds)):
            yield GoldenBatch(
                inputs=feeds.read_sample(index),
                outputs={name: array[index : index + 1] for name, array in outputs.items()},
            )

    def _bind_calibration(self, model: Path, count: int) -> Feeds:
        from toolchain.agent.session import open_session
        from toolchain.data.feeds import bind_feeds

        inputs = open_session("onnxruntime", model, 1).inputs
        return bind_feeds(self.data.calibration, inputs, where=str(self.recipe.path), count=count)

    def _load_model(self, weights: Path) -> nn.Module:
        from toolchain.builder import build_model
        from toolchain.weights import load_weights

        model = build_model(self.recipe)
        load_weights(model, weights)
        return model.eval()

    def _identify_model(self, weights: Path) -> dict[str, Any]:
        return {
            "builder": hash_sources(self.recipe.folder),
            "build": [self.recipe.model.build, self.recipe.model.build_options],
            "weights": hash_file(weights),
        }

    def _identify_calibration(self, count: int) -> dict[str, Any]:
        return {"calibration": [self.data.calibration.sha256, min(count, len(self.data.calibration))]}

    def _count_evaluation(self) -> int:
        asked = self.recipe.data.evaluation_samples
        return len(self.data.evaluation) if asked is None else min(asked, len(self.data.evaluation))

    def _merge_gates(self, target: Target) -> Gates:
        """Return the gates of the bundle: the recipe's, and the board's where the recipe says nothing."""
        own, board = self.recipe.gates, target.gates
        latency = own.latency_p90_ms_max if own.latency_p90_ms_max is not None else board.latency_p90_ms_max
        share = own.int8_share_min if own.int8_share_min is not None else board.int8_share_min
        return Gates(
            metric_drop_max=own.metric_drop_max,
            sqnr_db_min=own.sqnr_db_min,
            int8_share_min=share,
            latency_p90_ms_max=latency,
        )

    def _stage(self, name: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Entry:
        started_s = time.monotonic()
        with self.progress.stage(name, cached=self.cache.has(name, inputs)):
            entry = self.cache.get_or_build(name, inputs, build)
        self._record(name, started_s, cached=entry.cached, sha256=entry.sha256)
        return entry

    def _record(self, name: str, started_s: float, *, cached: bool, sha256: str | None) -> None:
        duration_s = round(time.monotonic() - started_s, 3)
        self.records.append(StageRecord(name=name, duration_s=duration_s, cached=cached, sha256=sha256))


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
