import numpy as np
import onnx

from benchmarks.soak.models import draw_samples, write_large, write_small
from toolchain.graph.session import HostSession


def test_versions_of_the_small_model_are_others_and_each_is_the_same_again(tmp_path):
    first, again, second = (
        write_small(tmp_path / name, size=8, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.read_bytes() == again.read_bytes() != second.read_bytes()
    assert HostSession(first).run({"input": draw_samples(2, (3, 8, 8), seed=0)})["output"].shape == (2, 8)


def test_the_large_model_has_its_weights_beside_it_and_keeps_the_size_of_its_values(tmp_path):
    path = write_large(tmp_path, layers=6, width=128)
    assert (tmp_path / "large.onnx.data").stat().st_size == 6 * 128 * 128 * 4
    assert path.stat().st_size < 4096
    onnx.checker.check_model(path)
    output = HostSession(path).run({"input": draw_samples(8, (128,), seed=0)})["output"]
    assert 0.2 < np.abs(output).mean() < 5
