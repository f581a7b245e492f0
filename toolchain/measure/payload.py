"""What `compare` and `bench` take: an ONNX file with its data, or a bundle, which brings its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from toolchain.agent.bundle_files import MANIFEST_NAME
from toolchain.agent.contents import check_contents
from toolchain.agent.manifest import compute_bundle_id, parse_manifest, read_manifest_bytes
from toolchain.agent.measure.golden import open_golden
from toolchain.agent.measure.session import BuildRequest, Session, open_session
from toolchain.agent.measure.shapes import describe_difference
from toolchain.agent.measure.tensorrt.engine_cache import find_user_root
from toolchain.agent.measure.traits import find_traits
from toolchain.bundle.authenticate import authenticate_bundle
from toolchain.data import Samples, load_dataset
from toolchain.data.dataset import measure_arrays
from toolchain.data.feeds import bind_feeds
from toolchain.deploy.pin import read_pin
from toolchain.deploy.transport import OnProgress
from toolchain.errors import usage
from toolchain.graph.file import read_onnx
from toolchain.graph.session import open_as_board
from toolchain.run.confine import inside
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits, measure_files
from toolchain.run.progress import Progress, show_steps

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Payload:
    """A model that can be run, and real inputs for it, one run each; none where it brings none."""

    name: Path
    """As the user called it."""
    path: Path
    """The ONNX file."""
    session: Session
    threads: int
    feeds: Sequence[Arrays]
    candidate: str | None = None
    """What a bundle calls it; None for an ONNX file."""
    is_shipped: bool = False
    """Whether a deploy has proven and shipped it."""
    pins_threads: bool = False

    def describe(self) -> str:
        """Return which payload this is, in words."""
        return describe_payload(str(self.name), self.candidate, is_shipped=self.is_shipped)


@dataclass(frozen=True)
class Data:
    """The samples of a file that the user named."""

    path: Path
    samples: Samples


def describe_payload(name: str, candidate: str | None, *, is_shipped: bool) -> str:
    """Return which payload is meant by a path: of a bundle, one of its candidates."""
    if candidate is None:
        return name
    return f"{candidate} of {name}, {'which ships' if is_shipped else 'the first: none has been proven yet'}"


def read_data(path: Path | None) -> Data | None:
    """Return the data of an .npz file for payloads that bring none; None without a file.

    It is read before anything is confined, because it is the user's own: what a model may take is no matter of its size.
    Raises ToolchainError: exit 3 for data that is missing, 23 for a file that is corrupt or unsafe.
    """
    if path is None:
        return None
    return Data(path=path, samples=load_dataset("npz", {"path": str(path.resolve())}).evaluation)


def open_payload(path: Path, *, data: Data | None, threads: int | None, samples: int) -> Payload:
    """Return the model of an ONNX file, or of the candidate that a bundle ships, with at most so many samples.

    A bundle that has no verdict yet is its first candidate. threads: where it is None, those of the candidate, or one.

    Raises ToolchainError before the runtime sees a file: exit 2 for a path that is neither, 10 for a signature of another
    manifest, 11 for a bundle or a pin that differs from its manifest, 23 for a malformed file.
    """
    if (path / MANIFEST_NAME).is_file():
        return _open_bundle(path, threads, samples)
    if path.suffix != ".onnx" or not path.is_file():
        raise usage(
            "there is no model to measure",
            where=str(path),
            expected="an .onnx file or a bundle's folder",
            found="a folder" if path.is_dir() else "another file" if path.exists() else "nothing",
            fix="check the path",
        )
    read_onnx(path)  # for its checks: nobody vouches for the file
    threads = threads or 1
    if data is None:
        session = open_as_board(path, threads=threads, is_timed=True)
        return Payload(name=path, path=path, session=session, threads=threads, feeds=())
    inside.grow_limits(sample_bytes=measure_arrays(data.samples.batch(0, 1)))
    session = open_as_board(path, threads=threads, is_timed=True)
    feeds = bind_feeds(data.samples, session.inputs, by_name=True, where=str(data.path), count=samples)
    return Payload(name=path, path=path, session=session, threads=threads, feeds=feeds)


def confine_payloads(
    paths: Sequence[Path], work: Callable[[OnProgress], list[dict[str, Any]]], *, progress: Progress
) -> list[dict[str, Any]]:
    """Return the rows that the work makes of payloads which it opens; it runs confined (toolchain/run/confine)."""
    rows: list[dict[str, Any]] = confine(
        lambda relay: work(show_steps(relay.progress)),
        limits=Limits(model_bytes=measure_files(paths)),
        progress=progress,
        where=", ".join(map(str, paths)),
    )
    return rows


def choose_feeds(payloads: Sequence[Payload]) -> Sequence[Arrays]:
    """Return the inputs of the first payload that brings some, which all of them take.

    Raises ToolchainError (exit 2): there are none, or the payloads' inputs differ in name, dtype or shape.
    """
    for payload in payloads[1:]:
        difference = describe_difference(payloads[0].session.inputs, payload.session.inputs)
        if difference is not None:
            raise usage(
                "the models do not take the same inputs",
                where=str(payload.name),
                expected=f"the inputs of {payloads[0].name}",
                found=difference,
                fix="compare models that were made from the same one",
            )
    for payload in payloads:
        if payload.feeds:
            return payload.feeds
    raise usage(
        "there is no data to run the models on",
        where="--data",
        expected="an .npz with one array per input, or a bundle among the models",
        found="none",
        fix="give real samples; random ones prove nothing",
    )


def _open_bundle(path: Path, threads: int | None, samples: int) -> Payload:
    data = read_manifest_bytes(path)
    authenticate_bundle(path, data, None)
    manifest, bundle_id = parse_manifest(data), compute_bundle_id(data)
    check_contents(path, manifest)
    shipped = read_pin(path)
    index = 0 if shipped is None else manifest.names.index(shipped)
    chosen = manifest.candidates[index]
    # Who names threads has them free.
    pins_threads = threads is None and chosen.pins_threads
    model, threads = path / chosen.path, threads or chosen.threads
    golden = open_golden(path, manifest)
    if find_traits(chosen.runtime).engine is None:
        inside.grow_limits(model_bytes=measure_files([model]), sample_bytes=measure_arrays(golden.read_inputs(0, 1)))
    else:
        inside.free_memory()
    shapes = golden.find_shapes(manifest.inputs)
    build = BuildRequest(
        bundle_dir=path, bundle_id=bundle_id, shapes=shapes, spec=manifest.build, engines=find_user_root()
    )
    session = open_session(chosen.runtime, model, threads, build, pins_threads=pins_threads)
    batch = golden.find_batch(session.inputs) or 1
    runs = min(samples, golden.samples) // batch
    feeds = [golden.read_inputs(run * batch, (run + 1) * batch) for run in range(runs)]
    return Payload(
        name=path,
        path=model,
        session=session,
        threads=threads,
        feeds=feeds,
        candidate=manifest.names[index],
        is_shipped=shipped is not None,
        pins_threads=pins_threads,
    )
