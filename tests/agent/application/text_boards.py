"""A board whose model reads texts."""

import json
from dataclasses import asdict

import numpy as np
import onnxruntime

from tests.agent.application.boards import make_board, make_payload_bundle, write_npy
from tests.agent.measure.text_bundle import INPUTS, SENSOR, TEXTS, build_reader, read_tokenizer
from tests.agent.quick_bundle import MANIFEST
from tests.texts import write_vocabulary


def run_reader(texts):
    """Return the logits that the runtime alone gives for some texts."""
    text = read_tokenizer()
    session = onnxruntime.InferenceSession(build_reader(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], text.tokenizer.tokenize(texts, text.ids))[0]


def make_text_bundle(*, pair=lambda array: array, **changes):
    """Return an unsigned bundle of tests/agent/measure/text_bundle.py's model, with a few golden texts; `pair` changes their tokens."""
    made = read_tokenizer().tokenizer.tokenize(TEXTS, "input_ids")
    files = {f"golden/{name}.npy": write_npy(array) for name, array in made.items()}
    data = [text.encode() for text in TEXTS]
    files["golden/utf8.npy"] = write_npy(np.frombuffer(b"".join(data), np.uint8))
    files["golden/ends.npy"] = write_npy(np.cumsum([0, *map(len, data)], dtype=np.int64))
    files |= {f"golden/pair-{name}.npy": write_npy(pair(array)) for name, array in made.items()}
    files["golden/out.npy"] = write_npy(run_reader(TEXTS))
    files["tokenizer/vocabulary.txt"] = write_vocabulary()
    paths = {name: f"golden/{name}.npy" for name in made}
    tokens = {name: f"golden/pair-{name}.npy" for name in made}
    pairs = {
        **MANIFEST["golden"]["pairs"],
        "texts": {"utf8": "golden/utf8.npy", "offsets": "golden/ends.npy", "inputs": tokens},
    }
    out = {"logits": "golden/out.npy"}
    golden = {
        **MANIFEST["golden"],
        "samples": len(TEXTS),
        "inputs": paths,
        "outputs": out,
        "originals": out,
        "pairs": pairs,
    }
    usual = {
        "content": build_reader(),
        "inputs": [json.loads(json.dumps(asdict(spec))) for spec in INPUTS],
        "golden": golden,
        "extra": files,
        "input": json.loads(json.dumps(asdict(SENSOR))),
        "output": {"classes": ["a", "b", "c", "d"]},
    }
    return make_payload_bundle("float32", **{**usual, **changes})


def make_text_board(root, keys, bytecode, **changes):
    return make_board(root, keys, bytecode, make_text_bundle(**changes))
