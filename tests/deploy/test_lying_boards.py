"""A board that says anything: every answer is the truth that it can be held to, or exit 11, 20 or 23, and never a traceback."""

import copy
import io
import json

import pytest

from tests.deploy.lying_board import Endless, Playback, Shell, make_board, write_lines
from tests.native_board import make_key
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.settings import MeasureSettings, list_arguments
from toolchain.cli import devices as shown
from toolchain.cli.options import show_progress
from toolchain.deploy import maintain, remote, words
from toolchain.deploy.answer import judge_answer
from toolchain.deploy.remote import RemoteTransport
from toolchain.deploy.transport import Shipment
from toolchain.deploy.words import read_install
from toolchain.errors import ExitCode, ToolchainError
from toolchain.measure import examine_board, verify
from toolchain.project.device import Device

SETTINGS = MeasureSettings(latency_samples=11, latency_limit_s=0.1)
OTHER = "0" * 64
NOTHING = object()
ROOT = ("--root", "{ROOT}")
FIELDS = {"where": None, "expected": None, "found": None, "fix": None}
JUNK = [
    *(b"[]\n", b"5\n", b"null\n", b'"x"\n', b"{}\n", b"{\n", b"NaN\n", b"9" * 5000 + b"\n", b"[" * 100_000 + b"\n"),
    *({"exit_code": False}, {"exit_code": 0}, {"exit_code": 18}, {"error": "text"}, {"error": {"code": 18}}),
    {"error": {"code": 0, "what": "no error", **FIELDS}},
    {"error": {"code": 18, "what": 5, **FIELDS}},
    {"error": {"code": 99, "what": "a code of nobody", **FIELDS}},
    {"error": {"code": 18, "what": "\ud800", **FIELDS}},
]


def ignore(step, done, total):
    pass


class Lab:
    """The commands of the host, and a board whose answers are a test's to change."""

    def __init__(self, folder, bundle, monkeypatch):
        self.folder, self.bundle = folder, bundle
        self.connection = Shell()
        self.signers = folder / "signers"
        make_key(folder / "key")
        self.signers.write_text(f"ci@example.org {(folder / 'key.pub').read_text()}")
        self.device = Device(target="cpu", host="here")
        for module in (maintain, verify, examine_board):
            monkeypatch.setattr(module, "reach_board", lambda _: make_board(self.connection, folder / "board"))
        monkeypatch.setattr(verify, "_check_target", lambda *_args, **_options: None)

    def run(self, command):
        """Return the exit code of a command, of what it prints too."""
        with show_progress(quiet=True) as progress:
            return int(getattr(self, command)(progress))

    def install(self, _progress):
        board = make_board(self.connection, self.folder / "board")
        with RemoteTransport(self.folder / "out", device="here", board=board) as transport:
            transport.place_bundle(Shipment(bundle=self.bundle, settings=SETTINGS), ignore)
            measured = transport.measure_bundle(ignore)
        manifest, bundle_id = read_manifest(self.bundle)
        return judge_answer(measured, manifest, bundle_id, is_signed=False).judgement.exit_code

    def facts(self, _progress):
        row = examine_board.examine_board(self.device)
        shown._print_examined([row], stream=io.StringIO())
        return row["exit_code"]

    def check(self, progress):
        return verify.verify_on_board(self.bundle, self.device, settings=SETTINGS, progress=progress)["exit_code"]

    def check_active(self, progress):
        return verify.verify_on_board(None, self.device, settings=SETTINGS, progress=progress)["exit_code"]

    def status(self, _progress):
        document = maintain.read_status(self.device)
        shown._print_status(document, stream=io.StringIO())
        return document["exit_code"]

    def rollback(self, progress):
        document = maintain.roll_back(self.device, progress)
        shown._print_rolled_back(document, stream=io.StringIO())
        return document["exit_code"]

    def enroll(self, _progress):
        shown._print_enrolled(maintain.enroll_signers(self.device, self.signers), stream=io.StringIO())
        return 0

    def answer(self, command, document, code=0):
        """Run a command on a board that answers with this document; return the exit code, of an error too."""
        wanted = [{"wanted": []}] if command == "install" else []
        path = write_lines(self.folder / "lines", {"agent": "there"}, *wanted, document)
        self.connection = Playback(path, code)
        try:
            return self.run(command)
        except ToolchainError as error:
            return int(error.code)


@pytest.fixture
def lab(tmp_path, make_bundle, monkeypatch):
    return Lab(tmp_path, make_bundle(), monkeypatch)


@pytest.fixture
def honest(lab, monkeypatch):
    """Return what an honest board answers to each command."""
    answers = {}

    def keep(document):
        answers["install"] = document
        return read_install(document)

    monkeypatch.setattr(remote, "read_install", keep)
    assert lab.run("install") == 0
    monkeypatch.setattr(remote, "read_install", read_install)
    board = make_board(Shell(), lab.folder / "board")
    answers["facts"] = board.run("facts", "--runtime", "onnxruntime", *ROOT).document
    answers["check"] = board.run("check", *ROOT, "--who", "test", *list_arguments(SETTINGS)).document
    answers["status"] = board.run("status", *ROOT).document
    answers["check_active"] = answers["check"]
    signers = {"signers": [lab.signers.read_text().strip()], "replaced": []}
    return {**answers, "enroll": signers}


def change(document, path, value):
    """Return a document with another value at a place; NOTHING removes it."""
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    if value is NOTHING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


def test_an_honest_board_is_believed(lab, honest):
    for command, document in honest.items():
        assert lab.answer(command, document) == 0, command


