import dataclasses

import pytest

from toolchain.agent.application.warm_up import warm_up
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec, read_manifest


class Session:
    def __init__(self, *shapes, fails=False):
        self.inputs = [TensorSpec(name="input", dtype="float32", shape=shape) for shape in shapes]
        self.fed, self._fails = [], fails

    def run(self, feeds):
        self.fed.append({name: array.shape for name, array in feeds.items()})
        if self._fails:
            raise ToolchainError(ExitCode.MALFORMED, what="it cannot take zeros", fix="give it others")


@pytest.fixture
def manifest(board):
    return read_manifest(board.release)[0]


@pytest.mark.parametrize("shape", [(None, 3, 8, 8), (1, 3, 8, 8), (None, 3, None, None)])
def test_a_payload_is_run_on_a_frame_of_the_shape_that_it_was_proven_with(board, manifest, shape):
    session = Session(shape)
    warm_up(session, manifest, board.release)
    assert session.fed == [{"input": (1, 3, 8, 8)}]


def test_on_a_board_that_was_measured_it_runs_until_it_is_steady(board, manifest):
    session = Session((None, 3, 8, 8))
    warm_up(session, dataclasses.replace(manifest, emulated=False), board.release)
    assert len(session.fed) > 3


def test_a_payload_that_does_not_take_zeros_is_left_cold(board, manifest):
    session = Session((None, 3, 8, 8), fails=True)
    warm_up(session, dataclasses.replace(manifest, emulated=False), board.release)
    assert len(session.fed) == 1


def test_a_shape_that_nothing_says_is_left_cold(board, manifest):
    (board.release / "golden/in.npy").write_bytes(b"no array")
    session = Session((None, 3, None, None))
    warm_up(session, manifest, board.release)
    assert session.fed == []
