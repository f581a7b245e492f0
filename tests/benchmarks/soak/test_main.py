import json

from benchmarks.soak.__main__ import write_lines


def test_a_part_is_kept_as_its_rows_and_what_is_said_of_all_of_them(tmp_path):
    write_lines({"limit": 3, "problems": [], "rows": [{"a": 1}, {"a": 2}]}, tmp_path / "part.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "part.jsonl").read_text().splitlines()]
    assert lines == [{"a": 1}, {"a": 2}, {"limit": 3, "problems": []}]
