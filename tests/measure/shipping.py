"""A bundle of which a deploy has proven a payload, made without one."""

from dataclasses import asdict

from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.judge import Shipped
from toolchain.deploy.pin import write_pin


def ship(bundle, index):
    """Say that the candidate at this place of the manifest is what ships; return its name."""
    manifest, bundle_id = read_manifest(bundle)
    candidate = manifest.candidates[index]
    entry = next(entry for entry in manifest.files if entry.path == candidate.path)
    write_pin(bundle, bundle_id, Shipped(**{**asdict(candidate), **asdict(entry)}))
    return manifest.names[index]
