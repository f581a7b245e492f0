"""The manifest: what a bundle holds, what it needs and what it must prove."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Mapping, Optional, Sequence, Tuple, cast, get_args

from .build_spec import BuildSpec, check_build
from .bundle_files import MANIFEST_NAME, FileEntry, check_files, require
from .candidates import CANDIDATES_MAX, Candidate, name_candidates
from .clock import parse_utc
from .decode import decode, parse_json
from .errors import ExitCode, ToolchainError
from .regular import open_regular_file
from .sensor import NO_OUTPUT, NO_PAIRS, GoldenPairs, InputSpec, OutputSpec, check_sensor

SCHEMA = 7
# One of ours has 18 kB, most of it the agent's files, and some 1 kB more for each further input and output. To read the
# worst one of this size takes 25 MB (python -m tests.agent.test_worst_manifests).
MANIFEST_SIZE_BYTES_MAX = 512 * 1024
# Names of folders and files of the user's, and what a target says of its boards; NAME_MAX (limits.h).
_TEXT_CHARACTERS_MAX = 255
# Each is a thread of the kernel, with a stack, before anything is measured; the largest servers have fewer cores.
THREADS_MAX = 1024
# NPY_MAXDIMS of numpy 1 (ndarraytypes.h): of more axes there is no array.
_AXES_MAX = 32
# numpy's names of the types that the outputs of a model can be compared in.
DTYPES = (
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
Precision = Literal["int8", "fp16", "bf16", "float32"]
PRECISIONS: Tuple[Precision, ...] = get_args(Precision)
SignaturePolicy = Literal["required", "optional"]
SIGNATURES: Tuple[SignaturePolicy, ...] = get_args(SignaturePolicy)
# The largest whole number that every reader of JSON keeps exact (RFC 8259, section 6).
COUNTER_MAX = 2**53 - 1


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: dtype is numpy's name of it, shape has None for an axis of any size."""

    name: str
    dtype: str
    shape: Tuple[Optional[int], ...]

    def takes(self, shape: Sequence[Optional[int]]) -> bool:
        """Return whether an array may have both shapes; in either, None is an axis of any size."""
        return len(self.shape) == len(shape) and all(
            size is None or shape[axis] in (None, size) for axis, size in enumerate(self.shape)
        )


@dataclass(frozen=True)
class Compatible:
    """What a board must be. None accepts any; so does a runtime whose versions are not told."""

    arch: Optional[str]
    accelerator: Optional[str]
    runtime_versions: Mapping[str, str]
    """A specifier such as ">=1.23" by runtime."""
    cpu_features: Tuple[str, ...]


@dataclass(frozen=True)
class Golden:
    """Inputs of the evaluation set and what the exported model returns for them, one .npy file each.

    `originals` are what the user's uncompressed model returns: the files of `outputs` where nothing was compressed.

    The first axis of every array counts samples. Where `stacked`, array[i] is the whole tensor of run i, whatever its
    axes mean (a recurrent state, a scalar); elsewhere that first axis is the tensor's own batch axis. Where a file
    NAME.levels.npy is listed beside the NAME.npy of an input, that one has the numbers of its levels (measure/levels.py).
    """

    samples: int
    stacked: bool
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    originals: Mapping[str, str]
    targets: Mapping[str, str]
    """What the metric compares with; a ragged one is two files (measure/targets.py)."""
    pairs: GoldenPairs = NO_PAIRS


@dataclass(frozen=True)
class Original:
    """The user's own file (of a PyTorch model: its plain export), which speed and size are held against.

    `path` is None where it is no payload of the bundle: the runtime builds engines, or the board is emulated.
    """

    path: Optional[str]
    size_bytes: int
    sha256: str


# What a metric compares with.
TRUTH_LABELS, TRUTH_FLOAT = "labels", "float"
TRUTHS = (TRUTH_LABELS, TRUTH_FLOAT)


