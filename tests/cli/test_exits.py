import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import typer

from toolchain.cli import exits
from toolchain.cli.exits import run_command
from toolchain.cli.outcome import report_errors
from toolchain.cli.places import Place
from toolchain.errors import ExitCode, ToolchainError, usage


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Return a function that runs a command which raises or returns something, and returns how it ended."""
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))

    def run_body(body, *arguments):
        app = typer.Typer(add_completion=False)

        @app.command()
        def command(as_json: bool = typer.Option(False, "--json"), count: int = typer.Option(1, min=1)):
            if callable(body):
                return body()
            if isinstance(body, BaseException):
                raise body
            return body

        @app.command()
        def other():
            pass

        monkeypatch.setattr(sys, "argv", ["toolchain", *(arguments or ["command"])])
        code = run_command(app)
        return (code, *capsys.readouterr())

    return run_body


def test_a_command_that_returns_nothing_succeeded(run):
    assert run(None) == (0, "", "")


def test_the_code_that_a_command_returns_is_the_exit_code(run):
    assert run(19) == (19, "", "")


@pytest.mark.parametrize("code", [code for code in ExitCode if code])
def test_an_error_ends_with_its_code_and_its_message(run, code):
    error = ToolchainError(code, "what", where="where", expected="this", found="that", fix="do so")
    assert run(error) == (int(code), "", f"{error}\n")


def test_an_error_is_one_json_document_where_that_was_asked_for(run):
    error = usage("what", where="where", expected="this", found="that", fix="do so")
    code, stdout, stderr = run(error, "command", "--json")
    assert (code, stderr) == (2, f"{error}\n")
    assert json.loads(stdout) == {"exit_code": 2, "error": error.to_dict()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["command", "--nope"], "usage: No such option: --nope\n"),
        (["command", "--count", "0"], "usage: Invalid value for '--count': "),
        (["command", "--count", "many"], "usage: Invalid value for '--count': "),
        (["nonsense"], "usage: No such command 'nonsense'"),
        (["command", "extra"], "usage: Got unexpected extra argument"),
    ],
)
def test_what_the_parser_refuses_is_exit_2_and_names_the_help(run, arguments, message):
    code, stdout, stderr = run(None, *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(message)
    assert stderr.endswith("--help\n")


def test_help_is_no_error(run):
    code, stdout, stderr = run(None, "--help")
    assert (code, stderr) == (0, "")
    assert "command" in stdout


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interrupt_is_exit_130_in_one_line(run, error):
    code, stdout, stderr = run(error)
    assert (code, stdout) == (130, "")
    assert stderr == "interrupted: what was finished is kept; the same command goes on from there\n"


def interrupt_and_swallow():
    """Do what a library does that imports another one in a bare try."""
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_that_a_library_swallowed_is_exit_130_and_not_the_error_that_came_of_it(run):
    def body():
        interrupt_and_swallow()
        raise usage("the module cannot be exported", fix="rewrite it")

    code, stdout, stderr = run(body)
    assert (code, stdout) == (130, "")
    assert stderr == "interrupted: what was finished is kept; the same command goes on from there\n"


def test_a_command_that_succeeded_in_spite_of_an_interrupt_succeeded(run):
    assert run(interrupt_and_swallow) == (0, "", "")


def test_interrupts_are_pythons_own_again_after_a_command(run):
    before = signal.getsignal(signal.SIGINT)
    run(None)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_disk_that_takes_nothing_is_exit_14(run, number):
    code, _, stderr = run(OSError(number, "No room", "dist/file"))
    assert code == 14
    assert stderr.startswith("storage: cannot write dist/file\n  found No room\n  fix: ")


def test_a_module_that_is_not_installed_is_exit_3(run):
    code, _, stderr = run(ModuleNotFoundError("No module named 'onnxsim'", name="onnxsim"))
    assert code == 3
    assert stderr.startswith("missing: the Python module onnxsim is not installed\n")
    assert "pip install 'edge-toolchain[build]'" in stderr


@pytest.mark.parametrize(
    "error",
    [
        KeyError("depth"),
        OSError(errno.EMFILE, "Too many open files"),
        ModuleNotFoundError("No module named 'toolchain.gone'", name="toolchain.gone"),
        RuntimeError("the first line\nmore of it\n\nTraceback of another program"),
        ValueError(),
    ],
)
def test_what_nobody_foresaw_is_exit_1_in_three_lines_and_its_traceback_a_file(run, tmp_path, error):
    code, stdout, stderr = run(error)
    path = tmp_path / "cache" / "traceback.txt"
    first, second, third = stderr.splitlines()
    assert (code, stdout) == (1, "")
    assert first.startswith(f"unexpected error: {type(error).__name__}")
    assert second == f"  the traceback is in {path}"
    assert third == "  fix: report it with that file"
    assert "in command" in path.read_text()


@pytest.mark.parametrize("code", [0, None, 18])
def test_an_end_in_code_that_a_command_was_given_is_never_its_success_nor_its_verdict(run, code):
    result, _, err = run(SystemExit(code))
    assert result == ExitCode.UNEXPECTED
    assert "SystemExit" in err


def test_a_traceback_that_cannot_be_kept_hides_nothing(run, tmp_path):
    (tmp_path / "cache").write_text("a file in its place")
    code, _, stderr = run(KeyError("depth"))
    assert code == 1
    assert stderr.startswith("unexpected error: KeyError: 'depth'\n  the traceback could not be kept in ")


def start_command(body, *, closed, environment):
    """Return how a process ended that runs a command with these of its standard streams closed, as `>&-` leaves them."""
    program = (
        "import sys, typer\nfrom toolchain.cli.exits import run_command\napp = typer.Typer(add_completion=False)\n"
    )
    program += f"@app.command()\ndef command():\n    {body}\nsys.exit(run_command(app))\n"
    words = [sys.executable, "-c", program]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words], env=environment, check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_whose_streams_are_closed_ends_as_any_other(tmp_path, closed):
    """As a service's may be; `os.open` would else make a file of ours its stdout, and `sys.stdout` is None."""
    body = "sys.stdout.write('said'); sys.stderr.flush(); assert open('/dev/null').fileno() > 2; return 19"
    done = start_command(body, closed=closed, environment={**os.environ, "TOOLCHAIN_CACHE": str(tmp_path)})
    assert done.returncode == 19
    assert done.stdout == ("said" if ">&-" not in closed.split() else "")


