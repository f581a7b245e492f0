"""The operator sets that a model says it was written for, and the operators that it uses."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import defs

from toolchain.errors import malformed
from toolchain.graph.view import ONNX_DOMAINS
from toolchain.graph.walk import iter_nodes

# Operators that ONNX Runtime has although the ONNX standard does not.
_RUNTIME_DOMAINS = {"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}


def check_opsets(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) operator sets that are unknown, too new or stated twice, and operators that nobody defines."""
    _check_versions(model, where)
    local = {(function.domain, function.name) for function in model.functions}
    known = {schema.domain for schema in defs.get_all_schemas()} | _RUNTIME_DOMAINS | {"ai.onnx"}
    for node in iter_nodes(model):
        if node.domain not in known and (node.domain, node.op_type) not in local:
            raise malformed(
                "the model uses an operator of an unknown domain",
                where=f"{where}: node {node.name!r}",
                expected="operators of ONNX, of ONNX Runtime or of the model itself",
                found=f"{node.domain}.{node.op_type}",
                fix="export the model without it, or give the model a function of ONNX operators under that name",
            )


def _check_versions(model: onnx.ModelProto, where: str) -> None:
    newest = {"": defs.onnx_opset_version()}
    for schema in defs.get_all_schemas_with_history():
        newest[schema.domain] = max(newest.get(schema.domain, 1), schema.since_version)
    for holder in (model, *model.functions):
        for opset in holder.opset_import:
            domain = "" if opset.domain in ONNX_DOMAINS else opset.domain
            if domain in newest and not 1 <= opset.version <= newest[domain]:
                raise malformed(
                    "the model's opset is unknown",
                    where=f"{where}: {opset.domain}" if domain else where,
                    expected=f"1 to {newest[domain]}",
                    found=str(opset.version),
                    fix=f"upgrade onnx (here {onnx.__version__}), or export the model with an older opset",
                )
        domains = Counter("" if opset.domain in ONNX_DOMAINS else opset.domain for opset in holder.opset_import)
        if twice := [domain for domain, times in domains.items() if times > 1]:
            raise malformed(
                "the model states two versions of one operator set",
                where=where,
                expected="one version of each domain",
                found=f"{domains[twice[0]]} of {twice[0] or 'ai.onnx'}",
                fix="export the model again with one opset",
            )
