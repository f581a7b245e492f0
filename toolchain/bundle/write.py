"""Writes a bundle folder from what the stages made: the same bytes for the same inputs."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.bundle_files import MANIFEST_NAME, FileEntry
from toolchain.agent.candidates import Candidate
from toolchain.agent.contents import compute_sha256
from toolchain.agent.manifest import (
    SCHEMA,
    Compatible,
    Gates,
    Golden,
    Manifest,
    MetricSpec,
    Original,
    SignaturePolicy,
    TensorSpec,
    encode_manifest,
    parse_manifest,
)
from toolchain.agent.measure.levels import find_levels_path
from toolchain.agent.measure.targets import TargetArray, split_targets
from toolchain.agent.sensor import NO_OUTPUT, InputSpec, OutputSpec
from toolchain.bundle.agent_files import list_agent_files
from toolchain.bundle.arrays import ArrayWriter
from toolchain.bundle.levels import compact_array
from toolchain.bundle.pairs import ANSWERED_SAMPLES, Run, write_answers, write_pairs
from toolchain.bundle.texts import GoldenTexts, write_texts
from toolchain.errors import usage
from toolchain.run.sources import find_sources

_FILE_MODE = 0o644
_FOLDER_MODE = 0o755


@dataclass(frozen=True, kw_only=True)
class GoldenBatch:
    """Some samples of the evaluation set, in order: inputs, and the exported PyTorch model's outputs, each (n, ...)."""

    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]
    originals: Mapping[str, NDArray[Any]] | None = None
    """The outputs of the user's uncompressed model; None where that is the model that was exported."""


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """A payload that was lowered for a runtime, and on how many threads it is opened, pinned or not; in order of preference."""

    precision: str
    runtime: str
    path: Path
    ways: Sequence[tuple[int, bool]] = ((1, False),)


@dataclass(frozen=True, kw_only=True)
class BundleInputs:
    """Everything that a bundle is made of.

    `candidates` are in order of preference, those of one precision together; each is one in every one of its ways.
    """

    model: str
    target: str
    emulated: bool
    signature: SignaturePolicy
    compatible: Compatible
    build: BuildSpec = field(default_factory=BuildSpec)
    candidates: Sequence[Lowered]
    reference: Path
    """The uncompressed float model as a payload of the same runtimes."""
    original: Path
    """The user's own file, or the plain export of the uncompressed model."""
    is_original_measured: bool
    """Whether the original rides along as a payload, for speed to be held against it."""
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    golden: Iterable[GoldenBatch]
    golden_samples: int
    is_compressed: bool = False
    """Whether the batches have `originals`, because another model was lowered than the user brought."""
    golden_stacked: bool
    """A batch holds the tensors of one run each, with an axis of samples before them (see agent/manifest.py)."""
    targets: Mapping[str, TargetArray]
    """What the metric reads, of golden_samples; nothing where there is none."""
    metric: MetricSpec
    gates: Gates
    provenance: Mapping[str, Any]
    """JSON values: versions, seeds, hashes of the data. Times and paths make every bundle another one."""
    sensor: InputSpec | None = None
    """What feeds the payload, and how; None where the recipe does not say it."""
    text: GoldenTexts | None = None
    """What a text feeds the payload through; None where none does."""
    output: OutputSpec = NO_OUTPUT
    counter: int = 0
    expires: str | None = None
    """See agent/manifest.py: a board refuses a lower counter than it had, and a bundle after its time."""


def _copy_payloads(inputs: BundleInputs, folder: Path) -> tuple[str, Original, tuple[Candidate, ...]]:
    # Each lies in a folder of its own, so that a link to a folder leads an application to one payload and no other.
    # A reference with the bytes of a candidate is that candidate: one file, opened and measured once.
    folders = _name_folders(inputs.candidates)
    sources = {folder: lowered.path for folder, lowered in folders.items()} | {"reference": inputs.reference}
    if inputs.is_original_measured:
        sources["original"] = inputs.original
    hashes = {name: compute_sha256(source) for name, source in sources.items()}
    paths: dict[str, str] = {}
    for name, source in sources.items():
        if hashes[name] not in paths:
            paths[hashes[name]] = f"payload/{name}/model{source.suffix}"
            (folder / paths[hashes[name]]).parent.mkdir(parents=True)
            shutil.copyfile(source, folder / paths[hashes[name]])
    candidates = [
        Candidate(
            precision=item.precision,
            runtime=item.runtime,
            threads=threads,
            pins_threads=pins_threads,
            path=paths[hashes[name]],
        )
        for name, item in folders.items()
        for threads, pins_threads in item.ways
    ]
    original = Original(
        path=paths[hashes["original"]] if inputs.is_original_measured else None,
        size_bytes=inputs.original.stat().st_size,
        sha256=compute_sha256(inputs.original),
    )
    return paths[hashes["reference"]], original, tuple(candidates)