@pytest.mark.parametrize(("words", "code"), [(["command", "--help"], 0), (["command"], 1)])
def test_help_that_nobody_reads_is_no_error_and_any_other_end_of_a_pipe_is_one(tmp_path, words, code):
    body = "import rich.console; rich.console.Console().print('said')"
    program = (
        "import sys, typer\nfrom toolchain.cli.exits import run_command\napp = typer.Typer(add_completion=False)\n"
        f"@app.command()\ndef command():\n    {body}\n@app.command()\ndef other():\n    pass\nsys.exit(run_command(app))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "TOOLCHAIN_CACHE": str(tmp_path)},
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode == code
    assert ("SystemExit" in done.stderr) is (code != 0)


def test_what_nobody_foresaw_is_a_message_where_its_traceback_cannot_be_kept(run, monkeypatch):
    def refuse():
        raise usage("the user has no home folder", fix="set HOME")

    monkeypatch.setattr(exits, "cache_root", refuse)
    code, stdout, stderr = run(KeyError("depth"))
    assert (code, stdout) == (1, "")
    assert "the traceback could not be kept: the user has no home folder" in stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110 - at import
def test_a_failure_that_stdout_has_no_room_for_keeps_its_code(run, monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        code, _, err = run(usage("nothing fits", fix="make room"), "command", "--json")
    assert code == ExitCode.USAGE
    assert "Traceback" not in err


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_an_interrupt_that_a_library_swallows_leaves_no_report_of_what_failed_after_it(run, tmp_path, is_interrupted):
    place = Place(folder=tmp_path / "out", model="tiny", target="cpu", may_be_made=True)

    def deploy():
        with report_errors(place):
            with suppress(KeyboardInterrupt):
                if is_interrupted:
                    signal.raise_signal(signal.SIGINT)
            place.folder.mkdir(exist_ok=True)
            (place.folder / "report.json").write_text("of the flow itself")
            raise usage("a library is half imported", fix="none")

    assert run(deploy)[0] == (130 if is_interrupted else ExitCode.USAGE)
    assert (place.folder / "report.json").exists() is not is_interrupted
