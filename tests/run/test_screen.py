import io
import os
import sys

import pytest
from rich.console import Console

from tests.hostile_texts import HOSTILE, SURROGATE, find_raw, has_forged_line
from toolchain.errors import usage
from toolchain.run.screen import EscapedStream, Screen, escape_stderr, print_above


def make_stream(encoding="utf-8"):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def read(stream):
    return stream.buffer.getvalue().decode(stream.encoding)


PRINTERS = {
    "line": lambda screen, text: screen.line(text),
    "error": lambda screen, text: screen.error(usage(text, where=text, expected=text, found=text, fix=text)),
    "paragraph": lambda screen, text: screen.paragraph(text),
    "pairs": lambda screen, text: screen.pairs([(text, text)]),
    "table": lambda screen, text: screen.table([text], [[(text, "")]], numbers=0),
    "plain_table": lambda screen, text: screen.plain_table([text], [[text]]),
}


def test_the_text_of_these_tests_is_found_where_it_is_raw():
    assert len(find_raw(HOSTILE)) > 15
    assert find_raw(SURROGATE)
    assert has_forged_line(HOSTILE)
    assert not find_raw("Größe ≤ 5 中 \\x1b 🐱\n")


@pytest.mark.parametrize("print_text", PRINTERS.values(), ids=PRINTERS)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_whatever_is_printed_is_escaped(print_text, encoding):
    stream = make_stream(encoding)
    print_text(Screen(stream, width=1000), HOSTILE + SURROGATE)
    assert "\\x1b]0;title" in read(stream)
    assert not find_raw(read(stream))
    assert not has_forged_line(read(stream))


@pytest.mark.parametrize("print_text", PRINTERS.values(), ids=PRINTERS)
def test_brackets_are_no_markup(print_text):
    stream = make_stream()
    print_text(Screen(stream, width=1000), "[red]x[/red] :cat: [link=http://a]b[/link]")
    assert "[red]x[/red] :cat: [link=http://a]b[/link]" in read(stream)


def test_lines_of_our_own_keep_their_newlines():
    stream = make_stream()
    Screen(stream).lines("one\n\n  two\x1b\n")
    assert read(stream) == "one\n\n  two\\x1b\n"


def test_a_line_is_as_long_as_it_is():
    stream = make_stream()
    Screen(stream).line(300 * "x")
    assert read(stream) == 300 * "x" + "\n"


def test_what_libraries_print_is_escaped_in_the_block_alone(monkeypatch):
    stream = make_stream()
    monkeypatch.setattr(sys, "stderr", stream)
    with escape_stderr(), escape_stderr():
        sys.stderr.write(f"a tensor {HOSTILE}\n")
        sys.stderr.write("10 %\r20 %\r\n\udce9\n")
        assert not sys.stderr.isatty()
    assert sys.stderr is stream
    assert not find_raw(read(stream))
    assert "\\x1b]0;title" in read(stream)
    assert "\n10 %\n20 %\n\\udce9\n" in read(stream)


def test_a_screen_on_an_escaped_stream_writes_to_the_stream_itself():
    stream = make_stream()
    screen = Screen(EscapedStream(stream))
    screen.console.file.write("\x1b[1m")
    assert read(stream) == "\x1b[1m"


def test_other_processes_get_the_streams_own_descriptor(tmp_path):
    with (tmp_path / "errors").open("w") as file:
        assert os.fstat(EscapedStream(file).fileno()).st_ino == os.fstat(file.fileno()).st_ino


def test_what_libraries_print_while_bars_are_shown_stays_escaped(monkeypatch):
    stream = make_stream()
    monkeypatch.setattr(sys, "stderr", stream)
    with escape_stderr():
        with print_above(Console(file=stream, force_terminal=True)):
            sys.stderr.write(f"{HOSTILE}\n")
        sys.stderr.write("after\n")
    shown = read(stream)
    assert not find_raw(shown, may_have_colours=True)
    assert "\\x1b]0;title" in shown
    assert shown.endswith("after\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_long_text_beside_a_name_goes_on_below_itself_on_a_terminal_and_is_one_line_for_programs(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = (
        "share 2^bits values among the weights of a layer, by optimal one-dimensional k-means; /a/path/that/stays/whole"
    )
    shown, piped = Terminal(), io.StringIO()
    Screen(shown, width=60).named("name", text, width=10)
    Screen(piped, width=60).named("name", text, width=10)
    lines = shown.getvalue().splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("name        share")
    assert all(line.startswith(" " * 12) for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == f"name        {text}"
    assert piped.getvalue() == f"name        {text}\n"


def test_a_name_as_wide_as_the_terminal_leaves_its_text_some_room():
    shown = Terminal()
    Screen(shown, width=30).named("n" * 40, "a text of some words that is long", width=40)
    assert "some words" in " ".join(shown.getvalue().split())
