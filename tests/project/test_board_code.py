import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.board_code import check_board_code
from toolchain.project.members import Member
from toolchain.project.seams import METRICS


def check(tmp_path, text):
    path = tmp_path / "own.py"
    path.write_text(text)
    check_board_code(Member(seam=METRICS, name="own", module="own", path=path))


@pytest.mark.parametrize(
    "text",
    [
        "from __future__ import annotations\nimport math\nimport numpy as np\nfrom typing import Any\n",
        "import numpy.linalg\nfrom numpy.typing import NDArray\n",
        "from ...errors import ExitCode\nfrom ..scale import Scale\nfrom . import take_first\n",
    ],
)
def test_what_boards_have_is_imported(tmp_path, text):
    check(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "import os\n",
        "import numpy, scipy.stats\n",
        "from sklearn.metrics import f1_score\n",
        "import neighbour\n",
        "def start():\n    from subprocess import run\n",
        "from toolchain.agent.measure.scale import Scale\n",
        "from ....data import npz\n",
        "from ...install import trust\n",
        "from ... import install\n",
        "def (:\n",
        "match 1:\n    case 1: pass\n",
        "\0",
    ],
)
def test_what_no_board_has_is_refused_before_it_runs(tmp_path, text):
    with pytest.raises(ToolchainError) as caught:
        check(tmp_path, text + "raise SystemExit(7)\n")
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
