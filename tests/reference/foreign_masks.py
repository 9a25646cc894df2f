"""Writes the small files of PyTorch and NumPy that the mask readers are tested with.

    python tests/reference/foreign_masks.py

Needs PyTorch and NumPy. tests/vectors/mask: files that must be read, and the values that they hold (foreign.json).
tests/corpus/mask: files that must be refused with a sentence; the fuzz targets start from both."""

import io
import json
import os
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import torch

TESTS = pathlib.Path(__file__).parents[1]
GOOD = TESTS / "vectors" / "mask"
BAD = TESTS / "corpus" / "mask"
SHAPE = (3, 2, 8)


def mask():
    """Layer 1 keeps nothing, as one layer of a published mask does."""
    kept = np.random.default_rng(1).integers(0, 2, SHAPE)
    kept[1] = 0
    return kept


def alpha():
    """Quarters in [-1, 2]: exact in every float type."""
    return np.random.default_rng(2).integers(-4, 9, SHAPE) / 4


def readable():
    kept, scores = mask(), alpha()
    files = {}
    types = {
        "f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16, "bool": torch.bool, "u8": torch.uint8,
    }
    for name, dtype in types.items():
        torch.save(torch.tensor(kept).to(dtype), GOOD / f"mask-{name}.pth")
        files[f"mask-{name}.pth"] = "mask"
    for name in ("f32", "f64", "f16", "bf16"):
        torch.save(torch.tensor(scores).to(types[name]), GOOD / f"alpha-{name}.pth")
        files[f"alpha-{name}.pth"] = "alpha"
    whole = torch.cat([torch.zeros(1, 2, 8), torch.tensor(scores).float()])
    torch.save(whole[1:], GOOD / "alpha-offset.pth")
    torch.save(torch.tensor(scores).float(), GOOD / "alpha-protocol4.pth", pickle_protocol=4)
    files |= {"alpha-offset.pth": "alpha", "alpha-protocol4.pth": "alpha"}
    for name, array in {
        "mask-bool.npy": kept.astype(bool), "mask-u8.npy": kept.astype(np.uint8), "alpha-f4.npy": scores.astype("<f4"),
        "alpha-f8.npy": scores.astype("<f8"), "alpha-f2.npy": scores.astype("<f2"), "alpha-flat.npy": scores.reshape(3, 16),
    }.items():
        np.save(GOOD / name, array)
        files[name] = name.split("-")[0]
    with open(GOOD / "alpha-version2.npy", "wb") as file:
        np.lib.format.write_array(file, scores, version=(2, 0))
    np.savetxt(GOOD / "alpha.tsv", scores.reshape(3, 16), delimiter="\t")
    np.savetxt(GOOD / "alpha-short.tsv", scores.reshape(3, 16), delimiter="\t", fmt="%g")
    files |= {"alpha-version2.npy": "alpha", "alpha.tsv": "alpha", "alpha-short.tsv": "alpha"}
    content = {
        "shape": SHAPE, "mask": kept.reshape(-1).tolist(), "alpha": scores.reshape(-1).tolist(), "files": files,
    }
    (GOOD / "foreign.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


def archive(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as zip_file:
        for name, content in entries.items():
            zip_file.writestr(zipfile.ZipInfo(name), content, compress_type=compression)


def program(shape=SHAPE, strides=(16, 8, 1), stored=48, storage="FloatStorage", key="0", offset=0, function="torch._utils\n_rebuild_tensor_v2"):
    """The pickle of a bare tensor, with whatever is wished to be wrong."""
    def text(word):
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    def number(value):
        return b"J" + struct.pack("<i", value) if abs(value) < 2**31 else b"\x8a\x08" + struct.pack("<q", value)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    return (b"\x80\x02c" + function.encode() + b"\n((" + text("storage") + b"ctorch\n" + storage.encode() + b"\n" + text(key) + text("cpu")
            + number(stored) + b"tQ" + number(offset) + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR.")


class Command:
    def __reduce__(self):
        return os.system, ("echo a mask reader ran a command",)


def hostile_archives():
    folder = BAD / "pth"
    data = np.ones(48, "<f4").tobytes()
    plain = {"a/data.pkl": program(), "a/byteorder": b"little", "a/data/0": data, "a/version": b"3\n"}

    def save(name, **changes):
        archive(folder / f"{name}.pth", plain | {f"a/{key.replace('__', '.').replace('_', '/')}": value for key, value in changes.items()})

    save("command", data__pkl=pickle.dumps(Command(), protocol=2))
    save("eval", data__pkl=b"\x80\x02cbuiltins\neval\nX\x04\x00\x00\x00exit\x85R.")
    save("stack-global", data__pkl=b"\x80\x04\x8c\x02os\x8c\x06system\x93.")
    save("instance", data__pkl=b"(ios\nsystem\n.")
    save("build", data__pkl=b"\x80\x02)b.")
    save("extension", data__pkl=b"\x80\x02\x82\x01.")
    save("memo-bomb", data__pkl=b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 400 + b".")
    save("marks", data__pkl=b"\x80\x02" + b"(" * 4000 + b".")
    save("deep-tuple", data__pkl=b"\x80\x02)" + b"\x85" * 4000 + b".")
    save("long-text", data__pkl=b"\x80\x02X\xff\xff\xff\xff.")
    save("long-pickle", data__pkl=b"\x80\x02" + b")0" * 10_000 + b".")
    save("empty-pickle", data__pkl=b"")
    save("protocol-0", data__pkl=pickle.dumps((1, "a"), protocol=0))
    save("behind-the-end", data__pkl=program() + b"cos\nsystem\n.")
    save("huge-shape", data__pkl=program(shape=(2**40, 2**40, 2**40)))
    save("huge-first-axis", data__pkl=program(shape=(2**62, 1, 1), strides=(1, 1, 1)))
    save("zero-axis", data__pkl=program(shape=(0, 2**62, 2**62), strides=(0, 0, 0), stored=48))
    save("expanded", data__pkl=program(shape=(10**6, 10**3, 10**3), strides=(0, 0, 0)))
    save("overlapping-strides", data__pkl=program(strides=(1, 1, 1)))
    save("negative-size", data__pkl=program(shape=(-1, 2, 8)))
    save("negative-offset", data__pkl=program(offset=-1))
    save("offset-outside", data__pkl=program(offset=1))
    save("huge-storage", data__pkl=program(stored=2**62))
    save("storage-too-long", data__pkl=program(stored=49))
    save("transposed", data__pkl=program(shape=(8, 2, 3), strides=(1, 8, 16)))
    save("four-axes", data__pkl=program(shape=(1, 3, 2, 8), strides=(48, 16, 8, 1)))
    save("flat", data__pkl=program(shape=(48,), strides=(1,)))
    save("other-storage", data__pkl=program(storage="ComplexFloatStorage"))
    save("other-function", data__pkl=program(function="torch._utils\n_rebuild_sparse_tensor"))
    save("missing-key", data__pkl=program(key="1"))
    save("key-is-a-path", data__pkl=program(key="../../../etc/passwd"))
    save("big-endian", byteorder=b"big")
    save("not-a-number", data_0=np.full(48, np.nan, "<f4").tobytes())
    save("short-data", data_0=data[:-1])
    archive(folder / "no-pickle.pth", {"a/data/0": data})
    archive(folder / "two-pickles.pth", plain | {"b/data.pkl": program()})
    archive(folder / "path-names.pth", {"../../data.pkl": program(key="0"), "/etc/data/0": data})
    archive(folder / "deflated.pth", plain, zipfile.ZIP_DEFLATED)
    archive(folder / "bomb.pth", plain | {"a/data/0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    archive(folder / "many-entries.pth", plain | {f"a/{number}": b"" for number in range(100)})
    whole = (folder / "transposed.pth").read_bytes()
    lied = whole.replace(struct.pack("<II", 192, 192), struct.pack("<II", 2**31 - 1, 2**31 - 1))
    assert lied != whole
    (folder / "size-lie.pth").write_bytes(lied)
    directory = b"PK\x05\x06\0\0\0\0" + struct.pack("<HHIIH", 65535, 65535, 2**32 - 1, 65535, 0)
    (folder / "entry-count.pth").write_bytes(b"PK\x03\x04" + directory)
    large = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2**60, 2**60, 2**62, 2**61)
    large += b"PK\x06\x07" + struct.pack("<IQI", 0, 4, 1) + b"PK\x05\x06\0\0\0\0" + struct.pack("<HHIIH", 0, 0, 0, 0, 0)
    (folder / "entry-count-64.pth").write_bytes(b"PK\x03\x04" + large)
    (folder / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({"mask": torch.ones(SHAPE)}, folder / "dictionary.pth")
    torch.save([torch.ones(SHAPE)], folder / "list.pth")
    torch.save(torch.nn.Parameter(torch.ones(SHAPE)), folder / "parameter.pth")
    torch.save(mask().astype(bool), folder / "numpy-array.pth")
    torch.save(torch.ones(SHAPE), folder / "old-pickle.pth", _use_new_zipfile_serialization=False)


def hostile_arrays():
    folder = BAD / "npy"

    def save(name, header, data=b"", version=b"\x01\x00", length=None):
        text = header.encode("latin1")
        size = len(text) if length is None else length
        packed = struct.pack("<H" if version[0] == 1 else "<I", size)
        (folder / f"{name}.npy").write_bytes(b"\x93NUMPY" + version + packed + text + data)

    def words(descr="'<f4'", order="False", shape="(3, 2, 8)"):
        return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"

    data = np.ones(48, "<f4").tobytes()
    save("huge-shape", words(shape="(4611686018427387904, 4, 1)"), data)
    save("overflowing-number", words(shape="(99999999999999999999999, 1, 1)"), data)
    save("negative", words(shape="(-3, 2, 8)"), data)
    save("object", words(descr="'|O'"), pickle.dumps(Command()))
    save("record", words(descr="[('a', '<f4')]"), data)
    save("big-endian", words(descr="'>f4'"), data)
    save("complex", words(descr="'<c8'"), data)
    save("fortran", words(order="True"), data)
    save("call", words(shape="__import__('os').system('true')"), data)
    save("unclosed", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 8", data)
    save("no-shape", "{'descr': '<f4', 'fortran_order': False, }", data)
    save("unknown-key", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 8), 'extra': 'x', }", data)
    save("not-ascii", words(descr="'\xff'"), data)
    save("long-header", words(), data, length=65535)
    save("long-header-2", words(), data, version=b"\x02\x00", length=2**32 - 1)
    save("version-9", words(), data, version=b"\x09\x00")
    save("four-axes", words(shape="(1, 3, 2, 8)"), data)
    save("scalar", words(shape="()"), data[:4])
    save("zero-axis", words(shape="(0, 2, 8)"))
    save("nan", words(), np.full(48, np.nan, "<f4").tobytes())
    save("wide-double", words(descr="'<f8'"), np.full(48, 1e300, "<f8").tobytes())
    save("bad-boolean", words(descr="'|b1'"), bytes(range(48)))
    save("short-data", words(), data[:-1])
    save("long-data", words(), data + b"\0")
    (folder / "magic-only.npy").write_bytes(b"\x93NUMPY")


def hostile_text():
    folder = BAD / "tsv"
    for name, text in {
        "empty": b"", "blank": b"\n\n\n", "words": b"layer\thead\n1\t2\n", "ragged": b"1\t2\n1\t2\t3\n", "nan": b"nan\t1\n", "overflow": b"1e99\t1\n",
        "not-utf8": b"1\t\xff\xfe\n", "commas": b"1,2\n3,4\n", "zero-bytes": bytes(64), "long-field": b"9" * 5000 + b"x\t1\n", "hex": b"0x10\t1\n",
        "many-tabs": b"\t" * 5000 + b"1\n",
    }.items():
        (folder / f"{name}.tsv").write_bytes(text)


def hostile_safetensors():
    folder = BAD / "safetensors"
    words = {
        "format": "kscope-mask", "version": "1", "model": "", "model_fingerprint": "", "channel_order": "rotate-half", "sink": "16",
        "recent": "128", "chunk": "32", "align": "8", "target_sparsity": "", "recipe": "{}",
    }
    tensor = {"dtype": "U8", "shape": [1, 2, 8], "data_offsets": [0, 16]}

    def save(name, header, data=bytes(16), length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)

    def with_words(**changes):
        return {"__metadata__": {key: value for key, value in (words | changes).items() if value is not None}, "mask": tensor}

    save("huge-header", b"{}", length=2**63)
    save("long-header", b"{}", length=99_000_000)
    save("not-json", b"{{{{{{{{")
    save("deep-json", b'{"a":' + b"[" * 5000)
    save("no-metadata", {"mask": tensor})
    save("no-tensor", {"__metadata__": words}, b"")
    save("a-model", {"__metadata__": {"format": "pt"}, "model.embed_tokens.weight": tensor})
    save("huge-shape", {"__metadata__": words, "mask": tensor | {"shape": [2**40, 2**40, 2**40]}})
    save("outside", {"__metadata__": words, "mask": tensor | {"data_offsets": [0, 2**40]}})
    save("backwards", {"__metadata__": words, "mask": tensor | {"data_offsets": [16, 0]}})
    save("zero-axis", {"__metadata__": words, "mask": tensor | {"shape": [0, 2, 8], "data_offsets": [0, 0]}}, b"")
    save("flat", {"__metadata__": words, "mask": tensor | {"shape": [16]}})
    save("float-mask", {"__metadata__": words, "mask": {"dtype": "F32", "shape": [1, 2, 2], "data_offsets": [0, 16]}})
    save("twos", with_words(), bytes([2] * 16))
    save("interleaved", with_words(channel_order="interleaved"))
    save("version-2", with_words(version="2"))
    save("chunk-0", with_words(chunk="0"))
    save("align-3", with_words(align="3"))
    save("negative-sink", with_words(sink="-1"))
    save("huge-recent", with_words(recent="99999999999999999999"))
    save("recipe-text", with_words(recipe="how it was made"))
    save("recipe-deep", with_words(recipe="[" * 5000))
    save("sparsity-2", with_words(target_sparsity="2"))
    save("fingerprint", with_words(model_fingerprint="abc"))
    save("no-window", with_words(sink=None))
    save("importance-without", with_words(format="kscope-importance"))
    nan = {"dtype": "F32", "shape": [1, 2, 8], "data_offsets": [0, 64]}
    save("nan", {"__metadata__": words, "importance": nan, "mask": tensor | {"data_offsets": [64, 80]}},
         np.full(16, np.nan, "<f4").tobytes() + bytes(16))
    save("other-shape", {"__metadata__": words, "importance": nan | {"shape": [2, 1, 8]}, "mask": tensor | {"data_offsets": [64, 80]}}, bytes(80))


for folder in (GOOD, *(BAD / kind for kind in ("pth", "npy", "tsv", "safetensors"))):
    folder.mkdir(parents=True, exist_ok=True)
readable()
hostile_archives()
hostile_arrays()
hostile_text()
hostile_safetensors()
