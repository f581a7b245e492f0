"""Texts of samples: what the model got, put together from its tokens."""

from dataclasses import replace

import pytest

from tests.agent.measure.text_bundle import TEXTS, describe_text_bundle
from tests.texts import ALPHABET, BYTE, LETTER, PAIRS, TOKENS, WORDS, make_tokenizer, write_byte_bpe, write_vocabulary
from toolchain.agent.manifest import read_manifest
from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.sample_media import draw_samples, draw_text
from toolchain.report.sample_text import choose_writer, read_sample_texts

FILES = {
    "wordpiece": write_vocabulary(TOKENS),
    "characters": write_vocabulary(ALPHABET),
    "bytes": b"",
    "byte_bpe": write_byte_bpe(),
}


@pytest.fixture
def bundle(make_bundle, tmp_path):
    return make_bundle(**describe_text_bundle(tmp_path))


def test_the_texts_of_a_bundle_are_read_from_its_tokens(bundle):
    manifest, _ = read_manifest(bundle)
    texts = read_sample_texts(bundle, manifest, [5, 0, 2])
    assert texts == {0: "hello world", 2: "", 5: "ecole"}  # in lower case and without accents, as the model got it
    assert read_sample_texts(bundle, replace(manifest, input=None), [0]) == {}
    media = draw_samples(bundle, manifest, [0, 1])
    assert {index: (one.kind, one.text) for index, one in media.items()} == {
        0: ("text", TEXTS[0]), 1: ("text", "the unaffable world !"),
    }  # fmt: skip


def test_another_vocabulary_than_the_manifests_shows_no_text(bundle):
    manifest, _ = read_manifest(bundle)
    path = bundle / manifest.input.text.file
    path.write_bytes(path.read_bytes().replace(b"hello", b"jello"))
    with pytest.raises(ToolchainError) as caught:
        read_sample_texts(bundle, manifest, [0])
    assert caught.value.code == ExitCode.CONTENT


@pytest.mark.parametrize(
    ("spec", "text", "shown"),
    [
        (BYTE, "é <b>\x00", "é <b>\x00"),
        (BYTE, "aaaaaaaaaaaaaaa😀", "aaaaaaaaaaaaaaa\ufffd"),  # cut within a character
        (LETTER, "éa Ж", "éa [UNK]"),
        (WORDS, "the [SEP] zzz…", "the [SEP] z z z [UNK]"),
        (PAIRS, "it's  é你 <mask>x\x07", "it's  é你<mask>x\x07"),
        (PAIRS, "", ""),
    ],
)
def test_each_tokenizer_is_written_back(spec, text, shown):
    write = choose_writer(spec, FILES[spec.tokenizer])
    assert write(make_tokenizer(spec).number(text)).replace(" ", "") == shown.replace(" ", "")


def test_numbers_that_no_token_has_are_shown_as_such():
    assert choose_writer(WORDS, FILES["wordpiece"])([TOKENS.index("hello"), 10**6]) == "hello \ufffd"
    assert choose_writer(PAIRS, FILES["byte_bpe"])([10**6, -1]) == "\ufffd\ufffd"


def test_a_long_text_is_cut_and_says_of_how_much():
    media = draw_text("a" * 10_000)
    assert (len(media.text), media.note) == (800, "the first 800 of 10,000 characters that the model got")
    assert draw_text("a").note == "as the model got it"
