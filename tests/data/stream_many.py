"""Makes and streams a data set of 50,000 samples; prints the most memory that the process had, in MB, and what was read."""

import json
import os
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from toolchain.data import load_dataset

COUNT = 50_000
# One file has at most 65,000 names on ext4.
_FILES = 10
_BATCH = 64
# 50,000 of these are 2.5 GB as floats.
_SIDE = 64


def _link(folder: Path, write, suffix: str, count: int) -> list[str]:
    """Make so many names of a few files."""
    folder.mkdir(parents=True)
    for number in range(_FILES):
        write(folder.parent / f"{folder.name}-{number}{suffix}", number)
    names = [f"{number}{suffix}" for number in range(count)]
    for number, name in enumerate(names):
        os.link(folder.parent / f"{folder.name}-{number % _FILES}{suffix}", folder / name)
    return names


def _write_picture(path: Path, seed: int, *, channels: int = 3) -> None:
    pixels = np.random.default_rng(seed).integers(0, 3, (24, 32, channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze()).save(path)


def make_coco(folder: Path) -> dict[str, object]:
    """Return the options of pictures with seven boxes each, as COCO has them."""
    options: dict[str, object] = {"width": _SIDE, "height": _SIDE}
    for part, count in (("train", _FILES), ("evaluation", COUNT)):
        names = _link(folder / part, _write_picture, ".png", count)
        document = {
            "images": [{"id": n, "file_name": name, "width": 32, "height": 24} for n, name in enumerate(names)],
            "annotations": [
                {"id": 7 * n + row, "image_id": n, "category_id": 1, "bbox": [row, 2, 3, 4],
                 "segmentation": [[0.5 + row] * 24]} for n in range(count) for row in range(7)
            ],
            "categories": [{"id": 1, "name": "thing"}],
        }  # fmt: skip
        (folder / f"{part}.json").write_text(json.dumps(document))
        options |= {part: str(folder / f"{part}.json"), f"{part}_pictures": str(folder / part)}
    return options


def make_yolo_labels(folder: Path) -> dict[str, object]:
    """Return the options of pictures with seven boxes each, as YOLO has them."""
    options: dict[str, object] = {"width": _SIDE, "height": _SIDE, "names": ["thing"]}
    boxes = "".join(f"0 0.{row + 2} 0.5 0.1 0.2\n" for row in range(7))
    for part, count in (("train", _FILES), ("evaluation", COUNT)):
        _link(folder / part, _write_picture, ".png", count)
        _link(folder / f"{part}_labels", lambda path, seed: path.write_text(boxes), ".txt", count)
        options |= {part: str(folder / part), f"{part}_labels": str(folder / f"{part}_labels")}
    return options


def make_image_folder(folder: Path) -> dict[str, object]:
    """Return the options of pictures in class folders."""
    for part, count in (("train", _FILES), ("test", COUNT)):
        for name in ("a", "b"):
            (folder / part).mkdir(exist_ok=True)
            _link(folder / part / name, _write_picture, ".png", count // 2)
    return {"folder": str(folder), "size": _SIDE}


def make_mask_pictures(folder: Path) -> dict[str, object]:
    """Return the options of pictures with masks."""
    options: dict[str, object] = {"width": _SIDE, "height": _SIDE, "names": ["sky", "road", "car"]}
    for part, count in (("train", _FILES), ("evaluation", COUNT)):
        _link(folder / part, _write_picture, ".png", count)
        _link(folder / f"{part}_masks", lambda path, seed: _write_picture(path, seed, channels=1), ".png", count)
        options |= {part: str(folder / part), f"{part}_masks": str(folder / f"{part}_masks")}
    return options


def make_wav_folder(folder: Path) -> dict[str, object]:
    """Return the options of seconds of sound, of which 50,000 are 3.2 GB as floats."""

    def write(path: Path, seed: int) -> None:
        soundfile.write(path, np.random.default_rng(seed).uniform(-1, 1, 1000), 16_000)

    for part, count in (("train", _FILES), ("test", COUNT)):
        (folder / part).mkdir()
        _link(folder / part / "yes", write, ".wav", count)
    return {"folder": str(folder), "rate_hz": 16_000, "length_samples": 16_000}


def make_csv_table(folder: Path) -> dict[str, object]:
    """Return the options of rows of 100 numbers."""
    for part, count in (("train", _FILES), ("evaluation", COUNT)):
        with (folder / f"{part}.csv").open("w") as file:
            file.write(",".join(f"c{column}" for column in range(100)) + "\n")
            for row in range(count):
                file.write(",".join(str(row % 97 / 8 + column) for column in range(100)) + "\n")
    return {part: str(folder / f"{part}.csv") for part in ("train", "evaluation")}


def make_csv_text(folder: Path) -> dict[str, object]:
    """Return the options of texts of 200 letters."""
    for part, count in (("train", _FILES), ("evaluation", COUNT)):
        with (folder / f"{part}.csv").open("w") as file:
            file.write("text,label\n")
            for row in range(count):
                file.write(f"{f'the text of row {row} ':.<200},{row % 2}\n")
    parts = {part: str(folder / f"{part}.csv") for part in ("train", "evaluation")}
    return {**parts, "text": "text", "label": "label", "length": 256}


def make_npz(folder: Path) -> dict[str, object]:
    """Return the options of arrays, of which 50,000 samples are 2.3 GB in the file."""
    for part, count in (("train", _FILES), ("evaluation", COUNT)):
        with zipfile.ZipFile(folder / f"{part}.npz", "w") as archive:
            with archive.open("input.npy", "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": (count, 3, _SIDE, _SIDE)}
                np.lib.format.write_array_header_1_0(file, header)
                for number in range(count):
                    file.write(np.full((3, _SIDE, _SIDE), number % 97, np.float32).tobytes())
            with archive.open("labels.npy", "w") as file:
                np.lib.format.write_array(file, np.arange(count) % 2)
    return {"path": str(folder / "train.npz"), "evaluation": str(folder / "evaluation.npz")}


def main() -> None:
    """Stream the data set of this name in a folder."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    if (pid := os.fork()) == 0:  # what making takes is not what reading takes
        options = globals()[f"make_{name}"](folder)
        (folder / "options.json").write_text(json.dumps(options))
        os._exit(0)
    os.waitpid(pid, 0)
    begin = time.perf_counter()
    samples = load_dataset(name, json.loads((folder / "options.json").read_text())).evaluation
    loaded = time.perf_counter()
    read_bytes = 0
    for start in range(0, len(samples), _BATCH):
        read_bytes += sum(array.nbytes for array in samples.batch(start, start + _BATCH).values())
        read_bytes += sum(
            np.asarray(t[start : start + _BATCH]).nbytes for k, t in samples.targets.items() if k == "mask"
        )
    ended = time.perf_counter()
    measured = {
        "samples": len(samples),
        "read_mb": read_bytes / 2**20,
        "peak_mb": read_peak_mb(),
        "load_s": loaded - begin,
        "stream_s": ended - loaded,
    }
    sys.stdout.write(json.dumps(measured))


def read_peak_mb() -> float:
    """Return the most memory of this program; what getrusage says is that of the process before it, where that was more."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
