import dataclasses
import hashlib
import json
import os

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.tensorrt.engine import Built
from toolchain.agent.measure.tensorrt.engine_cache import EngineCache, EngineKey, find_root

KEY = EngineKey(
    bundle_id="b" * 64,
    payload="int8.onnx",
    payload_sha256="c" * 64,
    tensorrt="10.3.0",
    gpu="Orin",
    architecture="sm_87",
    power_mode="MAXN",
    options="{}",
)


class Builder:
    """Builds other bytes each time, as TensorRT does."""

    def __init__(self):
        self.timing_caches = []

    def __call__(self, timing_cache):
        self.timing_caches.append(timing_cache)
        number = str(len(self.timing_caches)).encode()
        return Built(engine=b"engine " + number, timing_cache=b"t" + number, build_s=1.23456, gpu_fallback=("Gemm",))


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path)


@pytest.fixture
def build():
    return Builder()


def open_again(cache):
    def never(_):
        raise AssertionError("nothing may be built")

    return cache.open(KEY, never)


def assert_refused(code, call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def test_an_engine_is_built_once_and_pinned(cache, build, tmp_path):
    data, pin, reused = cache.open(KEY, build)
    assert (data, reused) == (b"engine 1", False)
    assert pin.sha256 == hashlib.sha256(data).hexdigest()
    assert (pin.size_bytes, pin.build_s, pin.gpu_fallback) == (8, 1.235, ("Gemm",))
    assert open_again(EngineCache(tmp_path)) == (data, pin, True)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineKey)])
def test_another_bundle_version_gpu_or_power_mode_gets_an_engine_of_its_own(cache, build, field):
    cache.open(KEY, build)
    data, _, reused = cache.open(dataclasses.replace(KEY, **{field: "another"}), build)
    assert (data, reused) == (b"engine 2", False)
    assert open_again(cache)[0] == b"engine 1"


def test_an_unknown_power_mode_is_a_key_too(cache, build):
    key = dataclasses.replace(KEY, power_mode=None)
    cache.open(key, build)
    assert cache.open(key, build)[2]


def test_the_timing_cache_is_kept_for_the_next_build(cache, build):
    cache.open(KEY, build)
    cache.open(dataclasses.replace(KEY, payload="fp16.onnx"), build)
    assert build.timing_caches == [b"", b"t1"]


def test_a_timing_cache_of_another_version_is_not_used(cache, build):
    cache.open(KEY, build)
    cache.open(dataclasses.replace(KEY, tensorrt="10.7.0"), build)
    assert build.timing_caches == [b"", b""]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"engine X"),
        lambda path: path.write_bytes(b"engine"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"engine 1 and more"),
        lambda path: path.unlink(),
    ],
    ids=["altered", "truncated", "empty", "extended", "removed"],
)
def test_an_engine_that_is_not_the_pinned_one_is_refused_and_not_built_again(cache, build, damage):
    cache.open(KEY, build)
    damage(cache.find_path(KEY))
    for _ in range(2):
        error = assert_refused(ExitCode.CONTENT, lambda: open_again(cache))
    assert str(cache.find_path(KEY)) == error.where


def test_a_link_in_the_place_of_an_engine_is_refused_whatever_it_leads_to(cache, build, tmp_path):
    cache.open(KEY, build)
    path = cache.find_path(KEY)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert_refused(ExitCode.CONTENT, lambda: open_again(cache))


def test_a_pipe_in_the_place_of_an_engine_is_refused_and_not_waited_for(cache, build):
    cache.open(KEY, build)
    cache.find_path(KEY).unlink()
    os.mkfifo(cache.find_path(KEY))
    assert_refused(ExitCode.CONTENT, lambda: open_again(cache))


def test_an_engine_without_a_pin_is_never_opened(cache, build):
    cache.open(KEY, build)
    path = cache.find_path(KEY)
    (path.parents[1] / "engines.json").unlink()
    path.write_bytes(b"planted")
    assert cache.open(KEY, build)[0] == b"engine 2"
    assert path.read_bytes() == b"engine 2"


def change_pins(tmp_path, change):
    path = tmp_path / "engines.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(("name", "value"), [("tensorrt", "11.4.0"), ("architecture", "sm_110"), ("gpu", "Thor")])