@dataclass(frozen=True)
class DecoderSpec:
    """What the outputs mean before a metric reads them: a decoder by its name (measure/decoders/), and its options."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricSpec:
    """The task metric with its options, and its value for the uncompressed float model in PyTorch, in the metric's unit.

    truth: what the targets are, "labels" or "float": the answers of the uncompressed float model itself.
    """

    name: Optional[str]
    reference: Optional[float]
    options: Mapping[str, object] = field(default_factory=dict)
    decoder: Optional[DecoderSpec] = None
    truth: str = TRUTH_LABELS


@dataclass(frozen=True)
class Gates:
    """What the deployed payload must reach on the board; fractions, dB and ms.

    None is no gate, but for metric, drift and agreement: there a default holds (gates/).
    """

    metric_drop_max: Optional[float]
    sqnr_db_min: Mapping[str, float]
    int8_share_min: Optional[float]
    latency_p90_ms_max: Optional[float]
    drift_sqnr_db_min: Optional[float] = None
    agreement_min: Optional[float] = None
    precision_required: Optional[str] = None
    limits: Mapping[str, float] = field(default_factory=dict)
    """What other gates declare as their own (gates/limit.py), by name."""
    task_sqnr_db_min: Mapping[str, float] = field(default_factory=dict)
    """By precision, of the outputs that the metric reads: it decided which layers are int8, and this is their SQNR gate in the
    place of sqnr_db_min. Empty where SQNR decided."""


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json, key by key; `candidates` are in order of preference, those of one precision together.

    `counter` only grows from bundle to bundle: a board refuses one below what it had. Where `expires` is set, it is in
    seconds since 1970 or smaller, so that a board's clock can be held against it. `expires` is UTC: 2027-01-31T00:00:00Z.
    """

    schema: int
    counter: int
    expires: Optional[str]
    model: str
    target: str
    emulated: bool
    signature: str
    compatible: Compatible
    build: BuildSpec
    candidates: Tuple[Candidate, ...]
    reference: str
    original: Original
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    golden: Golden
    metric: MetricSpec
    gates: Gates
    provenance: Mapping[str, object]
    files: Tuple[FileEntry, ...]
    input: Optional[InputSpec] = None
    """What the sensor gives, and what is made of it before the payload; None where the recipe does not say it."""
    output: OutputSpec = NO_OUTPUT

    @property
    def names(self) -> Tuple[str, ...]:
        """What people call the candidates, in their order."""
        return name_candidates(self.candidates)

    @property
    def ways(self) -> Tuple[Tuple[str, int, bool], ...]:
        """By which runtimes, on how many threads, and whether these are pinned, payloads are opened; each once."""
        own = ((candidate.runtime, candidate.threads, candidate.pins_threads) for candidate in self.candidates)
        return tuple(dict.fromkeys(own))

    @property
    def runtimes(self) -> Tuple[str, ...]:
        """The runtimes that open payloads, each once."""
        return tuple(dict.fromkeys(candidate.runtime for candidate in self.candidates))


