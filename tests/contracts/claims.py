"""A contract: claims, each a function that asserts something of a member by its name, and the members that it binds.

A claim that a member does not keep is declared with its reason, and has to break there: what is kept after all is no
exception any more.
"""

import pytest


def pair_claims(claims, members, *, exceptions=None):
    """Return a parameter for each claim and member; `exceptions` has the reason by (member, claim's name)."""
    reasons = dict(exceptions or {})
    pairs = []
    for claim in claims:
        for member in members:
            reason = reasons.pop((member, claim.__name__), None)
            marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True),)
            pairs.append(pytest.param(claim, member, id=f"{member}-{claim.__name__}", marks=marks))
    assert not reasons, f"exceptions of nobody: {reasons}"
    return pairs


def find_broken_claims(claims, member):
    """Return the names of the claims that a member does not keep."""
    broken = set()
    for claim in claims:
        try:
            claim(member)
        except AssertionError:
            broken.add(claim.__name__)
    return broken
