import os

from tests.wheel.size import measure_size


def test_every_file_counts_once_and_links_do_not(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/one").write_bytes(b"x" * 1000)
    (tmp_path / "two").write_bytes(b"x" * 10)
    os.link(tmp_path / "two", tmp_path / "again")
    (tmp_path / "link").symlink_to("deep/one")
    assert measure_size(tmp_path) == 1010