def compute_bundle_id(data: bytes) -> str:
    """Return the bundle's identity: the sha256 of the bytes of its manifest.json."""
    return hashlib.sha256(data).hexdigest()


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of manifest.json: the same for the same manifest."""
    text = json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def _check_tensors(specs: Tuple[TensorSpec, ...], golden: Mapping[str, str], where: str) -> None:
    names = [spec.name for spec in specs]
    require(names, where, "at least one", "none")
    require(len(set(names)) == len(names), where, "names that differ", names)
    require(set(names) == set(golden), f"golden.{where}", f"one file for each of {sorted(names)}", sorted(golden))
    for spec in specs:
        require(len(spec.shape) <= _AXES_MAX, f"{where}.{spec.name}", f"up to {_AXES_MAX} axes", len(spec.shape))
        fits = all(size is None or size >= 0 for size in spec.shape)
        require(fits, f"{where}.{spec.name}", "sizes of 0 or more", spec.shape)
        require(spec.dtype in DTYPES, f"{where}.{spec.name}", f"one of {', '.join(DTYPES)}", spec.dtype)


def _is_utc(text: str) -> bool:
    try:
        parse_utc(text)
    except ValueError:
        return False
    return True


def _check_manifest(manifest: Manifest) -> None:
    """Refuse (exit 23) a manifest whose parts do not fit together, or that names an unsafe path."""
    require(manifest.schema == SCHEMA, "schema", str(SCHEMA), manifest.schema)
    needs = manifest.compatible
    texts = (manifest.model, manifest.target, *manifest.runtimes, needs.arch, needs.accelerator)
    longest = max(len(text or "") for text in (*texts, *needs.runtime_versions.values(), manifest.metric.name))
    require(longest <= _TEXT_CHARACTERS_MAX, "names", f"up to {_TEXT_CHARACTERS_MAX} characters", longest)
    require(0 <= manifest.counter <= COUNTER_MAX, "counter", f"0 to {COUNTER_MAX}", manifest.counter)
    expires = manifest.expires
    require(expires is None or _is_utc(expires), "expires", "UTC such as 2027-01-31T00:00:00Z", expires)
    require(manifest.signature in SIGNATURES, "signature", " or ".join(SIGNATURES), manifest.signature)
    check_build(manifest.build)
    check_files(manifest.files)
    _check_candidates(manifest)
    precisions = [candidate.precision for candidate in manifest.candidates]
    demanded = manifest.gates.precision_required
    asked = [*manifest.gates.sqnr_db_min, *manifest.gates.task_sqnr_db_min, *([] if demanded is None else [demanded])]
    for precision in [*precisions, *asked]:
        require(precision in PRECISIONS, "candidates and gates", f"one of {', '.join(PRECISIONS)}", precision)
    golden, metric = manifest.golden, manifest.metric
    require(golden.samples >= 1, "golden.samples", "1 or more", golden.samples)
    _check_tensors(manifest.inputs, golden.inputs, "inputs")
    _check_tensors(manifest.outputs, golden.outputs, "outputs")
    _check_tensors(manifest.outputs, golden.originals, "originals")
    require((metric.name is None) == (metric.reference is None), "metric", "name and reference, or neither", metric)
    require(metric.truth in TRUTHS, "metric.truth", " or ".join(TRUTHS), metric.truth)
    require(metric.name is None or golden.targets, "golden.targets", "targets for the metric", "none")
    gate = manifest.gates.metric_drop_max
    require(gate is None or metric.name is not None, "gates.metric_drop_max", "no gate without a metric", gate)
    by_task = manifest.gates.task_sqnr_db_min
    require(not by_task or metric.name is not None, "gates.task_sqnr_db_min", "nothing without a metric", by_task)
    used = [candidate.path for candidate in manifest.candidates]
    used += [manifest.reference, *golden.inputs.values(), *golden.outputs.values(), *golden.originals.values()]
    check_sensor(manifest.input, manifest.inputs, golden.pairs)
    used += [
        *golden.pairs.list_files(),
        *([] if manifest.input is None else manifest.input.list_files()),
        *golden.targets.values(),
        *([] if manifest.original.path is None else [manifest.original.path]),
    ]
    listed = {entry.path for entry in manifest.files}
    for path in used:
        require(path in listed, "files", f"an entry for {path!a}, which the manifest uses", "no such entry")


def _check_candidates(manifest: Manifest) -> None:
    candidates = manifest.candidates
    require(1 <= len(candidates) <= CANDIDATES_MAX, "candidates", f"1 to {CANDIDATES_MAX}", len(candidates))
    for candidate in candidates:
        require(1 <= candidate.threads <= THREADS_MAX, "threads", f"1 to {THREADS_MAX}", candidate.threads)
    names = manifest.names
    require(
        len(set(names)) == len(names),
        "candidates",
        "every precision once by a runtime, on so many threads, pinned or not",
        names,
    )
    precisions = [candidate.precision for candidate in candidates]
    together = [name for number, name in enumerate(precisions) if number == 0 or name != precisions[number - 1]]
    require(len(set(together)) == len(together), "candidates", "those of one precision together", precisions)
    strange = sorted(set(manifest.compatible.runtime_versions) - set(manifest.runtimes))
    runtimes = ", ".join(manifest.runtimes)
    require(not strange, "compatible.runtime_versions", f"versions of {runtimes}", ", ".join(strange))


def _check_schema(document: object) -> None:
    """Refuse (exit 23) a manifest of another schema before its keys are read: they are others."""
    schema = document.get("schema") if isinstance(document, dict) else SCHEMA
    if isinstance(schema, int) and schema != SCHEMA:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the bundle was written by another version of the toolchain",
            where=f"{MANIFEST_NAME}: schema",
            expected=str(SCHEMA),
            found=str(schema),
            fix="deploy the model again, with the toolchain that reads it",
        )


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in the bytes of a manifest.json.

    Raises ToolchainError (exit 23): too large, not strict JSON, another schema, an unknown or missing key, a wrong type, parts that
    do not fit together, an unsafe path.
    """
    require(len(data) <= MANIFEST_SIZE_BYTES_MAX, "size", f"at most {MANIFEST_SIZE_BYTES_MAX} bytes", "more")
    document = parse_json(data, MANIFEST_NAME)
    _check_schema(document)
    manifest = cast("Manifest", decode(Manifest, document, MANIFEST_NAME))
    _check_manifest(manifest)
    return manifest


def read_manifest(bundle_dir: Path) -> Tuple[Manifest, str]:
    """Return the manifest of a bundle and the bundle_id, from one reading of the file.

    Raises ToolchainError as read_manifest_bytes and parse_manifest do.
    """
    data = read_manifest_bytes(bundle_dir)
    return parse_manifest(data), compute_bundle_id(data)


def read_manifest_bytes(bundle_dir: Path) -> bytes:
    """Return the bytes of a bundle's manifest.json, unread.

    Raises ToolchainError: exit 2 when there is no such folder, exit 23 when the manifest is missing or malformed.
    """
    if not bundle_dir.is_dir():
        raise ToolchainError(ExitCode.USAGE, f"there is no bundle folder {bundle_dir}", fix="check the path")
    path = bundle_dir / MANIFEST_NAME
    if path.is_symlink() or not path.is_file():
        raise ToolchainError(
            ExitCode.MALFORMED,
            "this is not a bundle",
            where=str(bundle_dir),
            expected=f"a regular file {MANIFEST_NAME}",
            found="a link" if path.is_symlink() else "none",
            fix="name the folder that `toolchain deploy` wrote",
        )
    with open_regular_file(path) as file:
        return file.read(MANIFEST_SIZE_BYTES_MAX + 1)
