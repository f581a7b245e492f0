"""What was installed with `pip install --user` is found by an isolated Python, if nobody else can change it."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

# The real Python: a venv without the system's packages has no user site.
PYTHON = str(Path(sys.executable).resolve())
ASK = """\
import json, sys
sys.path.insert(0, sys.argv.pop(1))
from toolchain.agent.errors import ToolchainError
from toolchain.agent.install.sites import add_sites
before = list(sys.path)
try:
    add_sites()
    added = [path for path in sys.path if path not in before]
    import site
    order = [path for path in sys.path if path in (*added, *site.getsitepackages(), json.__path__[0].rpartition("/")[0])]
    print(json.dumps({"added": added, "order": order}))
except ToolchainError as error:
    print(json.dumps({"error": error.to_dict()}))
"""


@pytest.fixture
def home(tmp_path):
    """Return a home folder with a user site, in which a module, a .pth file and a sitecustomize leave a mark."""
    home = tmp_path / "home"
    site = home / f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    for path in [home, *home.rglob("*")]:
        path.chmod(0o755)
    (site / "runtime_of_user.py").write_text("")
    mark = f"import pathlib; pathlib.Path({str(tmp_path / 'mark')!r}).touch()\n"
    (site / "user.pth").write_text(mark)
    (site / "sitecustomize.py").write_text(mark)
    (site / "usercustomize.py").write_text(mark)
    return home


def find_site(home):
    return next(home.glob(".local/lib/*/site-packages"))


def ask(home, *flags, python=PYTHON, **environment):
    command = [python, *(flags or ("-I",)), "-B", "-c", ASK, str(Path(__file__).parents[3])]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**kept, "HOME": str(home), **environment}, check=True, cwd=home
    )
    return json.loads(done.stdout)


def test_it_comes_after_pythons_own_library_and_before_the_systems_packages_and_nothing_there_runs(home, tmp_path):
    site = str(find_site(home))
    found = ask(home)
    assert found["added"] == [site]
    assert found["order"].index(site) == 1
    assert len(found["order"]) > 2
    assert not (tmp_path / "mark").exists()


def test_the_check_of_that_check_a_python_that_is_not_isolated_runs_it(home, tmp_path):
    ask(home, "-E")
    assert (tmp_path / "mark").exists()


def test_one_that_is_not_isolated_is_left_as_it_is(home):
    assert ask(home, "-E")["added"] == []


def test_nothing_is_added_where_there_is_none_or_nobody_wants_it(home, tmp_path):
    (tmp_path / "empty").mkdir()
    assert ask(tmp_path / "empty")["added"] == []
    assert ask(home, PYTHONNOUSERSITE="1")["added"] == []
    assert ask(home, "-I", "-S")["added"] == []


@pytest.mark.parametrize("folder", ["site", "lib", "home"])
def test_one_that_others_can_change_is_refused(home, folder):
    path = {"site": find_site(home), "lib": home / ".local/lib", "home": home}[folder]
    path.chmod(0o777)
    error = ask(home)["error"]
    assert (error["code"], error["where"]) == (14, str(path))
    assert f"chmod go-w {path}" in error["fix"]


@pytest.mark.parametrize("is_open", [False, True])
def test_a_venv_has_it_only_with_the_systems_packages(home, tmp_path, is_open):
    venv.EnvBuilder(system_site_packages=is_open, symlinks=True).create(tmp_path / "venv")
    found = ask(home, python=str(tmp_path / "venv/bin/python"))
    assert found["added"] == ([str(find_site(home))] if is_open else [])
