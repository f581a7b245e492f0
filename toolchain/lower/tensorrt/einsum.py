"""Writes the equations of Einsum in small letters, the only ones that NVIDIA's parser takes.

    Einsum "BGHID,BGHJD->BGHIJ"   becomes   Einsum "abcde,abcfe->abcdf"

Letters are names of axes: others mean the same. ONNX allows both cases, and PyTorch's exporter writes capital ones.
"""

from __future__ import annotations

import string

import onnx

from toolchain.graph.walk import iter_nodes


def lower_equations(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with every equation in small letters; the model itself where all are, or have over 26 axes."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    changed = False
    for node in iter_nodes(result):
        for attribute in node.attribute:
            if node.op_type == "Einsum" and attribute.name == "equation":
                equation = attribute.s.decode()
                letters = list(dict.fromkeys(letter for letter in equation if letter.isalpha()))
                if equation != equation.lower() and len(letters) <= len(string.ascii_lowercase):
                    names = str.maketrans(dict(zip(letters, string.ascii_lowercase, strict=False)))
                    attribute.s = equation.translate(names).encode()
                    changed = True
    return result if changed else model
