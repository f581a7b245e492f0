import json

import pytest

from toolchain.cli.stdout import print_rows


def test_rows_of_text_stand_under_each_other(capsys):
    print_rows({"a": "one", "longer": "two"}, as_json=False)
    assert capsys.readouterr().out == "a       one\nlonger  two\n"


def test_no_rows_are_no_lines(capsys):
    print_rows({}, as_json=False)
    assert capsys.readouterr().out == ""


def test_a_commands_own_form_is_used_for_people_alone(capsys):
    def show(rows, *, stream):
        stream.write(f"{len(rows)} rows\n")

    print_rows([1, 2], as_json=False, show=show)
    print_rows([1, 2], as_json=True, show=show)
    assert capsys.readouterr().out == "2 rows\n[1, 2]\n"


def test_json_is_one_line_and_holds_no_number_that_json_lacks(capsys):
    print_rows({"text": "two\nlines", "number": 0.1}, as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"text": "two\nlines", "number": 0.1}
    with pytest.raises(ValueError, match="JSON"):
        print_rows({"number": float("inf")}, as_json=True)
