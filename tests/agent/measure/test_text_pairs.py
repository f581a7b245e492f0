"""Golden texts on a board: PASS with other tokens than those that the model was trained with is the yes that must not be."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from tests.agent.measure.text_bundle import INPUTS, TEXTS, describe_text_bundle
from tests.texts import PAIRS, TOKENS, make_tokenizer, write_byte_bpe
from toolchain.agent.bundle_files import FileEntry
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.preprocess import characters
from toolchain.agent.measure.text_pairs import check_texts, read_texts
from toolchain.bundle.texts import GoldenTexts, write_texts
from toolchain.project.text_section import ReadText


@pytest.fixture
def bundle(make_bundle, tmp_path):
    return make_bundle(**describe_text_bundle(tmp_path))


def check(bundle, **changes):
    manifest, _ = read_manifest(bundle)
    text = dataclasses.replace(manifest.input.text, **changes)
    check_texts(bundle, dataclasses.replace(manifest, input=dataclasses.replace(manifest.input, text=text)))


def refuse(bundle, code=ExitCode.PARITY, **changes):
    with pytest.raises(ToolchainError) as caught:
        check(bundle, **changes)
    assert caught.value.code == code
    return caught.value


def test_texts_of_which_the_agent_makes_these_tokens_are_taken(bundle):
    check(bundle)
    manifest, _ = read_manifest(bundle)
    texts = read_texts(bundle, manifest.golden.pairs.texts)
    assert texts[: len(TEXTS)] == list(TEXTS)
    assert len(texts) > len(TEXTS) + 15


@pytest.mark.parametrize(
    "changes",
    [{"lowercase": False}, {"strip_accents": False}, {"split_cjk": False}, {"special_in_text": False}, {"length": 15}],
    ids=str,
)
def test_other_settings_than_the_pairs_were_made_by_are_refused(bundle, changes):
    assert "golden/text-0.npy" in refuse(bundle, **changes).where


def rewrite(bundle, name, change):
    path = bundle / "golden" / f"{name}.npy"
    np.save(path, change(np.load(path)))


def add_one(array):
    array[1, 2] += 1
    return array


def test_one_other_token_is_named_with_its_text(bundle):
    rewrite(bundle, "text-0", add_one)
    error = refuse(bundle)
    assert "text 1 ('the unaffable world!'), token 2" in error.where
    assert {error.expected, error.found} == {str(TOKENS.index("un")), str(TOKENS.index("un") + 1)}


@pytest.mark.parametrize("name", ["text-1", "text-2"])
def test_another_mask_or_another_segment_is_refused(bundle, name):
    rewrite(bundle, name, add_one)
    refuse(bundle)


def test_tokens_of_another_type_are_refused(bundle):
    rewrite(bundle, "text-0", lambda array: array.astype(np.int32))
    refuse(bundle)


@pytest.mark.parametrize(
    "name", ["is_accent", "is_removed", "is_space", "is_punctuation", "is_cjk", "lower", "decompose"]
)
def test_a_board_whose_characters_are_other_ones_is_refused(bundle, monkeypatch, name):
    """As one would be whose Python, or whose file of tables, knows another Unicode."""
    from toolchain.agent.measure.preprocess import words

    own = getattr(characters, name)
    changed = (lambda letter: False) if name.startswith("is_") else (lambda letter: letter)
    assert any(own(letter) != changed(letter) for letter in "É\u0301\x00 !你")
    monkeypatch.setattr(words, name, changed)
    refuse(bundle)


def test_another_vocabulary_than_the_manifests_is_refused_as_other_content(bundle):
    path = bundle / "tokenizer/vocabulary.txt"
    path.write_bytes(path.read_bytes().replace(b"hello", b"hullo"))
    refuse(bundle, ExitCode.CONTENT)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("texts", lambda data: data[:-1]),
        ("texts", lambda data: data | 0x80),
        ("texts", lambda data: data.astype(np.int64)),
        ("texts-offsets", lambda ends: ends[::-1].copy()),
        ("texts-offsets", lambda ends: ends[:1]),
        ("texts-offsets", lambda ends: ends.astype(np.int32)),
    ],
    ids=range(6),
)
def test_what_are_no_texts_is_malformed(bundle, name, change):
    rewrite(bundle, name, change)
    refuse(bundle, ExitCode.MALFORMED)


def test_a_manifest_without_the_vocabulary_among_its_files_is_malformed(bundle):
    path = bundle / "manifest.json"
    document = json.loads(path.read_bytes())
    document["files"] = [entry for entry in document["files"] if entry["path"] != "tokenizer/vocabulary.txt"]
    path.write_text(json.dumps(document))
    with pytest.raises(ToolchainError) as caught:
        read_manifest(bundle)
    assert caught.value.code == ExitCode.MALFORMED


@pytest.fixture
def pairs(bundle, tmp_path):
    """Return a folder and manifest whose golden texts are of a byte-level BPE."""
    (tmp_path / "pairs/golden").mkdir(parents=True)
    tokenizer, data = make_tokenizer(PAIRS), write_byte_bpe()
    text = ReadText(spec=PAIRS, vocabulary=data, tokenizer=tokenizer, ids="input_ids")
    texts = write_texts(GoldenTexts(text=text, texts=TEXTS), INPUTS, tmp_path / "pairs")
    manifest, _ = read_manifest(bundle)
    entry = FileEntry(path=PAIRS.file, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    golden = dataclasses.replace(manifest.golden, pairs=dataclasses.replace(manifest.golden.pairs, texts=texts))
    sensor = dataclasses.replace(manifest.input, text=PAIRS)
    return tmp_path / "pairs", dataclasses.replace(manifest, input=sensor, golden=golden, files=(entry,))


def test_pairs_are_checked_as_words_are(pairs):
    folder, manifest = pairs
    check_texts(folder, manifest)
    for changes in ({"special_in_text": False}, {"length": 15}):
        text = dataclasses.replace(manifest.input.text, **changes)
        with pytest.raises(ToolchainError) as caught:
            check_texts(folder, dataclasses.replace(manifest, input=dataclasses.replace(manifest.input, text=text)))
        assert caught.value.code == ExitCode.PARITY
    path = folder / PAIRS.file
    path.write_bytes(path.read_bytes().replace(b'"space_first":false', b'"space_first":true'))
    with pytest.raises(ToolchainError) as caught:
        check_texts(folder, manifest)
    assert caught.value.code == ExitCode.CONTENT


def test_pairs_in_another_order_make_other_tokens_of_a_golden_text(pairs):
    folder, manifest = pairs
    document = json.loads((folder / PAIRS.file).read_bytes())
    data = json.dumps({**document, "merges": document["merges"][::-1]}).encode()
    (folder / PAIRS.file).write_bytes(data)
    entry = dataclasses.replace(manifest.files[0], size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ToolchainError) as caught:
        check_texts(folder, dataclasses.replace(manifest, files=(entry,)))
    assert caught.value.code == ExitCode.PARITY
