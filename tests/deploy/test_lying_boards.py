"""A board that says anything: every answer is the truth that it can be held to, or exit 11, 15, 20 or 23, and nothing hangs."""

import copy
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.lies import ALLOWED, CHANGES, JUNK, NOTHING, OTHER, PROGRESS, WISHES, make_error, make_footprint
from tests.deploy.lying_board import Playback, Shell, make_board, say, write_acts
from tests.native_board import make_key
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.settings import MeasureSettings, list_arguments
from toolchain.bundle import write_bundle
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

SETTINGS = MeasureSettings(latency_samples=11, latency_limit_s=0.1, start_processes=1)
ROOT = ("--root", "{ROOT}")


def ignore(step, done, total):
    pass


class Lab:
    """The commands of the host, and a board whose answers are a test's to change."""

    def __init__(self, folder, bundle, monkeypatch):
        self.folder, self.bundle = folder, bundle
        self.connection, self.stall_s = Shell(), 30
        self.signers = folder / "signers"
        make_key(folder / "key")
        self.signers.write_text(f"ci@example.org {(folder / 'key.pub').read_text()}")
        self.device = Device(target="cpu", host="here")
        self.facts_before, self.after = {}, None
        for module in (maintain, verify, examine_board):
            monkeypatch.setattr(module, "reach_board", lambda _: self.reach())
        monkeypatch.setattr(verify, "check_target", lambda *_args, **_options: None)

    def reach(self):
        return make_board(self.connection, self.folder / "board", self.stall_s)

    def run(self, command):
        """Return the exit code of a command, of what it prints too."""
        with show_progress(quiet=True) as progress:
            return int(getattr(self, command)(progress))

    def install(self, _progress):
        with RemoteTransport(self.folder / "out", device="here", board=self.reach()) as transport:
            transport._facts = self.facts_before
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
        return self.play(command, *begin(command), say(document), ["exit", code])

    def play(self, command, *acts):
        """Run a command on a board that does this; return the exit code, of an error too."""
        after = write_acts(self.folder / "after", *begin("status"), say(self.after))
        path = write_acts(self.folder / "acts", *acts)
        self.connection = Playback(path, status=after) if command == "rollback" else Playback(path)
        try:
            return self.run(command)
        except ToolchainError as error:
            return int(error.code)


def begin(command):
    """Return what an honest board does before it answers."""
    wanted = [["read offer"], say({"wanted": []})] if command == "install" else []
    return [say({"agent": "there"}), *wanted]


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
    answers["enroll"] = {"signers": [lab.signers.read_text().strip()], "replaced": []}
    answers["rollback"] = {**answers["install"], "replaced": OTHER}
    lab.facts_before, lab.after = {"onnxruntime": words.read_facts(answers["facts"])[0]}, answers["status"]
    return answers


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


def test_what_an_honest_board_measured_agrees_with_its_samples(lab, bundle_inputs, tmp_path):
    write_bundle(bundle_inputs(emulated=False), tmp_path / "measured")
    lab.bundle = tmp_path / "measured"
    # A machine that is busy is no liar: its verdict may be that nothing was measured, or that nothing is faster.
    assert lab.run("install") in (ExitCode.PROVEN, ExitCode.LATENCY, ExitCode.INVALID)


def test_a_board_that_tells_more_than_was_asked_for_is_believed_where_it_can_be_true(lab, honest):
    footprint = ("measurements", "record", "candidates", 0, "footprint")
    assert lab.answer("check", change(honest["check"], footprint, make_footprint())) == 0


@pytest.mark.parametrize(
    ("took", "text"),
    [
        (
            {"start_ms": 103.0, "peak_bytes": 80_000_000, "batch": 64},
            "103 ms from start to the first answer, 80.0 MB of memory at batch 64",
        ),
        ({"start_ms": 103.0}, "103 ms from start to the first answer"),
        *(({"start_ms": "\x1b[2J", "peak_bytes": 1.5, "batch": 1}, ""), ([5], ""), ("x", ""), (None, ""), ({}, "")),
    ],
)
def test_what_a_release_takes_is_shown_where_it_is_numbers(took, text):
    lines = [{"bundle_id": "a", "took": took}, {"bundle_id": "b", "took": {"start_ms": 1.0}}, {"bundle_id": "a"}, {}]
    assert shown.describe_took(lines, "a") == text


