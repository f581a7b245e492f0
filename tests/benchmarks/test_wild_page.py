from benchmarks.wild_page import write_summary, write_table

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


def tell(db, speed, share=0.9, over=1.0):
    over = [over, over - 0.05, over + 0.05]
    times = [speed, speed, speed]
    return {"sqnr_db": db, "speed": times, "shares": {"int8": share}, "ours_over": over, "ours_openvino_over": over}


def test_of_ours_the_faster_that_keeps_the_gate_is_summed_up():
    rows = [
        {"model": "a", "ours": tell(30, 1.5), "ours_openvino": tell(19.9, 3.0)},
        {"model": "b", "ours": tell(30, 1.5), "ours_openvino": tell(25, 2.5, share=0.7)},
        {"model": "c", "ours": tell(21, 0.98), "ours_openvino": {"error": "exit 12"}},
        {"model": "d", "ours": tell(19, 2.0)},
    ]
    summary = write_summary(rows)
    assert "3 of 4 models keep it, 2 of these are not slower than float, and 2 have more than 80 %" in summary[0]
    assert "median speed is 1.50×" in summary[0]
    assert summary[1:] == ["Does not keep it: `d`.", "Behind a tool that keeps it too, beyond the interval: none."]


def test_a_tool_that_is_surely_faster_at_the_same_accuracy_is_named_and_no_other():
    row = {"model": "a", "ours": tell(30, 1.5), "nncf": tell(20, 2.0, over=0.8)}
    row |= {"quark": tell(19.9, 3.0, over=0.5), "quantize_static": tell(40, 1.5, over=0.97)}
    row |= {"quantize_dynamic": {"error": "no"}}
    assert write_summary([row])[-1].endswith(": `a`, NNCF, OpenVINO: ours at 0.80× its speed (0.75 to 0.85).")


def test_nothing_that_keeps_the_gate_has_no_median():
    assert write_summary([{"model": "a", "ours": tell(3, 2.0)}])[0].endswith("in int8.")
