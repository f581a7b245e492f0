"""ONNX files that nobody should have to open, by what they attack; `python -m tests.hostile_models DIR` writes all of them."""

from tests.hostile_models import (
    attributes,
    bytes_of_protobuf,
    control_flow,
    external_data,
    opsets,
    other_files,
    quantization,
    sizes,
    structure,
    tensors,
    text,
)

FAMILIES = (
    other_files.FAMILY,
    bytes_of_protobuf.FAMILY,
    text.FAMILY,
    opsets.FAMILY,
    opsets.FUNCTIONS,
    external_data.FAMILY,
    tensors.FAMILY,
    tensors.SPARSE,
    *structure.FAMILIES,
    attributes.FAMILY,
    *quantization.FAMILIES,
    *sizes.FAMILIES,
    control_flow.NESTING,
    control_flow.LOOPS,
)