def _name_folders(candidates: Sequence[Lowered]) -> dict[str, Lowered]:
    has_runtimes = len({item.runtime for item in candidates}) > 1
    return {f"{item.precision}-{item.runtime}" if has_runtimes else item.precision: item for item in candidates}


def _write_golden(inputs: BundleInputs, folder: Path) -> Golden:
    # Files are numbered: a tensor's name may hold what a file's name must not.
    (folder / "golden").mkdir()
    input_paths = {spec.name: f"golden/input-{index}.npy" for index, spec in enumerate(inputs.inputs)}
    output_paths = {spec.name: f"golden/output-{index}.npy" for index, spec in enumerate(inputs.outputs)}
    original_paths = {}
    if inputs.is_compressed:
        original_paths = {spec.name: f"golden/original-{index}.npy" for index, spec in enumerate(inputs.outputs)}
    with contextlib.ExitStack() as stack:
        writers = {
            path: stack.enter_context(ArrayWriter(folder / path, inputs.golden_samples))
            for path in (*input_paths.values(), *output_paths.values(), *original_paths.values())
        }
        answered: list[Run] = []
        for index, batch in enumerate(inputs.golden):
            if index < ANSWERED_SAMPLES:
                answered.append(_take_run(batch, stacked=inputs.golden_stacked))
            for name, path in original_paths.items():
                writers[path].add((batch.originals or {})[name])
            for name, path in input_paths.items():
                writers[path].add(batch.inputs[name])
            for name, path in output_paths.items():
                writers[path].add(batch.outputs[name])
        for writer in writers.values():
            writer.finish()
    for path in input_paths.values():
        compact_array(folder / path, folder / find_levels_path(path))
    target_paths = {}
    for index, (name, array) in enumerate(split_targets(inputs.targets).items()):
        target_paths[name] = f"golden/target-{index}.npy"
        np.save(folder / target_paths[name], np.ascontiguousarray(array), allow_pickle=False)
    return Golden(
        samples=inputs.golden_samples,
        stacked=inputs.golden_stacked,
        inputs=input_paths,
        outputs=output_paths,
        originals=original_paths or output_paths,
        targets=target_paths,
        pairs=replace(
            write_pairs(inputs.sensor, write_answers(inputs.metric.decoder, answered, folder), folder),
            texts=None if inputs.text is None else write_texts(inputs.text, inputs.inputs, folder),
        ),
    )


def _take_run(batch: GoldenBatch, *, stacked: bool) -> Run:
    """Return inputs and outputs of a batch as one run has them."""
    named = (batch.inputs, batch.outputs)
    inputs, outputs = ({name: array[0] if stacked else array for name, array in arrays.items()} for arrays in named)
    return inputs, outputs


def _copy_agent(inputs: BundleInputs, folder: Path) -> None:
    files = list_agent_files(
        find_sources(), runtimes=list(dict.fromkeys(item.runtime for item in inputs.candidates)), metric=inputs.metric
    )
    for name, path in files.items():
        target = folder / "agent" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _list_files(folder: Path) -> tuple[FileEntry, ...]:
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return tuple(
        FileEntry(path=name, size_bytes=names[name].stat().st_size, sha256=compute_sha256(names[name]))
        for name in sorted(names)
    )


def write_bundle(inputs: BundleInputs, folder: Path) -> Manifest:
    """Write a bundle into a folder that is new or empty, and return its manifest.

    The manifest comes last: a folder without it is no bundle. Raises ToolchainError: exit 2 a folder with something in
    it, exit 23 inputs that contradict each other; OSError as writing raises it; ValueError for batches of golden
    arrays that do not add up to (golden_samples, ...).
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise usage(f"the folder {folder} is not empty", fix="name a new folder for the bundle")
    reference, original, candidates = _copy_payloads(inputs, folder)
    golden = _write_golden(inputs, folder)
    _copy_agent(inputs, folder)
    manifest = Manifest(
        schema=SCHEMA,
        counter=inputs.counter,
        expires=inputs.expires,
        model=inputs.model,
        target=inputs.target,
        emulated=inputs.emulated,
        signature=inputs.signature,
        compatible=inputs.compatible,
        build=inputs.build,
        candidates=candidates,
        reference=reference,
        original=original,
        inputs=tuple(inputs.inputs),
        outputs=tuple(inputs.outputs),
        golden=golden,
        metric=inputs.metric,
        gates=inputs.gates,
        provenance=inputs.provenance,
        files=_list_files(folder),
        input=inputs.sensor,
        output=inputs.output,
    )
    data = encode_manifest(manifest)
    parse_manifest(data)  # what no board would read is not written
    (folder / MANIFEST_NAME).write_bytes(data)
    for path in (folder, *folder.rglob("*")):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
    return manifest
