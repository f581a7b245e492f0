from benchmarks.wild import _write_peer


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
