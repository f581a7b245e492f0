"""A board in a folder: the commands of its agent, and what must hold of its disk after any end of them."""

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.agent.host import Answer, Host
from tests.agent.quick_bundle import compute_sha256
from tests.native_board import AGENT_PYTHON


def choose_module(options):
    """Return the module of the board's command, or of the one that goes wrong on purpose."""
    return "tests.agent.faults" if "--fault" in options else "toolchain.agent.install"


class Board:
    """A board's ROOT, and the commands of its agent."""

    def __init__(self, root, environment):
        self.root = root
        self.environment = environment
        self.options = ("--limit-s", "20")

    @staticmethod
    def wait_until_stopped(host):
        found = os.waitid(os.P_PID, host.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert found.si_code == os.CLD_STOPPED, "the agent ended instead of stopping where it was told to"

    def start(self, *options, prefix=()):
        """Start an `install` and return its host's end."""
        return self.start_command("install", *options, prefix=prefix)

    def start_command(self, name, *options, prefix=()):
        command = [*prefix, AGENT_PYTHON, "-m", choose_module(options), name, "--root", self.root]
        command += ["--who", "test", *self.options, *options]
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 - Host closes it
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=self.environment
        )
        return Host(process, stderr)

    def install(self, bundle, *options, send=None, limit_bytes=None, prefix=()):
        """Run an `install` from offer to end; `send` is the bundle whose bytes come in place of the offered one's."""
        host = self.start(*options, prefix=prefix)
        host.offer(bundle)
        host.send(send or bundle, limit_bytes)
        return host.finish()

    def install_with_change(self, bundle, place, change, *options):
        """Run an `install`, and change something on the board while the agent is stopped at a place."""
        host = self.start("--fault", f"{place}:stop", *options)
        host.offer(bundle)
        host.send(bundle)
        self.wait_until_stopped(host)
        try:
            change()
        finally:
            host.resume()
            answer = host.finish()
        return answer

    def run(self, command, *options):
        arguments = [AGENT_PYTHON, "-m", choose_module(options), command, "--root", self.root, *options]
        done = subprocess.run(
            list(map(str, arguments)), capture_output=True, text=True, env=self.environment, check=False
        )
        return Answer(done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr)

    def rollback(self, *options):
        return self.run("rollback", "--who", "test", *self.options, *options)

    def read_link(self, name):
        path = self.root / name
        return path.readlink().name if path.is_symlink() else None

    @property
    def current(self):
        return self.read_link("current")

    @property
    def previous(self):
        return self.read_link("previous")

    @property
    def state_bytes(self):
        path = self.root / "state.json"
        return path.read_bytes() if path.exists() else None

    @property
    def state(self):
        return json.loads(self.state_bytes)

    @property
    def log(self):
        return [json.loads(line) for line in (self.root / "log.jsonl").read_text().splitlines()]

    def list_staged(self):
        return sorted(path.name for path in (self.root / "staging").iterdir())

    def list_releases(self):
        return sorted(path.name for path in (self.root / "releases").iterdir())

    def assert_release_is_whole(self, bundle_id):
        """Hash a release against its own manifest and name, without any code of the agent."""
        folder = self.root / "releases" / bundle_id
        data = (folder / "manifest.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == bundle_id
        listed = {entry["path"]: entry["sha256"] for entry in json.loads(data)["files"]}
        found = {}
        for path in folder.rglob("*"):
            assert path.is_dir() or path.is_file()
            name = path.relative_to(folder).as_posix()
            if name == "shipped":  # the one link, to the folder of a payload
                assert path.readlink().parts[0] == "payload"
                continue
            assert not path.is_symlink()
            if path.is_file() and name not in ("manifest.json", "manifest.json.sig"):
                found[name] = compute_sha256(path)
        assert found == listed

    def assert_invariant(self, *allowed):
        """Old or new is active, and whole; nothing partial or unverified is visible; the log has whole lines only."""
        assert self.current in allowed
        if self.current is not None:
            self.assert_release_is_whole(self.current)
        if self.previous is not None:
            self.assert_release_is_whole(self.previous)
        for bundle_id in self.list_releases() if (self.root / "releases").exists() else ():
            self.assert_release_is_whole(bundle_id)
        if (self.root / "log.jsonl").exists():
            assert all(line["who"] == "test" for line in self.log)

    def assert_settled(self, current, previous):
        """Nothing is left of any fault: links, state, releases and staging say the same."""
        self.assert_invariant(current)
        assert self.previous == previous
        assert (self.state["current"], self.state["previous"]) == (current, previous)
        assert sorted(self.state["proven"]) == self.list_releases()
        assert self.list_staged() == []
        assert {path.name for path in self.root.iterdir()} <= {
            *("lock", "log.jsonl", "state.json", "allowed_signers", "revoked_keys"),
            *("staging", "releases", "verdicts", "current", "previous"),
        }
        self.assert_verdicts_are_settled()

    def read_verdict(self, bundle_id):
        return json.loads((self.root / "verdicts" / f"{bundle_id}.json").read_text())

    def assert_verdicts_are_settled(self):
        """Every release has a verdict about itself, and its link leads to what the verdict names; the state agrees."""
        assert sorted(path.stem for path in (self.root / "verdicts").iterdir()) == self.list_releases()
        for bundle_id in self.list_releases():
            verdict, folder = self.read_verdict(bundle_id), self.root / "releases" / bundle_id
            assert verdict["bundle_id"] == bundle_id
            payload = folder / verdict["shipped"]["path"]
            assert compute_sha256(payload) == verdict["shipped"]["sha256"]
            assert (folder / "shipped").readlink() == Path(verdict["shipped"]["path"]).parent
            assert [item.samefile(payload) for item in (folder / "shipped").iterdir()] == [True]
        if self.current is not None:
            shipped = self.read_verdict(self.current)["shipped"]
            active = self.state["active"]
            assert (active["precision"], active["payload"], active["sha256"]) == (
                *(shipped["precision"], shipped["path"], shipped["sha256"]),
            )
