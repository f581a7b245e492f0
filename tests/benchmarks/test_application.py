"""The benchmark of applications runs, on a bundle of today."""

from benchmarks.application import make_board, swap_under_load


def test_a_bundles_payload_answers_frames_while_releases_change(make_bundle, tmp_path):
    board, ids, frame = make_board(make_bundle(emulated=False), tmp_path)
    row = swap_under_load(board, ids, frame, 200)
    assert (row["answered"], row["lost"], row["wrong"], row["trouble"]) == (200, 0, 0, None)