def test_what_makes_no_sense_is_malformed_or_the_error_that_it_names(lab, honest):
    for command in (*honest, "rollback"):
        for junk in JUNK if command == "status" else JUNK[4:5]:
            code = lab.answer(command, junk)
            assert code == ExitCode.MALFORMED, (command, junk, code)


def test_every_key_is_there_and_of_its_type(honest):
    readers = {
        "install": words.read_install,
        "check": words.read_check,
        "status": words.read_status,
        "facts": words.read_facts,
        "enroll": lambda document: words.read_signers(document, []),
    }
    for command, reader in readers.items():
        for key in honest[command]:
            for value in (NOTHING, [None], 2**70):
                text = json.dumps(change(honest[command], (key,), value))
                with pytest.raises(ToolchainError) as caught:
                    reader(json.loads(text))
                assert caught.value.code == ExitCode.MALFORMED, (command, key, value)


RECORD = ("measurements", "record")
FIRST = (*RECORD, "candidates", 0)
LIES = [
    ("install", ("exit_code",), 18, 18, 20),  # it says that it failed, and what it measured passes
    ("check", ("exit_code",), 18, 18, 20),
    ("install", ("exit_code",), 0, 18, 23),
    ("install", ("bundle_id",), OTHER, 0, 20),
    ("install", ("state", "current"), OTHER, 0, 20),  # proven, and not active
    ("install", ("state", "current"), None, 0, 20),
    ("install", ("verdict",), None, 0, 20),
    ("install", ("verdict", "precision"), "float32", 0, 20),
    ("install", ("verdict", "sha256"), OTHER, 0, 20),
    ("check", ("verdict", "payload"), "payload/float32/model.onnx", 0, 20),
    ("check", ("bundle_id",), OTHER, 0, 11),
    ("check_active", ("bundle_id",), OTHER, 0, 11),
    ("check_active", ("manifest",), "{}", 0, 23),
    ("check", ("pinned",), "float32", 0, 23),
    ("install", ("signer",), "mallory", 0, 20),
    ("check", ("signer",), "mallory", 0, 20),
    ("install", (*FIRST, "evaluation", "parity", 0, "sqnr_db"), -50.0, 0, 20),
    ("install", (*FIRST, "evaluation", "metric", "deployed"), 50.0, 0, 23),
    ("install", (*FIRST, "evaluation", "drift", 0, "agreement"), 2.0, 0, 23),
    ("install", (*FIRST, "latency", "samples"), -5, 0, 23),
    ("install", (*FIRST, "latency", "p50_ms"), 10**400, 0, 23),
    ("install", (*FIRST, "over_next"), None, 0, 23),  # the last of an order has none, and it is not the last
    (
        "install",
        (*FIRST, "over_next"),
        {**dict.fromkeys(("full_speed", "slowed", "note")), "ratio": 2.0, "low": 3.0, "high": 1.0},
        0,
        23,
    ),
    ("install", (*FIRST, "placement", "layers", 0, "macs"), -1, 0, 23),
    ("install", (*RECORD, "device", "cpu"), "\ud800", 0, 23),
    ("install", (*RECORD, "environment"), {"a": float("nan")}, 0, 23),
    ("install", ("samples_ms",), {"int8": ["x"]}, 0, 23),
    ("install", ("notes",), [5], 0, 23),
    ("status", ("reasons",), ["another runtime"], 0, 20),
    ("status", ("expired",), True, 0, 20),
    ("status", ("verified",), False, 0, 20),
    ("status", ("verdict",), None, 0, 20),
    ("status", ("damage",), {"code": 11, "what": "x", **FIELDS}, 0, 20),
    ("status", ("damage",), {"code": 0, "what": "x", **FIELDS}, 0, 20),
    ("status", ("exit_code",), 25, 25, 20),
    ("enroll", ("signers",), [], 0, 20),
    ("enroll", ("signers",), ["mallory ssh-ed25519 AAAA"], 0, 20),
]


def test_an_answer_that_contradicts_itself_or_what_was_asked_is_refused(lab, honest):
    for command, path, value, return_code, expected in LIES:
        code = lab.answer(command, change(honest[command], path, value), return_code)
        assert code == expected, (command, path, value, code)


WISH = {"path": "manifest.json", "size_bytes": 1, "sha256": OTHER, "offset": 0}


def test_a_board_gets_the_files_of_the_bundle_once_and_no_other(lab):
    path = "agent/__init__.py"
    good = {**WISH, "path": path}
    wishes = [
        *(5, {}, [5], [{**good, "offset": 0.5}], [{**good, "offset": -1}], [{**good, "offset": 10**9}]),
        *([{**good, "path": "../../etc/passwd"}], [{**good, "path": "manifest.json"}], [good, good]),
    ]
    for wanted in wishes:
        path = write_lines(lab.folder / "lines", {"agent": "there"}, {"wanted": wanted})
        lab.connection = Playback(path)
        with pytest.raises(ToolchainError) as caught:
            lab.run("install")
        assert caught.value.code == ExitCode.MALFORMED, wanted


@pytest.mark.parametrize("command", ["yes", "cat /dev/zero", "cat /dev/zero >&2", """echo '{"agent": "there"}'; yes"""])
def test_a_board_that_does_not_stop_talking_is_given_up(lab, command):
    lab.connection = Endless(command)
    for asked in ("status", "install"):
        with pytest.raises(ToolchainError) as caught:
            lab.run(asked)
        assert caught.value.code == ExitCode.MALFORMED
