import dataclasses

from tests.made_record import make_manifest
from toolchain.agent.manifest import FileEntry
from toolchain.deploy.agent_limits import find_limits
from toolchain.run.confine.limits import read_machine_bytes

MACHINE_BYTES = read_machine_bytes()


def by(runtime, threads=(1,)):
    """Return the manifest with its candidates opened by another runtime, on these numbers of threads."""
    made = make_manifest()
    candidates = [
        dataclasses.replace(each, runtime=runtime, threads=count) for each in made.candidates for count in threads
    ]
    return dataclasses.replace(made, candidates=tuple(candidates))


def resize(manifest, path, size_bytes):
    files = [entry if entry.path != path else FileEntry(path, size_bytes, entry.sha256) for entry in manifest.files]
    return dataclasses.replace(manifest, files=tuple(files))


def test_a_small_bundle_takes_less_than_a_gigabyte_and_a_minute():
    limits = find_limits(make_manifest())
    assert limits.memory_bytes <= max(2**30, 0.75 * MACHINE_BYTES)
    assert 10 <= limits.step_cpu_s < 20
    assert limits.step_wall_s > limits.step_cpu_s


def test_larger_payloads_and_larger_samples_may_take_more():
    manifest = make_manifest()
    base = find_limits(manifest)
    for path in (manifest.candidates[0].path, next(iter(manifest.golden.inputs.values()))):
        larger = find_limits(resize(manifest, path, 2**26))
        assert larger.memory_bytes > base.memory_bytes
        assert larger.step_cpu_s > base.step_cpu_s


def test_whatever_a_bundle_says_of_its_size_the_machine_keeps_a_part_of_its_memory():
    manifest = make_manifest()
    assert find_limits(resize(manifest, manifest.candidates[0].path, 2**40)).memory_bytes < 0.8 * MACHINE_BYTES


def test_a_runtime_that_builds_engines_has_the_time_of_a_build():
    limits = find_limits(by("tensorrt"))
    assert limits.step_cpu_s > 900


def test_a_runtime_that_nobody_knows_has_limits_too():
    assert find_limits(by("none")).step_cpu_s < 100
