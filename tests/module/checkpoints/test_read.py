"""What is no checkpoint, or more than one: refused with the reason, and nothing of it is run."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.checkpoints.read import read_checkpoint
from toolchain.run.progress import Progress


def read(path, folder):
    return read_checkpoint(path, folder, progress=Progress(stream=io.StringIO(), quiet=True))


@pytest.fixture
def refuse(tmp_path):
    """Return a function that returns the error for a path, or for a file of these bytes."""

    def run(content):
        path = content
        if isinstance(content, bytes):
            path = tmp_path / "best.ckpt"
            path.write_bytes(content)
        with pytest.raises(ToolchainError) as caught:
            read(path, tmp_path)
        assert caught.value.fix
        assert not list(tmp_path.glob("*.safetensors"))
        return caught.value

    return run


def save(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def zip_of(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def write_npz():
    file = io.BytesIO()
    np.savez(file, input=np.ones(3))
    return file.getvalue()


GOOD = save({"a.weight": torch.ones(64, 64)})
SCRIPT = io.BytesIO()

BROKEN = {
    "0 bytes": (b"", "0 bytes"),
    "truncated": (GOOD[: len(GOOD) // 2], ""),
    "truncated, of the old form": (save({"a": torch.ones(99)}, _use_new_zipfile_serialization=False)[:-100], ""),
    "text": (b"these are no weights", "begins with"),
    "TorchScript": (zip_of(net__code____torch__py="", net__data__pkl=""), "TorchScript"),
    "npz": (write_npz(), "a zip file of input.npy"),
    "a pickle of nothing": (b"\x80\x02N.", ""),
    "a list of tensors": (save([torch.ones(1)]), "list"),
    "no tensors at all": (save({"epoch": 3, "optimizer": {"state": {}, "param_groups": []}}), "epoch (int)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_holds_no_named_weights_is_exit_23(refuse, name):
    content, found = BROKEN[name]
    error = refuse(content)
    assert error.code is ExitCode.MALFORMED
    assert found in error.found
    assert "weights_only" not in str(error)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class TrapByClass:
    """Of a name that is put aside: what stands for it does nothing."""

    def __reduce__(self):
        return np.save, (self.path, np.ones(1))


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_is_refused_by_name_and_not_run(refuse, tmp_path, is_zip):
    trace = tmp_path / "trace"
    content = {"a.weight": torch.ones(1), "hook": Trap(str(trace))}
    error = refuse(save(content, _use_new_zipfile_serialization=is_zip))
    assert error.code is ExitCode.MALFORMED
    assert "would run code" in error.what
    assert "mkdir" in error.found
    assert not trace.exists()


def test_functions_of_a_package_that_is_put_aside_are_not_run_either(tmp_path):
    trap = TrapByClass()
    trap.path = str(tmp_path / "trace.npy")
    (tmp_path / "best.ckpt").write_bytes(save({"a.weight": torch.ones(1), "hook": trap}))
    found = read(tmp_path / "best.ckpt", tmp_path)
    assert [table.place for table in found.tables] == [""]
    assert found.left_out == ("hook",)
    assert not (tmp_path / "trace.npy").exists()


def test_a_whole_pickled_model_says_how_to_save_its_state_dict(refuse):
    error = refuse(save({"model": nn.Sequential(nn.Linear(2, 2))}))
    assert error.code is ExitCode.MALFORMED
    assert "whole pickled model" in error.what
    assert "torch.save(model.state_dict()" in error.fix


def test_another_pickle_than_torchs_is_refused(refuse):
    assert refuse(pickle.dumps(OrderedDict(a=1), protocol=5)).code is ExitCode.MALFORMED


@pytest.mark.parametrize("kind", ["folder", "pipe", "nothing", "unreadable"])
def test_what_is_no_file_is_exit_2(refuse, tmp_path, kind):
    path = tmp_path / "best.ckpt"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root reads every file")
        path.write_bytes(GOOD)
        path.chmod(0)
    assert refuse(path).code is ExitCode.USAGE


def test_a_tensor_that_declares_more_than_there_is_takes_no_memory(refuse):
    """The stride 0 makes one number a tensor of 16 GB, which a weights file would hold in full."""
    error = refuse(save({"a.weight": torch.ones(1).expand(1 << 32)}))
    assert error.code is ExitCode.MALFORMED
    assert "memory" in error.what


def test_what_lies_in_the_file_is_told_by_its_keys(tmp_path):
    content = {
        "epoch": 3,
        "net": {"a": torch.ones(1), 7: torch.ones(1)},
        "list": [torch.ones(1)],
        5: {"b": torch.ones(2)},
    }
    (tmp_path / "best.ckpt").write_bytes(save(content))
    found = read(tmp_path / "best.ckpt", tmp_path)
    assert [table.place for table in found.tables] == ["net", "5"]
    assert found.left_out == ("epoch (int)", "net/7 (a tensor without a name)", "list (list)")
