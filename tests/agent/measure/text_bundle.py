"""A bundle of a small model that reads texts, with golden texts."""

from pathlib import Path

import numpy as np
import onnx.parser

from tests.texts import TOKENS, WORDS, write_vocabulary
from toolchain.agent.errors import ExitCode
from toolchain.agent.manifest import MetricSpec, TensorSpec
from toolchain.agent.measure.preprocess.tokenize import Tokenizer
from toolchain.agent.sensor import UNCHANGED, InputSpec, OutputSpec
from toolchain.bundle import GoldenBatch
from toolchain.bundle.texts import GoldenTexts
from toolchain.graph.session import HostSession
from toolchain.project.text_section import ReadText

SENSOR = InputSpec(name="input_ids", picture=None, sound=None, in_graph=UNCHANGED, text=WORDS)
NAMES = ("input_ids", "attention_mask", "token_type_ids")
INPUTS = [TensorSpec(name=name, dtype="int64", shape=(None, WORDS.length)) for name in NAMES]
TEXTS = ("hello world", "the unaffable world!", "", "a b c", "[SEP]", "École")

# The sum of the rows of the tokens that are there, and of their segments.
MODEL = """<ir_version: 9, opset_import: ["" : 17]>
net (int64[N,16] input_ids, int64[N,16] attention_mask, int64[N,16] token_type_ids) => (float[N,4] logits)
<int64[1] one = {1}, int64[1] two = {2}>
{
    found = Gather (rows, input_ids)
    both = Add (attention_mask, token_type_ids)
    wide = Cast <to = 1> (both)
    mask = Unsqueeze (wide, two)
    seen = Mul (found, mask)
    logits = ReduceSum <keepdims = 0> (seen, one)
}"""


def build_reader():
    """Return the model's bytes."""
    model = onnx.parser.parse_model(MODEL)
    rows = np.random.default_rng(0).normal(size=(len(TOKENS), 4)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(rows, "rows"))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def read_tokenizer():
    """Return the tokenizer as the stages have it."""
    vocabulary = write_vocabulary()
    tokenizer = Tokenizer(WORDS, vocabulary, where="vocab.txt", code=ExitCode.USAGE)
    return ReadText(spec=WORDS, vocabulary=vocabulary, tokenizer=tokenizer, ids="input_ids")


def describe_text_bundle(folder: Path, **changes):
    """Return what make_bundle is to change."""
    path = folder / "reader.onnx"
    path.write_bytes(build_reader())
    text = read_tokenizer()
    feeds = text.tokenizer.tokenize(TEXTS, text.ids)
    outputs = HostSession(path).run(feeds)
    return {
        "candidates": {"float32": path},
        "reference": path,
        "original": path,
        "inputs": INPUTS,
        "outputs": [TensorSpec(name="logits", dtype="float32", shape=(None, 4))],
        "golden": [GoldenBatch(inputs=feeds, outputs=outputs)],
        "golden_samples": len(TEXTS),
        "targets": {"labels": outputs["logits"].argmax(axis=1).astype(np.int64)},
        "metric": MetricSpec(name="top1", reference=1.0),
        "sensor": SENSOR,
        "text": GoldenTexts(text=text, texts=TEXTS),
        "output": OutputSpec(classes=("a", "b", "c", "d")),
        **changes,
    }