def test_there_are_eighty_lies_and_more():
    assert len(CHANGES) + len(JUNK) + len(WISHES) + len(PROGRESS) + len(SILENT) + len(ENDLESS) + len(SAYINGS) >= 80
    assert {code for *_, code in CHANGES} | {code for *_, code in SAYINGS.values()} <= ALLOWED


def test_what_makes_no_sense_is_malformed(lab, honest):
    for command in honest:
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


def test_an_answer_that_contradicts_itself_or_what_was_asked_is_refused(lab, honest):
    for command, path, value, return_code, expected in CHANGES:
        code = lab.answer(command, change(honest[command], path, value), return_code)
        assert code == expected, (command, path, value, code)


def test_a_board_gets_the_files_of_the_bundle_once_and_no_other(lab):
    for wanted in WISHES:
        code = lab.play("install", say({"agent": "there"}), ["read offer"], say({"wanted": wanted}))
        assert code == ExitCode.MALFORMED, wanted


def test_progress_that_nobody_makes_is_refused(lab, honest):
    good = [{"event": "progress", "step": "latency", "done": 1, "total": 2}, {"event": "alive"}, b"a warning \xff\n"]
    hello = say({"agent": "there"})
    assert lab.play("status", hello, say(*good, stream=2), say(honest["status"])) == 0
    for name, lines in PROGRESS.items():
        code = lab.play("status", hello, say(*lines, stream=2), say(honest["status"]))
        assert code == ExitCode.MALFORMED, (name, code)


HELLO, STATUS = say({"agent": "there"}), "the honest answer"
# What a board does in place of what an honest one does, of which command, and how the host ends.
SAYINGS = {
    "nothing": ("status", [], ExitCode.CONNECTION_LOST),
    "nothing, as if ssh had failed": ("status", [["exit", 255]], ExitCode.CONNECTION_LOST),
    "hello, and no answer": ("status", [HELLO], ExitCode.CONNECTION_LOST),
    "hello, and no answer, killed": ("status", [HELLO, ["exit", 137]], ExitCode.CONNECTION_LOST),
    "an empty answer": ("status", [HELLO, say(b"\n")], ExitCode.CONNECTION_LOST),
    "hello twice": ("status", [HELLO, HELLO, STATUS], ExitCode.MALFORMED),
    "another hello": ("status", [say({"agent": "perhaps"}), STATUS], ExitCode.MALFORMED),
    "a hello of a number": ("status", [say({"agent": 5}), STATUS], ExitCode.MALFORMED),
    "an answer with no line's end": ("status", [HELLO, say(b'{"exit_code": 0')], ExitCode.MALFORMED),
    "a word before the answer": ("status", [HELLO, say(b"ok\n"), STATUS], ExitCode.MALFORMED),
    "two answers": ("status", [HELLO, STATUS, STATUS], ExitCode.MALFORMED),
    "a word after the answer": ("status", [HELLO, STATUS, say(b"ok")], ExitCode.MALFORMED),
    "another exit code": ("status", [HELLO, STATUS, ["exit", 3]], ExitCode.MALFORMED),
    "as if ssh had failed": ("status", [HELLO, STATUS, ["exit", 255]], ExitCode.CONNECTION_LOST),
    "an error with another exit code": ("status", [HELLO, say(make_error(11)), ["exit", 12]], ExitCode.MALFORMED),
    "an error of nobody": ("status", [HELLO, say(make_error(1)), ["exit", 1]], ExitCode.MALFORMED),
    "an error of a host": ("status", [HELLO, say(make_error(16)), ["exit", 16]], ExitCode.MALFORMED),
    "an error of a book": (
        "status",
        [HELLO, say(make_error(11, what="x" * 10**6 * 2)), ["exit", 11]],
        ExitCode.MALFORMED,
    ),
    "code that is missing, and an answer": (
        "status",
        [say({"agent": "missing"}, {})],
        ExitCode.MALFORMED,
    ),
    "files before the offer": ("install", [say({"agent": "there"}, {"wanted": []})], ExitCode.MALFORMED),
    "an answer before the offer": ("install", [say({"agent": "there"}, {})], ExitCode.MALFORMED),
    "an answer in place of the files": ("install", [HELLO, ["read offer"], STATUS], ExitCode.MALFORMED),
    "files twice": ("install", [HELLO, ["read offer"], *[say({"wanted": []})] * 2], ExitCode.MALFORMED),
    "a line for the files that does not end": (
        "install",
        [HELLO, ["read offer"], say(b'{"wanted"')],
        ExitCode.MALFORMED,
    ),
    "no files, and no answer": ("install", [HELLO, ["read offer"], say({"wanted": []})], ExitCode.CONNECTION_LOST),
}


