"""Who runs what on a host: its own agent, in an environment by list, within limits."""

import os
import signal
import textwrap
import time
from pathlib import Path

import pytest

from toolchain.deploy import own_agent
from toolchain.deploy.agent_limits import AgentLimits
from toolchain.deploy.own_agent import ENVIRONMENT, run_agent
from toolchain.errors import ExitCode, ToolchainError

LIMITS = AgentLimits(memory_bytes=300 * 2**20, step_cpu_s=60, step_wall_s=60)


def ignore_progress(step, done, total):
    pass


@pytest.fixture
def run_fake_agent(monkeypatch):
    """Return a function that runs a program in our agent's place."""

    def run(source, on_progress=ignore_progress, **limits):
        monkeypatch.setattr(own_agent, "_START", textwrap.dedent(source))
        return run_agent(["verify", "."], on_progress, limits=AgentLimits(**{**vars(LIMITS), **limits}), where="bundle")

    return run


def assert_refused(run, source, found, **limits):
    with pytest.raises(ToolchainError) as caught:
        run(source, **limits)
    assert (caught.value.code, caught.value.where) == (ExitCode.MALFORMED, "bundle")
    assert found in caught.value.found
    return caught.value


def test_the_agent_gets_the_environment_of_a_list_and_no_secret(run_fake_agent, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LD_PRELOAD", "/none.so")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/runtime/lib")
    said = run_fake_agent("import json, os; print(json.dumps({'exit_code': 0, 'environment': dict(os.environ)}))")
    environment = said.document["environment"]
    assert environment["LD_LIBRARY_PATH"] == "/opt/runtime/lib"  # what a runtime needs does come
    assert set(environment) - {"LC_CTYPE"} <= {*ENVIRONMENT}  # Python itself sets LC_CTYPE (PEP 538)


def test_the_agent_imports_from_no_folder_of_the_users(run_fake_agent, monkeypatch, tmp_path):
    for name in ("sitecustomize", "usercustomize", "json", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this must not run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    source = "import json, sys, os; print(json.dumps({'exit_code': 0, 'path': sys.path, 'folder': os.getcwd()}))"
    said = run_fake_agent(source).document
    assert str(tmp_path) not in said["path"]
    assert "" not in said["path"]
    assert said["folder"] != str(tmp_path)


def test_the_agent_is_the_toolchains_that_runs_here(monkeypatch, tmp_path):
    package = tmp_path / "toolchain/agent"
    package.mkdir(parents=True)
    for path in (package.parent, package):
        (path / "__init__.py").write_text("")
    (package / "__main__.py").write_text("raise SystemExit('another toolchain')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToolchainError) as caught:
        run_agent(["verify", "/none"], ignore_progress, limits=LIMITS)
    assert caught.value.what == "there is no bundle folder /none"


def test_an_agent_that_is_killed_is_exit_1_with_the_signal(run_fake_agent):
    with pytest.raises(ToolchainError, match="did not finish") as caught:
        run_fake_agent("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert caught.value.code == ExitCode.UNEXPECTED
    assert "SIGKILL" in caught.value.found


def test_an_agent_whose_runtime_crashed_is_exit_23_with_the_signal(run_fake_agent):
    assert_refused(run_fake_agent, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV")


def test_an_agent_that_takes_too_much_memory_is_ended(run_fake_agent):
    source = "print('{\"exit_code\": 0}'); block = b'x' * (500 << 20); import time; time.sleep(60)"
    assert "300 MB" in assert_refused(run_fake_agent, source, " MB").expected
    assert run_fake_agent(source.replace("500", "100").replace("60", "0.2")).exit_code == 0


def test_what_an_agent_started_takes_memory_in_its_place(run_fake_agent):
    inner = "block = b'x' * (500 << 20); import time; time.sleep(60)"
    source = f"import subprocess, sys; print('{{}}'); subprocess.run([sys.executable, '-c', {inner!r}])"
    assert "300 MB" in assert_refused(run_fake_agent, source, " MB").expected


def test_an_agent_that_computes_without_end_is_ended(run_fake_agent):
    assert_refused(run_fake_agent, "while True: pass", "no end", step_cpu_s=0.5)


def test_an_agent_that_waits_without_end_is_ended(run_fake_agent):
    assert_refused(run_fake_agent, "import time; time.sleep(600)", "no end", step_wall_s=0.5)


def test_an_agent_that_goes_on_is_not_ended_however_long_it_takes(run_fake_agent):
    source = """
        import sys, time
        for number in range(8):
            time.sleep(0.25)
            print('{"step": "x", "done": 1, "total": 8}', file=sys.stderr, flush=True)
        print('{"exit_code": 0}')
    """
    assert run_fake_agent(source, step_wall_s=1).exit_code == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_agent_that_talks_without_end_is_ended(run_fake_agent, stream):
    source = f"import sys\nwhile True: sys.{stream}.write('x' * 100_000)"
    assert_refused(run_fake_agent, source, "", step_cpu_s=3)


def test_what_an_agent_left_running_ends_with_it(run_fake_agent, tmp_path):
    marker = tmp_path / "pid"
    source = f"""
        import subprocess
        child = subprocess.Popen(["sleep", "600"], stderr=subprocess.DEVNULL)
        open({str(marker)!r}, "w").write(str(child.pid))
        print('{{"exit_code": 0}}')
    """
    assert run_fake_agent(source).exit_code == 0
    assert_gone(int(marker.read_text()))


def test_an_agent_ends_with_a_command_that_is_killed(tmp_path):
    marker = tmp_path / "pid"
    start = own_agent._START.splitlines()[2]
    assert "prctl" in start
    child = os.fork()
    if child == 0:
        fake = f"import os, ctypes, signal, time\n{start}\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
        own_agent._START = fake
        try:
            run_agent([], ignore_progress, limits=LIMITS)
        finally:
            os._exit(1)
    while not (marker.exists() and marker.read_text()):
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert_gone(int(marker.read_text()))


def assert_gone(pid):
    """Whoever inherits it may not have waited for it yet: a zombie runs no more."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.05)
    pytest.fail(f"the process {pid} is still there")


def test_an_agent_does_not_outlive_the_deploy_that_started_it(run_fake_agent, tmp_path):
    marker = tmp_path / "pid"

    def interrupt(step, done, total):
        raise KeyboardInterrupt

    source = f"""
        import os, sys, time
        open({str(marker)!r}, "w").write(str(os.getpid()))
        print('{{"step": "x", "done": 1, "total": 2}}', file=sys.stderr, flush=True)
        time.sleep(600)
    """
    with pytest.raises(KeyboardInterrupt):
        run_fake_agent(source, interrupt)
    assert_gone(int(marker.read_text()))
