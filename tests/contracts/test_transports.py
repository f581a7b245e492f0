"""What every transport must hold: a bundle is placed whole or refused, and what comes back is what the agent measured."""

import ast
import sys
from pathlib import Path

import pytest

import toolchain.deploy
from tests.contracts.claims import find_broken_claims, pair_claims
from tests.contracts.pages import run_example
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.deploy.board import Board
from toolchain.deploy.local import LocalTransport
from toolchain.deploy.remote import RemoteTransport
from toolchain.deploy.ssh import SshConnection
from toolchain.deploy.transport import Shipment
from toolchain.errors import ExitCode, ToolchainError

SETTINGS = MeasureSettings(latency_samples=11, latency_limit_s=0.1)
METHODS = {"read_facts", "place_bundle", "measure_bundle"}


def list_transports():
    """Return the modules of the folder that have a class with a transport's methods; transport.py states them."""
    found = []
    for path in sorted(Path(toolchain.deploy.__file__).parent.glob("*.py")):
        classes = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.ClassDef)]
        methods = [{item.name for item in node.body if isinstance(item, ast.FunctionDef)} for node in classes]
        if path.stem != "transport" and any(own >= METHODS for own in methods):
            found.append(path.stem)
    return found


class Bench:
    """What the claims work with: how each transport is opened, and a bundle that is whole and one that is not."""

    opened, whole, damaged = {}, None, None


@pytest.fixture(autouse=True)
def bench(native, make_bundle, tmp_path):
    """Lay everything out anew for each test."""

    def open_remote():
        board = Board(
            SshConnection("native", config=native.ssh_config, stall_s=30),
            root=str(native.root),
            python=sys.executable,
            stall_s=30,
        )
        return RemoteTransport(tmp_path / "dist", device="native", board=board)

    Bench.opened = {
        "local": lambda: LocalTransport(tmp_path / "dist"),
        "remote": open_remote,
        **{name: lambda kind=kind: kind(tmp_path / "dist") for name, kind in BROKEN.items()},
    }
    Bench.whole = make_bundle()
    Bench.damaged = tmp_path / "damaged"
    copy_damaged(Bench.whole, Bench.damaged)


def copy_damaged(source, target):
    import shutil

    shutil.copytree(source, target)
    payload = next(path for path in sorted((target / "payload").rglob("*")) if path.is_file())
    data = payload.read_bytes()
    payload.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def ignore(step, done, total):
    pass


def find_code(action):
    """Return the code that an action is refused with; None where it is not refused."""
    try:
        action()
    except ToolchainError as error:
        return error.code
    return None


def place(transport, bundle):
    with transport:
        return transport.place_bundle(Shipment(bundle=bundle, settings=SETTINGS), ignore)


def its_facts_are_those_of_the_board(name):
    with Bench.opened[name]() as transport:
        facts, own = transport.read_facts("onnxruntime"), read_facts("onnxruntime")
    assert (facts.arch, facts.runtime, facts.runtime_version) == (own.arch, own.runtime, own.runtime_version)


def what_is_placed_is_measured_by_the_agent(name):
    steps = []
    with Bench.opened[name]() as transport:
        transport.place_bundle(Shipment(bundle=Bench.whole, settings=SETTINGS), ignore)
        measured = transport.measure_bundle(lambda step, done, total: steps.append(step))
    assert steps
    assert measured.document["record"]["candidates"][0]["evaluation"]["samples"] > 0
    assert measured.document["record"]["bundle_id"] == read_manifest(Bench.whole)[1]


def a_damaged_bundle_is_refused(name):
    assert find_code(lambda: place(Bench.opened[name](), Bench.damaged)) is ExitCode.CONTENT


def a_folder_that_is_no_bundle_is_refused(name):
    empty = Bench.damaged.with_name("empty")
    empty.mkdir(exist_ok=True)
    assert find_code(lambda: place(Bench.opened[name](), empty)) in (ExitCode.MALFORMED, ExitCode.USAGE)


def two_at_once_are_refused(name):
    with Bench.opened[name]():
        assert find_code(lambda: place(Bench.opened[name](), Bench.whole)) is ExitCode.BUSY


CLAIMS = (
    its_facts_are_those_of_the_board,
    what_is_placed_is_measured_by_the_agent,
    a_damaged_bundle_is_refused,
    a_folder_that_is_no_bundle_is_refused,
    two_at_once_are_refused,
)


@pytest.mark.parametrize(("claim", "name"), pair_claims(CLAIMS, list_transports()))
def test_every_transport_keeps_the_contract(claim, name):
    claim(name)


def test_the_one_of_the_page_keeps_the_contract(tmp_path):
    powered = run_example("transport", "toolchain/deploy/powered.py", "toolchain.deploy.powered")
    Bench.opened["powered"] = lambda: powered.PoweredTransport(tmp_path / "dist")
    assert find_broken_claims(CLAIMS, "powered") == set()


class Credulous(LocalTransport):
    """It takes whatever it is given."""

    def place_bundle(self, shipment, on_progress=None):
        return 0

    def measure_bundle(self, on_progress):
        return None


class Greedy(LocalTransport):
    """It takes a folder that another one has."""

    def __enter__(self):
        self._out.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_):
        return None


BROKEN = {"credulous": Credulous, "greedy": Greedy}


def test_one_that_takes_anything_is_caught():
    broken = find_broken_claims((a_damaged_bundle_is_refused, a_folder_that_is_no_bundle_is_refused), "credulous")
    assert broken == {"a_damaged_bundle_is_refused", "a_folder_that_is_no_bundle_is_refused"}


def test_one_that_lets_two_in_is_caught():
    assert find_broken_claims((two_at_once_are_refused,), "greedy") == {"two_at_once_are_refused"}
