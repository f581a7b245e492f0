"""What `compare` and `bench` take: an ONNX file with its data, or a bundle, which brings its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from toolchain.agent.golden import open_golden
from toolchain.agent.manifest import read_manifest
from toolchain.agent.session import Session, open_session
from toolchain.data import load_dataset
from toolchain.data.feeds import bind_feeds
from toolchain.errors import usage

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Payload:
    """A model that can be run, and real inputs for it, one run each; none where it brings none."""

    path: Path
    """The ONNX file."""
    session: Session
    feeds: Sequence[Arrays]


def open_payload(path: Path, *, data: Path | None, threads: int, samples: int) -> Payload:
    """Return the model of an ONNX file, or of a bundle's preferred candidate, with at most so many samples.

    Raises ToolchainError as opening and reading do; exit 2 for a path that is neither.
    """
    if (path / "manifest.json").is_file():
        manifest, _ = read_manifest(path)
        model = path / manifest.candidates[0].path
        session = open_session(manifest.runtime, model, threads)
        golden = open_golden(path, manifest)
        feeds = [golden.read_inputs(index, index + 1) for index in range(min(samples, golden.samples))]
        return Payload(path=model, session=session, feeds=feeds)
    if path.suffix != ".onnx" or not path.is_file():
        raise usage("nothing to measure there", where=str(path), expected="an .onnx file or a bundle's folder")
    session = open_session("onnxruntime", path, threads)
    if data is None:
        return Payload(path=path, session=session, feeds=())
    dataset = load_dataset("npz", {"path": str(data.resolve())})
    return Payload(
        path=path,
        session=session,
        feeds=list(bind_feeds(dataset.evaluation, session.inputs, where=str(data), count=samples)),
    )


def choose_feeds(payloads: Sequence[Payload]) -> Sequence[Arrays]:
    """Return the first payload's own inputs that there are; raises ToolchainError (exit 2) where there are none."""
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
