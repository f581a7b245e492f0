"""What users write."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tests.fuzz.reader import Reader
from tests.texts import PAIRS, write_byte_bpe, write_byte_bpe_json, write_tokenizer_json, write_vocabulary
from toolchain.agent.errors import ExitCode
from toolchain.agent.measure.preprocess.tokenize import Tokenizer
from toolchain.project.device import read_devices
from toolchain.project.recipe import read_recipe
from toolchain.project.target import read_target
from toolchain.project.text_section import TextSection, read_text_section
from toolchain.run.cache import Cache
from toolchain.run.sources import Sources

_REPOSITORY = Path(__file__).parents[3]


def _read_seeds(pattern: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(_REPOSITORY.glob(pattern)))


def _write(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


_DEVICES = b"""[lab]
target = "jetson"
host = "lab-nano"

[bench]
target = "cpu"
labgrid = "bench.yaml"
"""


def _find_entry(data: bytes, folder: Path) -> object:
    """Read an entry.json where the cache has one; what is not whole is no entry."""
    cache, inputs = Cache(folder), {"weights": "07" * 32}
    work = cache.find_work_folder("export", inputs)
    entry = folder / "export" / work.name
    entry.mkdir(parents=True, mode=0o700)
    (entry / "model.onnx").write_bytes(b"model")
    (entry / "entry.json").write_bytes(data)
    return cache.find("export", inputs)


# sha256 of b"model".
_ENTRY = b"""{"inputs": {"weights": "0707070707070707070707070707070707070707070707070707070707070707"}, "files": {"model.onnx": "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"}}"""


def _read_memo(data: bytes, folder: Path) -> object:
    """Read what is kept of source files; what is none is found anew."""
    package = folder / "own"
    package.mkdir()
    (package / "__init__.py").write_bytes(b"import os\n")
    return Sources(package, memo=_write(data, folder / "sources.json")).hash_imports("own")


def _make_memo() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _read_memo(b"", Path(folder))
        return (Path(folder) / "sources.json").read_bytes()


def _read_tokenizer(
    name: str, tokenizer: Literal["wordpiece", "byte_bpe"] = "wordpiece"
) -> Callable[[bytes, Path], object]:
    """Return what reads a tokenizer's file of this name, and makes tokens of a text by it."""
    section = TextSection(tokenizer=tokenizer, file=name, length=8, lowercase=None if name.endswith("json") else True)

    def read(data: bytes, folder: Path) -> object:
        return read_text_section(section, _write(data, folder / name), where="input.text").tokenizer.number("hello 你")

    return read


def _read_byte_bpe(data: bytes, _: Path) -> object:
    return Tokenizer(PAIRS, data, where="byte_bpe.json", code=ExitCode.MALFORMED).number("<s> hello  <mask>")


READERS = (
    Reader(
        "recipe", lambda data, folder: read_recipe(_write(data, folder / "recipe.toml")), _read_seeds("models/*/*.toml")
    ),
    Reader(
        "target", lambda data, folder: read_target(_write(data, folder / "target.toml")), _read_seeds("targets/*.toml")
    ),
    Reader("vocabulary", _read_tokenizer("vocab.txt"), (write_vocabulary(),)),
    Reader("tokenizer.json", _read_tokenizer("tokenizer.json"), (write_tokenizer_json(),)),
    Reader("tokenizer.json of pairs", _read_tokenizer("tokenizer.json", "byte_bpe"), (write_byte_bpe_json(),)),
    Reader("byte-level BPE", _read_byte_bpe, (write_byte_bpe(),), codes=frozenset({ExitCode.MALFORMED})),
    Reader("devices", lambda data, folder: read_devices(_write(data, folder / "devices.toml")), (_DEVICES,)),
    Reader("cache entry", _find_entry, (_ENTRY,), codes=frozenset()),
    Reader("memo of sources", _read_memo, (_make_memo(),), codes=frozenset()),
)