def test_a_board_that_does_not_keep_to_the_protocol_is_refused(lab, honest):
    for name, (command, acts, expected) in SAYINGS.items():
        code = lab.play(command, *(say(honest["status"]) if act is STATUS else act for act in acts))
        assert code == expected, (name, code)


ALIVE = '{"event": "alive"}\n'
# What ends within stall_s, but for signs of life that come as they should: those are believed for three times as long.
SILENT = {
    "nothing": [["wait", 60]],
    "hello": [HELLO, ["wait", 60]],
    "no end after the answer": [HELLO, STATUS, ["wait", 60]],
    "signs of life after the answer": [HELLO, STATUS, ["repeat", 2, ALIVE, 0.4]],
    "no stdout any more": [HELLO, ["close", 1], ["wait", 60]],
    "neither pipe any more": [HELLO, STATUS, ["close", 1], ["close", 2], ["wait", 60]],
    "an answer byte by byte": [HELLO, ["repeat", 1, "x", 0.05]],
    "stderr byte by byte": [HELLO, ["repeat", 2, "x", 0.05]],
    "signs of life": [HELLO, ["repeat", 2, ALIVE, 0.4]],
    "steps": [HELLO, ["repeat", 2, json.dumps(PROGRESS["signs of life at once"][0] | {"event": "x"}) + "\n", 0.2]],
}


def test_a_board_that_does_not_end_is_given_up_in_time(lab, honest):
    lab.stall_s = 1
    for name, acts in SILENT.items():
        start_s = time.monotonic()
        code = lab.play("status", *(say(honest["status"]) if act is STATUS else act for act in acts))
        assert code == ExitCode.CONNECTION_LOST, (name, code)
        assert time.monotonic() - start_s < 20, name  # three seconds, on a machine that is busy


BOMB = "[" + "[]," * 10_000_000 + "[]]\n"
# What would fill the host's memory.
ENDLESS = {
    "lines before hello": [["repeat", 1, "y\n" * 30_000, 0]],
    "no line's end before hello": [["repeat", 1, "y" * 60_000, 0]],
    "lines": [HELLO, ["repeat", 1, "y\n" * 30_000, 0]],
    "no line's end": [HELLO, ["repeat", 1, "0" * 60_000, 0]],
    "samples": [HELLO, ["say", 1, "["], ["repeat", 1, "0.001, " * 10_000, 0]],
    "lines of stderr": [HELLO, ["repeat", 2, "y\n" * 30_000, 0]],
    "no line's end of stderr": [HELLO, ["repeat", 2, "y" * 60_000, 0]],
    "signs of life": [HELLO, ["repeat", 2, ALIVE * 1000, 0]],
    "signs of life too often": [HELLO, ["repeat", 2, ALIVE, 0.01]],
    "steps": [HELLO, ["repeat", 2, json.dumps({"event": "progress", "step": "x", "done": 1, "total": 1}) + "\n", 0]],
    "empty lists": [HELLO, ["say", 1, BOMB]],
    "wide characters": [HELLO, ["say", 1, '"\\ud83d\\ude00' + "0" * 40_000_000 + '"\n']],
}
_HOST = """\
import json, resource, sys
from tests.deploy.lying_board import Playback, make_board
from toolchain.errors import ToolchainError

def read_peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before, ends = read_peak_bytes(), {}
for path in sys.argv[1:]:
    for command in ("status", "check"):
        try:
            with make_board(Playback(path)) as board:
                board.run(command)
            code = 0
        except ToolchainError as error:
            code = int(error.code)
        ends[f"{command} {path}"] = [code, read_peak_bytes() - before]
print(json.dumps(ends))
"""


def test_a_board_that_does_not_stop_talking_fills_no_memory(tmp_path):
    paths = [write_acts(tmp_path / name, *acts) for name, acts in ENDLESS.items()]
    command = [sys.executable, "-c", _HOST, *map(str, paths)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=300
    )
    for name, (code, grown_bytes) in json.loads(done.stdout).items():
        assert code == ExitCode.MALFORMED, (name, code)
        assert grown_bytes <= 200_000_000, (name, grown_bytes)