def test_a_pin_that_says_another_version_or_gpu_is_incompatible(cache, build, tmp_path, name, value):
    cache.open(KEY, build)
    change_pins(tmp_path, lambda document: document["engines"][KEY.digest()]["key"].update({name: value}))
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: open_again(cache))
    assert error.where.endswith(f": {name}")
    assert (error.expected, error.found) == (getattr(KEY, name), value)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(schema=2),
        lambda document: document.pop("engines"),
        lambda document: document.update(more=1),
        lambda document: document["engines"][KEY.digest()].pop("sha256"),
        lambda document: document["engines"][KEY.digest()].update(size_bytes="8"),
    ],
    ids=["schema", "missing", "unknown", "no sha256", "wrong type"],
)
def test_pins_that_cannot_be_read_are_refused(cache, build, tmp_path, change):
    cache.open(KEY, build)
    change_pins(tmp_path, change)
    assert_refused(ExitCode.MALFORMED, lambda: open_again(cache))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_pins_that_are_no_json_are_refused(cache, build, tmp_path, data):
    cache.open(KEY, build)
    (tmp_path / "engines.json").write_bytes(data)
    assert_refused(ExitCode.MALFORMED, lambda: open_again(cache))


def test_a_build_that_fails_leaves_nothing(cache, tmp_path):
    def fail(_):
        raise ToolchainError(ExitCode.INCOMPATIBLE, "no memory", fix="more")

    assert_refused(ExitCode.INCOMPATIBLE, lambda: cache.open(KEY, fail))
    assert list(tmp_path.iterdir()) == []


OTHER = dataclasses.replace(KEY, bundle_id="d" * 64)


def list_engines(tmp_path):
    return {path.stem for path in (tmp_path / "engines").glob("*.engine")}


def test_the_engines_of_bundles_that_are_gone_go_and_those_that_stay_are_still_pinned(cache, build, tmp_path):
    cache.open(KEY, build)
    cache.open(OTHER, build)
    cache.prune([KEY.bundle_id])
    assert list_engines(tmp_path) == {KEY.digest()}
    assert open_again(cache)[2]
    assert not cache.open(OTHER, build)[2]  # built anew, as what was never there
    cache.prune([KEY.bundle_id, OTHER.bundle_id])
    assert list_engines(tmp_path) == {KEY.digest(), OTHER.digest()}


def test_an_engine_that_a_power_cut_left_without_its_pin_goes_too(cache, build, tmp_path):
    cache.open(KEY, build)
    (tmp_path / "engines/left.engine").write_bytes(b"left")
    cache.prune([KEY.bundle_id])
    assert list_engines(tmp_path) == {KEY.digest()}


def test_nothing_is_pruned_where_the_pins_cannot_be_read_or_there_are_no_engines(cache, build, tmp_path):
    cache.prune([])
    assert list(tmp_path.iterdir()) == []
    cache.open(KEY, build)
    (tmp_path / "engines.json").write_bytes(b"{")
    cache.prune([])
    assert list_engines(tmp_path) == {KEY.digest()}


@pytest.mark.parametrize("name", ["engines.json", "timing"])
@pytest.mark.parametrize("kind", ["FIFO", "link"])
def test_a_pipe_or_link_in_the_place_of_a_record_is_not_waited_for_or_followed(cache, build, tmp_path, name, kind):
    cache.open(KEY, build)
    path = tmp_path / name if name == "engines.json" else next((tmp_path / "engines").glob("timing-*"))
    (tmp_path / "canary").write_bytes(path.read_bytes())
    path.unlink()
    if kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "canary")
    if name == "engines.json":
        assert f"a {kind}" in assert_refused(ExitCode.MALFORMED, lambda: open_again(cache)).found
    else:
        cache.open(OTHER, build)
        assert build.timing_caches == [b"", b""]
        assert (tmp_path / "canary").read_bytes() == b"t1"


def test_only_their_owner_can_read_the_engines(cache, build, tmp_path):
    cache.open(KEY, build)
    assert (tmp_path / "engines").stat().st_mode & 0o077 == 0
    assert cache.find_path(KEY).stat().st_mode & 0o077 == 0


def test_the_engines_of_a_release_lie_beside_the_releases_and_others_in_the_users_cache(tmp_path, monkeypatch):
    release = tmp_path / "root" / "releases" / ("a" * 64)
    release.mkdir(parents=True)
    assert find_root(release) == tmp_path / "root"
    monkeypatch.chdir(release)
    assert find_root(type(release)()) == tmp_path / "root"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_root(tmp_path / "bundle") == tmp_path / "cache" / "edge-toolchain"
