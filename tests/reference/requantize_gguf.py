#!/usr/bin/env python3
"""Copies a GGUF file with its matrices in another element type.

    python requantize_gguf.py IN OUT --type F16|BF16|F32|Q8_0|Q4_0|... [--ends TYPE]

Metadata and tokenizer are kept, one-dimensional tensors stay F32. Going to F16 keeps 4-bit weights exact up to f16
rounding; going to Q4_0 quantises a second time, so such a file is for speed, not for quality. --ends is the type of
the embedding and the output matrix, where it differs.
"""

import argparse
import os
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

FILE_TYPE = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "BF16": 32}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--type", required=True, choices=FILE_TYPE)
    parser.add_argument("--ends", choices=FILE_TYPE)
    args = parser.parse_args()
    reader = gguf.GGUFReader(args.source)
    part = args.target.with_name(args.target.name + ".part")
    writer = gguf.GGUFWriter(part, reader.fields["general.architecture"].contents())
    own = ("general.architecture", "general.file_type", "general.quantization_version")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in own:
            continue
        sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub)
    writer.add_file_type(FILE_TYPE[args.type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape([int(n) for n in reversed(tensor.shape)])
        kind = Type.F32 if values.ndim == 1 else Type[args.type]
        if args.ends and tensor.name in ("token_embd.weight", "output.weight"):
            kind = Type[args.ends]
        if kind in (Type.F32, Type.F16):
            values = values.astype(np.float32 if kind == Type.F32 else np.float16)
            if not np.isfinite(values).all():
                raise SystemExit(f"{args.source}: {tensor.name} does not fit {kind.name}")
            writer.add_tensor(tensor.name, values)
        else:
            writer.add_tensor(tensor.name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, args.target)


if __name__ == "__main__":
    main()
