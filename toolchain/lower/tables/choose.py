"""Takes those tables in int8 with which the float model keeps its answers far better than the gate asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import onnx

from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.tables.rows import Table, find_tables, quantize_table, write_tables
from toolchain.lower.trial import Arrays, Bench

# Above the gate: of the noise that the gate allows a tenth, which costs the layers 0.5 dB.
_MARGIN_DB = 10.0

_JUDGED_BY = 16


@dataclass(frozen=True)
class Tables:
    """The tables of a model that are in int8, and why the others are not."""

    chosen: tuple[Table, ...] = ()
    in_float: Mapping[str, str] = field(default_factory=dict)
    """Table to reason."""
    sqnr_db: float | None = None
    """What the worst output surely keeps of the float model with these tables alone in int8; None for none."""

    def write(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return the model with the chosen tables in int8."""
        return write_tables(model, self.chosen)

    def join(self, policy: Int8Policy) -> Int8Policy:
        """Return the policy with the chosen tables in everything that it writes."""
        if not self.chosen:
            return policy

        def prepare(model: onnx.ModelProto, plan: QdqPlan) -> onnx.ModelProto:
            return self.write(policy.prepare(model, plan))

        return replace(policy, prepare=prepare)

    def describe(self) -> dict[str, Any]:
        """Return what lowering.json says of them."""
        chosen = [
            {"table": table.name, "shape": list(table.values.shape), "saved_bytes": table.saved_bytes}
            for table in self.chosen
        ]
        in_float = [{"table": name, "reason": reason} for name, reason in self.in_float.items()]
        return {"sqnr_db": self.sqnr_db, "int8": chosen, "float32": in_float}


def choose_tables(
    model: onnx.ModelProto, feeds: Sequence[Arrays], *, sqnr_db_min: float, keep_float: Sequence[str] = ()
) -> Tables:
    """Return the tables to be stored in int8, the one that saves most before the others.

    feeds: samples to judge by. sqnr_db_min: of the gate; tables must keep more. keep_float: names of nodes.
    """
    names, in_float = find_tables(model, keep_float)
    if not names:
        return Tables(in_float=in_float)
    found = sorted((quantize_table(model, name) for name in names), key=lambda table: -table.saved_bytes)
    bench = Bench(model=model, build=lambda _: model, feeds=(), references=()).on(feeds[:_JUDGED_BY])
    kept = Tables()
    for table in found:
        tried = Tables(chosen=(*kept.chosen, table))
        sqnr_db = replace(bench, build=partial(_write, tried, model)).measure_sqnr_db(frozenset())
        if sqnr_db >= sqnr_db_min + _MARGIN_DB:
            kept = replace(tried, sqnr_db=sqnr_db)
        else:
            in_float[table.name] = f"with it in int8 an output keeps {sqnr_db:.1f} dB of {sqnr_db_min + _MARGIN_DB:g}"
    return replace(kept, in_float=in_float)


def _write(tables: Tables, model: onnx.ModelProto, _keep_float: frozenset[str]) -> onnx.ModelProto:
    return tables.write(model)
