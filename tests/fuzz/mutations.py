"""What is done to good bytes: as a disk, a network, an editor or an attacker would change them."""

import json
from collections.abc import Sequence

from hypothesis import strategies as st

# In place of any value of a document.
ODD_VALUES = (
    *(None, True, 0, -1, 1, 0.5, 2**31, 2**63, 10**400, -(10**30), 1e308, "", "x", "0", "\x00", "\ud800", "𝄞" * 9),
    *(
        "../../outside",
        "/etc/passwd",
        "a" * 5000,
        "1e400",
        "f32",
        [],
        {},
        [[]],
        [None],
        {"": None},
        [0, 0, 0],
        ["a", "a"],
    ),
)
# In place of any part of a file; the last are the numbers at which a length or an offset turns over.
ODD_BYTES = (
    *(
        b"\x00",
        b"\xff",
        b"\x80",
        b"\n",
        b"\r",
        b'"',
        b"'",
        b"[",
        b"]",
        b"{",
        b"}",
        b"=",
        b"#",
        b"\\u0000",
        b"NaN",
        b"1e999",
    ),
    *(
        b"[" * 5000,
        b'{"a":' * 5000,
        b"a.b=1\n" * 3,
        b"9" * 5000,
        b"-0",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"0000-00-00",
    ),
    *(b"\x00\x00\x00\x80", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x00" * 64),
)


@st.composite
def mutate_bytes(draw, seeds: Sequence[bytes]) -> bytes:
    """Draw one of the seeds after up to four edits of its bytes; now and then bytes of nobody's."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((0, 1, 2, 4, 8, 64))))
        kind = draw(st.sampled_from(("flip", "cut", "odd", "drop", "repeat")))
        if kind == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[start:]
        elif kind == "odd":
            data[start:end] = draw(st.sampled_from(ODD_BYTES))
        elif kind == "drop":
            del data[start:end]
        else:
            data[start:start] = data[start:end] * draw(st.integers(1, 3))
    return bytes(data)


def list_places(document: object) -> list[list[object]]:
    """Return the path of every value in a document of JSON."""
    places: list[list[object]] = [[]]
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        places += [[key, *rest] for rest in list_places(value)]
    return places


@st.composite
def mutate_document(draw, seeds: Sequence[bytes]) -> bytes:
    """Draw one of the seeds, which are JSON, after up to three of its values were changed, removed, added or renamed."""
    document = json.loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list_places(document)))
        odd = json.loads(json.dumps(draw(st.sampled_from(ODD_VALUES))))
        if not place:
            continue
        owner = document
        for key in place[:-1]:
            owner = owner[key]
        kind = draw(st.sampled_from(("value", "value", "remove", "add", "rename")))
        if kind == "value":
            owner[place[-1]] = odd
        elif kind == "remove":
            del owner[place[-1]]
        elif isinstance(owner, list):
            owner.append(odd)
        else:
            owner[f"{place[-1]}2"] = odd if kind == "add" else owner.pop(place[-1])
    return json.dumps(document).encode()


def is_document(data: bytes) -> bool:
    """Return whether a seed is a document of JSON."""
    try:
        return isinstance(json.loads(data), dict | list)
    except ValueError:
        return False


def mutate(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return the strategy for a reader's bytes: by structure too where the seeds have one."""
    if all(map(is_document, seeds)):
        return st.one_of(mutate_bytes(seeds), mutate_document(seeds), mutate_document(seeds))
    return mutate_bytes(seeds)
