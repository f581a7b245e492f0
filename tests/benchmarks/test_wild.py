from benchmarks.wild import _write_peer, write_table

ROW = {
    "model": "net",
    "quantize_static": {"error": "Fail: no kernel"},
    "quantize_dynamic": {"sqnr_db": 12.34, "speed": [1.1, 0.9, 1.2]},
    "ours": {"sqnr_db": 31.0, "speed": [2.0, 1.9, 2.1], "shares": {"int8": 0.9, "bf16": 0.1}},
}


def test_a_tool_that_fails_and_one_that_was_not_asked_are_told_apart():
    line = write_table([ROW]).splitlines()[2]
    assert line == (
        "| `net` | does not run | 12.3 dB, 1.10× (0.90 to 1.20) | – | – "
        "| 31.0 dB, 2.00× (1.90 to 2.10), 90 % int8, 10 % bf16 | – |"
    )


def test_a_file_that_is_not_of_a_tool_s_best_recipe_says_of_which():
    row = {"model": "net", "quark": {"sqnr_db": 9.0, "speed": [1.0, 0.9, 1.1], "recipe": "U8S8_AAWS"}}
    assert "| 9.0 dB, 1.00× (0.90 to 1.10), U8S8_AAWS |" in write_table([row])


def test_ours_has_no_share_where_it_does_not_run():
    line = write_table([{"model": "net", "ours": {"error": "exit 23"}}]).splitlines()[2]
    assert line.endswith("| does not run | – |")


def test_a_file_of_a_peer_is_made_once(tmp_path):
    target = tmp_path / "net.onnx"
    target.write_bytes(b"made")
    _write_peer(lambda *_: target.write_bytes(b"again"), tmp_path, [], target)
    assert target.read_bytes() == b"made"


def test_what_a_peer_raises_is_kept_as_its_result(tmp_path):
    def fail(*_):
        raise ValueError("no such\noperator")

    _write_peer(fail, tmp_path, [], tmp_path / "net.onnx")
    assert (tmp_path / "net.error").read_text() == "ValueError: no such"
