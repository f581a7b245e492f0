"""The file of a tokenizer: a token a line in UTF-8, of which the first is 0; read the same in every language."""

from __future__ import annotations

from typing import Dict, Optional

from ...errors import ExitCode, ToolchainError
from ...text import BEGIN, CHARACTERS, END, PADDING, UNKNOWN, WORDPIECE
from .characters import is_space

SIZE_BYTES_MAX = 16 << 20
"""The largest that is used, of 250,000 tokens in all languages, has 5 MB."""

_NEEDED = {CHARACTERS: (PADDING, UNKNOWN), WORDPIECE: (PADDING, UNKNOWN, BEGIN, END)}
_SHOWN = 40


def read_vocabulary(data: bytes, tokenizer: str, *, where: str, code: ExitCode) -> Dict[str, int]:
    """Return the number of each token.

    Raises ToolchainError with the code: a file that is too large, no UTF-8 or has Windows' line ends, an empty or a double
    line, a token that is needed and missing, one of CHARACTERS that is no single letter.
    """
    if len(data) > SIZE_BYTES_MAX:
        raise _refuse(code, where, f"at most {SIZE_BYTES_MAX} bytes", f"{len(data)}", "name the tokenizer's own file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fix = "write it again as UTF-8, as it was when the model was trained"
        raise _refuse(code, f"{where}, line {line}", "UTF-8", error.reason, fix) from error
    lines = text.split("\n")
    if lines[-1] == "":  # of the line end that the last line has
        lines.pop()
    found: Dict[str, int] = {}
    for index, token in enumerate(lines):
        problem = _find_problem(token, index, tokenizer)
        if problem is None and token in found:
            problem = f"{_show(token)} a second time, after line {found[token] + 1}"
        if problem is not None:
            fix = "name the file that the model was trained with: each line is a token, and its number the token's"
            raise _refuse(code, f"{where}, line {index + 1}", "a token of its own in each line", problem, fix)
        found[token] = index
    for token in _NEEDED[tokenizer]:
        if token not in found:
            what = f"a line {token}, which {tokenizer} needs"
            fix = "name the file that the model was trained with, or another tokenizer"
            raise _refuse(code, where, what, f"none in {len(lines)} lines", fix)
    return found


def _find_problem(token: str, index: int, tokenizer: str) -> Optional[str]:
    if not token:
        return "an empty line"
    if "\r" in token:
        return "a carriage return, as Windows ends lines"
    if index == 0 and token[0] == "\ufeff":
        return "a byte order mark"
    if tokenizer == CHARACTERS and len(token) > 1 and token not in _NEEDED[CHARACTERS]:
        return f"{_show(token)}, which is no single character"
    if tokenizer == WORDPIECE and (is_space(token[0]) or is_space(token[-1])):
        return f"{_show(token)}, with white space at an end"
    return None


def _show(token: str) -> str:
    return ascii(token if len(token) <= _SHOWN else token[:_SHOWN] + "...")


def _refuse(code: ExitCode, where: str, expected: str, found: str, fix: str) -> ToolchainError:
    what = "the tokenizer's vocabulary cannot be used"
    return ToolchainError(code, what, where=where, expected=expected, found=found, fix=fix)
