"""The lies that a board tells, as data: what each says in place of the truth, and how the host ends."""

from toolchain.errors import ExitCode

OTHER = "0" * 64
NOTHING = object()
FIELDS = {"where": None, "expected": None, "found": None, "fix": None}
CONTENT, LOST, INVALID, MALFORMED = (
    *(ExitCode.CONTENT, ExitCode.CONNECTION_LOST),
    *(ExitCode.INVALID, ExitCode.MALFORMED),
)
ALLOWED = {CONTENT, LOST, INVALID, MALFORMED}


def make_error(code, **changes):
    return {"error": {"code": code, "what": "x", **FIELDS, **changes}}


def nest(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


# What comes in place of the whole answer.
JUNK = [
    *(b"[]\n", b"5\n", b"null\n", b'"x"\n', b"{}\n", b"{\n", b"NaN\n", b"9" * 5000 + b"\n", b"[" * 100_000 + b"\n"),
    *(b'{"a": 1e400}\n', b'{"a": 1, "a": 2}\n', b'{"a": "\xff"}\n', b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}\n"),
    *({"exit_code": False}, {"exit_code": 0}, {"exit_code": 18}, {"error": "text"}, {"error": {"code": 18}}),
    *(make_error(0), make_error(99), make_error(18, what=5), make_error(18, what="\ud800"), make_error(18)),
]

RECORD = ("measurements", "record")
FIRST = (*RECORD, "candidates", 0)
DEVICE = (*RECORD, "devices", "onnxruntime")
PARITY = (*FIRST, "evaluation", "parity", 0)
DRIFT = (*FIRST, "evaluation", "drift", 0)
METRIC = (*FIRST, "evaluation", "metric")
LATER = (*FIRST, "over_later", "float32")
NO_RATIO = dict.fromkeys(("full_speed", "slowed", "note"))


def make_footprint(**changes):
    """Return what an honest process took, with some of it changed."""
    peaks = dict.fromkeys(("device_peak_bytes", "largest_device_peak_bytes"))
    run = {"start_ms": 90.0, "load_ms": 30.0, "waited_ms": 0.0, "runs": 4, "unknown": [], **peaks}
    run.update(peak_bytes=50_000_000, largest_peak_bytes=60_000_000)
    own = {key: value for key, value in changes.items() if key not in run}
    run.update({key: value for key, value in changes.items() if key in run})
    return {"batch": 1, "largest_batch": 64, "runs": [run], "failure": None, **own}


# Of an honest answer: which command's, the place in it, what is said there, with which exit code, how the host ends.
CHANGES = [
    ("install", ("exit_code",), 18, 18, INVALID),  # it says that it failed, and what it measured passes
    ("check", ("exit_code",), 18, 18, INVALID),
    ("install", ("exit_code",), 0, 18, MALFORMED),
    ("install", ("bundle_id",), OTHER, 0, INVALID),
    ("install", ("state", "current"), OTHER, 0, INVALID),  # proven, and not active
    ("install", ("state", "current"), None, 0, INVALID),
    ("install", ("state", "previous"), OTHER, 0, INVALID),
    ("install", ("state", "releases"), [], 0, INVALID),
    ("install", ("state", "counter"), -1, 0, INVALID),
    ("install", ("state", "active"), None, 0, INVALID),
    ("install", ("state", "active", "sha256"), OTHER, 0, INVALID),
    ("install", ("state", "active", "precision"), "float32", 0, INVALID),
    ("install", ("verdict",), None, 0, INVALID),
    ("install", ("state", "active", "threads"), 2, 0, INVALID),
    ("install", ("verdict", "precision"), "float32", 0, INVALID),
    ("install", ("verdict", "runtime"), "openvino", 0, INVALID),
    ("check", ("verdict", "threads"), 2, 0, INVALID),
    ("install", ("state", "active", "pins_threads"), True, 0, INVALID),
    ("check", ("verdict", "pins_threads"), True, 0, INVALID),
    ("install", ("verdict", "sha256"), OTHER, 0, INVALID),
    ("install", ("verdict", "model"), "another", 0, INVALID),
    ("check", ("verdict", "target"), "another", 0, INVALID),
    ("check", ("verdict", "time"), "yesterday", 0, INVALID),
    ("check", ("verdict", "environment", "runtime_version"), "0.0.1", 0, INVALID),
    ("check", ("verdict", "payload"), "payload/float32/model.onnx", 0, INVALID),
    ("check", ("bundle_id",), OTHER, 0, CONTENT),
    ("check_active", ("bundle_id",), OTHER, 0, CONTENT),
    ("check_active", ("manifest",), "{}", 0, MALFORMED),
    ("check", ("pinned",), "float32", 0, MALFORMED),
    ("check_active", ("pinned",), "float32", 0, MALFORMED),
    ("check", ("folder",), 5, 0, MALFORMED),
    ("install", ("signer",), "mallory", 0, INVALID),
    ("check", ("signer",), "mallory", 0, INVALID),
    ("install", ("samples_ms",), {"int8": ["x"]}, 0, MALFORMED),
    ("install", ("samples_ms",), {"int8": [1.0] * 2000}, 0, INVALID),
    ("install", ("notes",), [5], 0, MALFORMED),
    ("install", ("run_id",), "of another command", 0, INVALID),
    ("check", ("run_id",), 5, 0, INVALID),
    ("status", ("run_id",), None, 0, INVALID),
    # The verdict is not what was measured.
    ("check", ("measurements", "verdict"), "fail", 0, INVALID),
    ("check", ("measurements", "exit_code"), 18, 0, INVALID),
    ("check", ("measurements", "shipped"), None, 0, INVALID),
    ("check", ("measurements", "shipped", "sha256"), OTHER, 0, INVALID),
    ("check", (*FIRST, "evaluation"), None, 0, INVALID),
    ("install", (*PARITY, "sqnr_db"), -50.0, 0, INVALID),
    ("check", (*PARITY, "nonfinite"), 5, 0, INVALID),
    ("check", (*PARITY, "output"), "another", 0, INVALID),
    ("check", (*FIRST, "evaluation", "parity"), [], 0, INVALID),
    ("check", (*FIRST, "evaluation", "drift"), [], 0, INVALID),
    ("check", (*FIRST, "evaluation", "samples"), 1, 0, INVALID),
    ("check", (*FIRST, "evaluation", "mismatch"), "an output is missing", 0, INVALID),
    ("check", METRIC, None, 0, INVALID),
    ("check", (*FIRST, "placement", "layers"), [], 0, INVALID),
    # What was measured contradicts itself, the bundle, or what is possible.
    ("check", (*PARITY, "max_abs"), -1.0, 0, INVALID),
    ("check", (*PARITY, "p99_abs"), 1e9, 0, INVALID),
    ("check", (*PARITY, "cosine"), 2.0, 0, INVALID),
    ("check", (*PARITY, "sqnr_db"), 1e300, 0, INVALID),
    ("check", (*DRIFT, "nonfinite"), -1, 0, INVALID),
    ("check", (*DRIFT, "agreement"), 0.123456789, 0, INVALID),
    ("install", (*DRIFT, "agreement"), 2.0, 0, MALFORMED),
    ("check", (*DRIFT, "varying", "lost"), 10**9, 0, INVALID),
    ("install", (*METRIC, "deployed"), 50.0, 0, MALFORMED),
    ("check", (*METRIC, "name"), "another", 0, MALFORMED),
    ("check", (*METRIC, "samples"), 1, 0, INVALID),
    ("check", (*METRIC, "drop"), -1.0, 0, INVALID),
    ("check", (*METRIC, "reference"), 0.01, 0, INVALID),
    ("install", (*FIRST, "latency", "samples"), -5, 0, MALFORMED),
    ("check", (*FIRST, "latency", "samples"), 5000, 0, INVALID),
    ("check", (*FIRST, "latency", "p50_ms"), 0.001, 0, INVALID),
    ("install", (*FIRST, "latency", "p50_ms"), 10**400, 0, MALFORMED),
    ("install", (*FIRST, "over_later"), {}, 0, MALFORMED),  # the last of an order has none, and it is not the last
    ("install", LATER, {**NO_RATIO, "ratio": 2.0, "low": 3.0, "high": 1.0}, 0, MALFORMED),
    ("check", (*FIRST, "over_reference"), {**NO_RATIO, "ratio": 9.0, "low": 8.0, "high": 10.0}, 0, INVALID),
    ("install", (*FIRST, "placement", "layers", 0, "macs"), -1, 0, MALFORMED),
    ("check", (*FIRST, "payload", "sha256"), OTHER, 0, MALFORMED),
    ("check", (*FIRST, "precision"), "float32", 0, MALFORMED),
    ("check", (*RECORD, "candidates"), [], 0, MALFORMED),
    ("check", (*RECORD, "references"), [], 0, MALFORMED),
    ("check", (*RECORD, "bundle_id"), OTHER, 0, CONTENT),
    ("check", (*RECORD, "schema"), 2, 0, MALFORMED),
    ("check", (*RECORD, "fastest"), 7, 0, MALFORMED),
    ("check", (*FIRST, "runtime"), "openvino", 0, MALFORMED),
    ("check", (*RECORD, "references", 0, "threads"), 2, 0, MALFORMED),
    ("check", (*RECORD, "unopened"), [{"path": "x", "runtime": "onnxruntime", "reason": ""}], 0, MALFORMED),
    ("check", (*FIRST, "threads"), 64, 0, MALFORMED),
    ("check", (*FIRST, "pins_threads"), True, 0, MALFORMED),
    ("check", (*RECORD, "references", 0, "pins_threads"), True, 0, MALFORMED),
    ("check", (*RECORD, "batch"), 0, 0, INVALID),
    ("check", (*RECORD, "latency_sample"), 10**6, 0, INVALID),
    ("check", (*RECORD, "latency_scope"), "the kernel alone", 0, INVALID),
    ("check", (*RECORD, "throttled"), True, 0, INVALID),
    ("check", (*RECORD, "validity", "problems"), ["x"], 0, INVALID),
    ("check", (*DEVICE, "runtime"), "another", 0, MALFORMED),
    ("check", (*DEVICE, "runtime_version"), "0.1", 0, INVALID),  # the bundle is not for it
    ("install", (*DEVICE, "cpu"), "another CPU", 0, INVALID),  # than it said before
    ("install", (*DEVICE, "python"), "3.99.0", 0, INVALID),
    ("install", (*DEVICE, "cpu"), "\ud800", 0, MALFORMED),
    ("install", (*RECORD, "environments"), {"onnxruntime": {"a": float("nan")}}, 0, MALFORMED),
    ("install", (*RECORD, "environments"), {"onnxruntime": {"a": nest(50)}}, 0, MALFORMED),
    ("install", (*RECORD, "environments", "onnxruntime", "runtime_version"), "0.0.1", 0, INVALID),
    *(
        ("check", (*FIRST, "footprint"), make_footprint(**lie), 0, INVALID)
        for lie in (
            *({"start_ms": -5.0}, {"load_ms": 0.0}, {"load_ms": 91.0}, {"waited_ms": 95.0}, {"waited_ms": -1.0}),
            *({"runs": 0}, {"peak_bytes": 0}, {"peak_bytes": -1}, {"peak_bytes": 900_000}, {"peak_bytes": None}),
            *({"largest_peak_bytes": 40_000_000}, {"device_peak_bytes": -1}, {"batch": 7}, {"largest_batch": 0}),
        )
    ),
    ("check", (*FIRST, "footprint"), make_footprint(start_ms="soon"), 0, MALFORMED),
    ("install", (*FIRST, "footprint"), make_footprint(peak_bytes=1.5), 0, MALFORMED),
    ("check", (*RECORD, "schema"), 7, 0, MALFORMED),  # of an agent that pinned nothing
    ("install", (*FIRST, "footprint"), NOTHING, 0, MALFORMED),
    # What a board says of its state.
    ("status", ("reasons",), ["another runtime"], 0, INVALID),
    ("status", ("expired",), True, 0, INVALID),
    ("status", ("verified",), False, 0, INVALID),
    ("status", ("verdict",), None, 0, INVALID),
    ("status", ("verdict", "time"), "2026-99-99T00:00:00Z", 0, INVALID),
    ("status", ("damage",), make_error(11)["error"], 0, INVALID),
    ("status", ("damage",), make_error(0)["error"], 0, INVALID),
    ("status", ("exit_code",), 25, 25, INVALID),
    ("status", ("current",), OTHER, 0, INVALID),
    ("status", ("previous",), OTHER, 0, INVALID),
    ("status", ("counter",), -1, 0, INVALID),
    ("status", ("active", "sha256"), OTHER, 0, INVALID),
    ("status", ("releases",), [], 0, INVALID),
    ("status", ("log_tail",), [5], 0, MALFORMED),
    ("facts", ("runtime",), "another", 0, INVALID),
    ("facts", ("cpu_features",), "avx", 0, MALFORMED),
    ("facts", ("board", "time"), "noon", 0, INVALID),
    ("facts", ("board", "disk_free_bytes"), -1, 0, INVALID),
    ("facts", ("board", "memory_bytes"), 2**63, 0, MALFORMED),
    ("enroll", ("signers",), [], 0, INVALID),
    ("enroll", ("signers",), ["mallory ssh-ed25519 AAAA"], 0, INVALID),
    ("enroll", ("replaced",), [5], 0, MALFORMED),
    ("rollback", ("bundle_id",), OTHER, 0, INVALID),
    ("rollback", ("verdict",), None, 0, INVALID),
    ("rollback", ("verdict", "precision"), "float32", 0, INVALID),
    ("rollback", ("measurements", "exit_code"), 18, 0, INVALID),
    ("rollback", (*RECORD, "bundle_id"), OTHER, 0, INVALID),
    ("rollback", ("exit_code",), 18, 18, INVALID),
]

# Files that a board asks for, of a bundle that has agent/__init__.py and no others of these.
_GOOD = {"path": "agent/__init__.py", "size_bytes": 1, "sha256": OTHER, "offset": 0}
WISHES = [
    *(5, {}, [5], nest(50), [{**_GOOD, "offset": 0.5}], [{**_GOOD, "offset": -1}], [{**_GOOD, "offset": 10**9}]),
    *([{**_GOOD, "path": "../../etc/passwd"}], [{**_GOOD, "path": "manifest.json"}], [_GOOD, _GOOD]),
]


def make_progress(step="latency", done=1, total=2):
    return {"event": "progress", "step": step, "done": done, "total": total}


# Lines of stderr before an honest answer.
PROGRESS = {
    "more done than there is": [make_progress(done=3)],
    "less than nothing done": [make_progress(done=-1)],
    "less than nothing to do": [make_progress(done=-3, total=-2)],
    "half a step done": [make_progress(done=0.5)],
    "a step without end": [make_progress(done=1, total=10**30)],
    "done is a text": [make_progress(done="1")],
    "a step that is no name": [make_progress(step={})],
    "a step that clears the screen": [make_progress(step="\x1b[2J")],
    "a step that turns the text around": [make_progress(step="\u202egnp.exe")],
    "a step of a page": [make_progress(step="x" * 1000)],
    "a step after another": [make_progress(step=str(number)) for number in range(300)],
    "a line of a megabyte": [b"x" * (1 << 20) + b"\n"],
    "signs of life at once": [{"event": "alive"}] * 20,
}
