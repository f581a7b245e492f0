"""Gets the headers of ONNX Runtime's C API, which Python's package does not have: python app/cpp/headers.py FOLDER.

Debian 13 and newer have them as libonnxruntime-dev. Elsewhere they are taken from a package of npm that carries Microsoft's
own, unchanged, for another platform; what comes is held against the hashes below.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

_PACKAGE = "com.github.asus4.onnxruntime@0.4.9"
_INSIDE = "ios-arm64_x86_64-simulator/onnxruntime.framework/Headers/"
# ORT_API_VERSION 29; the application asks for an older one (kApiVersion), so that older libraries do as well.
_SHA256 = {
    "onnxruntime_c_api.h": "acc0cf4b3f28d39339c76770d76164bb7a0637dc89f5fde764b4017b632f6743",
    "onnxruntime_ep_c_api.h": "e6c986c9e98583f8113b2c6bc3864814883b806d501cf24da4d239c45753e235",
    "onnxruntime_error_code.h": "5ce3b054e798eced8d14f5b86e98692fd33470463f96194ce0700a2d53dd8721",
}


def fetch_headers(folder: Path) -> None:
    """Write the headers into a folder; raises ValueError where they are others than expected."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", name, _PACKAGE], check=True, stdout=sys.stderr)
        (archive,) = Path(name).glob("*.tgz")
        found = {}
        with tarfile.open(archive) as files:
            for member in files:
                header = member.name.rpartition("/")[2]
                if _INSIDE in member.name and header in _SHA256:
                    content = files.extractfile(member)
                    found[header] = b"" if content is None else content.read()
    for header, sha256 in _SHA256.items():
        if hashlib.sha256(found.get(header, b"")).hexdigest() != sha256:
            message = f"{header} of {_PACKAGE} is not the one that was looked at: expected sha256 {sha256}"
            raise ValueError(message)
    folder.mkdir(parents=True, exist_ok=True)
    for header, data in found.items():
        (folder / header).write_bytes(data)


if __name__ == "__main__":
    fetch_headers(Path(sys.argv[1]))
