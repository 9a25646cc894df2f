"""Reads kscope's mask and plan files as strictly as the program does."""

import itertools
import json
import math
import os
import re
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError, safe_open

WIDTHS = (0, 2, 4, 8, 16)
ALIGNMENTS = (1, 2, 4, 8, 16, 32)
V_GROUP = 32
# What the program's parser of JSON takes.
MOST_NESTED = 127
OTHER_FILES = (".pth", ".pt", ".npy", ".tsv")


@dataclass(frozen=True, eq=False)
class Mask:
    """A channel mask or a cache plan. Channels are in rotate-half order, KV heads in the model's.

    The arrays are read-only copies. Another mask is another object: `dataclasses.replace` with all of
    `mask`, `k_bits` and `v_bits` that change; what does not agree is a ValueError.
    """

    mask: np.ndarray
    """bool [layers, kv_heads, head_dim]: K channels that the middle of the cache stores."""
    k_bits: np.ndarray
    """uint8 [layers, kv_heads, head_dim]: 0, 2, 4, 8 or 16 bits; 16 is the cache's own type."""
    v_bits: np.ndarray
    """uint8 [layers, kv_heads]: bits of a head's V; 0 with a dropped head alone."""
    importance: np.ndarray | None
    """float32 [layers, kv_heads, head_dim], where the file holds it."""
    sink: int
    recent: int
    chunk: int
    v_group: int
    """Channels of V that share a scale; the whole row where it does not divide head_dim."""
    metadata: dict[str, str]
    """The file's metadata as it stands."""

    def __post_init__(self):
        for key, dtype, axes in (("mask", np.bool_, 3), ("k_bits", np.uint8, 3), ("v_bits", np.uint8, 2)):
            _expect_kind(key, getattr(self, key), dtype, axes)
        _expect_agreement(self.mask, self.k_bits, self.v_bits)
        if self.importance is not None:
            _expect_importance(self.importance, self.mask)
        for key, least in (("sink", 0), ("recent", 0), ("chunk", 1), ("v_group", 1)):
            number = getattr(self, key)
            if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
                raise ValueError(f"{key}: expected a whole number of at least {least}, found {number!r}")
        for key in ("mask", "k_bits", "v_bits", "importance"):
            if getattr(self, key) is not None:
                array = np.array(getattr(self, key))
                array.setflags(write=False)
                object.__setattr__(self, key, array)

    def __setstate__(self, state):
        # Copies and unpickled arrays are writable again.
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def prunes(self) -> bool:
        """Whether anything is stored with fewer than 16 bits, or not at all."""
        return bool((self.k_bits < 16).any() or (self.v_bits < 16).any())

    @property
    def is_plan(self) -> bool:
        """Whether any width is other than 16 and 0."""
        return bool(np.isin(self.k_bits, (2, 4, 8)).any() or np.isin(self.v_bits, (2, 4, 8)).any())

    def middle(self, tokens: int) -> int:
        """Tokens in the middle of a sequence of `tokens` tokens, from position `sink` on."""
        return max(0, tokens - self.sink - self.recent) // self.chunk * self.chunk

    def bytes_at(self, tokens: int, element: int = 2) -> int:
        """Bytes of keys and values of one sequence; `element` is the size of the cache's type."""
        layers, heads, head_dim = self.mask.shape
        middle = self.middle(tokens)
        total = (tokens - middle) * layers * heads * 2 * head_dim * element
        for layer in range(layers):
            for head in range(heads):
                total += self._head_bytes(self.k_bits[layer, head], int(self.v_bits[layer, head]), middle, element)
        return total

    @property
    def k_group(self) -> int:
        """Consecutive middle tokens of a K channel that share a scale."""
        return min(64, self.chunk & -self.chunk)

    def v_group_of(self, head_dim: int) -> int:
        """Channels of V that share a scale, for heads of this size."""
        return self.v_group if head_dim % self.v_group == 0 else head_dim

    def _head_bytes(self, k_bits, v_bits, tokens, element):
        bits = np.where(k_bits == 16, 8 * element, k_bits).astype(int)
        coded = int(np.isin(k_bits, (2, 4, 8)).sum())
        k = -(-tokens * int(bits.sum()) // 8) + tokens // self.k_group * coded * 4
        head_dim = len(k_bits)
        v_row = -(-head_dim * (8 * element if v_bits == 16 else v_bits) // 8)
        groups = head_dim // self.v_group_of(head_dim) if v_bits in (2, 4, 8) else 0
        return k + tokens * (v_row + 4 * groups)


def load(path: str | os.PathLike) -> Mask:
    """Reads a mask (version 1) or a plan (version 2). What is wrong with the file is a ValueError."""
    name = os.fspath(path)
    if os.path.isdir(name):
        raise ValueError(f"{name}: expected a file, found a folder")
    try:
        with safe_open(name, framework="numpy") as file:
            metadata = file.metadata() or {}
            present = set(file.keys())
            # Others' tensors may have types that NumPy lacks, and so may a wrong one of these.
            dtypes = {key: file.get_slice(key).get_dtype() for key in sorted(present & set(TENSORS))}
            known = [key for key, dtype in dtypes.items() if dtype == TENSORS[key]]
            tensors = {key: file.get_tensor(key) for key in known}
    except SafetensorError as error:
        if os.path.splitext(name)[1].lower() in OTHER_FILES:
            raise ValueError(
                f"{name}: expected a .safetensors file: `kscope mask import` makes one of a .pth, .npy or .tsv"
            ) from None
        raise ValueError(f"{name}: expected a safetensors file, found a broken one ({error})") from None
    return _File(name, metadata, dtypes, tensors).mask()


TENSORS = {
    "mask": "U8", "k_bits": "U8", "v_bits": "U8", "importance": "F32", "sensitivity_k": "F32", "sensitivity_v": "F32",
}  # fmt: skip


def _expect_kind(key, array, dtype, axes):
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise ValueError(f"tensor {key}: expected type {np.dtype(dtype)}, found {getattr(array, 'dtype', type(array))}")
    if array.ndim != axes:
        raise ValueError(f"tensor {key}: expected {axes} axes, found {list(array.shape)}")


def _expect_agreement(mask, k_bits, v_bits):
    """Refuses widths that are none, and a mask and widths that say different things."""
    if 0 in mask.shape:
        raise ValueError(f"tensor mask: expected axes of at least 1, found {list(mask.shape)}")
    for key, tensor, expected in (("k_bits", k_bits, mask.shape), ("v_bits", v_bits, mask.shape[:2])):
        if tensor.shape != expected:
            raise ValueError(
                f"tensor {key}: expected the axes {list(expected)} as in the mask, found {list(tensor.shape)}"
            )
        bad = np.argwhere(~np.isin(tensor, WIDTHS))
        if len(bad):
            place = " ".join(str(number) for number in bad[0])
            raise ValueError(
                f"tensor {key}, place {place}: a width is 0, 2, 4, 8 or 16 bits, not {tensor[tuple(bad[0])]}"
            )
    differ = np.argwhere((k_bits > 0) != mask)
    if len(differ):
        layer, head, channel = differ[0]
        raise ValueError(
            f"layer {layer}, KV head {head}, channel {channel}: a channel is in the mask where it has bits, "
            f"found k_bits {k_bits[layer, head, channel]} and mask {int(mask[layer, head, channel])}"
        )
    differ = np.argwhere((v_bits > 0) != mask.any(axis=2))
    if len(differ):
        layer, head = differ[0]
        raise ValueError(
            f"layer {layer}, KV head {head} has {int(mask[layer, head].sum())} K channels and V of "
            f"{v_bits[layer, head]} bits: a dropped head stores neither"
        )


def _expect_importance(importance, mask):
    _expect_kind("importance", importance, np.float32, 3)
    if importance.shape != mask.shape:
        raise ValueError(f"expected importance of the mask's shape {list(mask.shape)}, found {list(importance.shape)}")
    if not np.isfinite(importance).all():
        raise ValueError("tensor importance: expected finite numbers, found others")


def _is_json(text):
    """Whether the program reads this JSON: finite numbers, whole characters, not too deep."""

    def number(digits):
        if not math.isfinite(float(digits)):
            raise ValueError
        return 0

    brackets = re.sub(r'"(?:\\.|[^"\\])*"', "", text)
    depth = itertools.accumulate({"[": 1, "{": 1, "]": -1, "}": -1}.get(letter, 0) for letter in brackets)
    if max(depth, default=0) > MOST_NESTED:
        return False
    try:
        value = json.loads(text, parse_int=number, parse_float=number, parse_constant=number)
        # Half of a surrogate pair is not a character.
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


class _File:
    """One file that is read; errors name it."""

    def __init__(self, name, metadata, dtypes, tensors):
        """`dtypes` has the types of all tensors that matter, `tensors` those of the right type."""
        self.name, self.metadata, self.dtypes, self.tensors = name, metadata, dtypes, tensors

    def wrong(self, sentence):
        return ValueError(f"{self.name}: {sentence}")

    def text(self, key):
        if key not in self.metadata:
            raise self.wrong(f'expected metadata "{key}", found none')
        return self.metadata[key]

    def unexpected(self, key, expected):
        found = self.metadata.get(key, "")
        shown = found if len(found) <= 80 else found[:80] + "…"
        return self.wrong(f'metadata "{key}": expected {expected}, found "{shown}"')

    def whole(self, key):
        text = self.text(key)
        # Digits beyond ten are zeros in front; Python refuses to count some thousands of them.
        digits = re.fullmatch(r"\+?0*([0-9]{1,10})", text, re.ASCII)
        if not digits or int(digits[1]) >= 1 << 32:
            raise self.unexpected(key, "a whole number")
        return int(digits[1])

    def find(self, key, axes):
        """A tensor, or None where the file has none of that name."""
        if key not in self.dtypes:
            return None
        if key not in self.tensors:
            raise self.wrong(f"tensor {key}: expected type {TENSORS[key]}, found {self.dtypes[key]}")
        tensor = self.tensors[key]
        if tensor.ndim != axes:
            raise self.wrong(f"tensor {key}: expected {axes} axes, found {list(tensor.shape)}")
        return tensor

    def need(self, key, axes):
        tensor = self.find(key, axes)
        if tensor is None:
            raise self.wrong(f"expected a tensor named {key}, found none")
        return tensor

    def mask(self):
        kind = self.text("format")
        if kind in ("kscope-importance", "kscope-sensitivity"):
            raise self.wrong(f"expected a mask, found {kind.removeprefix('kscope-')} alone")
        if kind != "kscope-mask":
            raise self.unexpected("format", "kscope-mask")
        version = self.text("version")
        if version not in ("1", "2"):
            raise self.unexpected("version", "1 or 2")
        if self.text("channel_order") != "rotate-half":
            raise self.unexpected("channel_order", "rotate-half")
        window = {key: self.whole(key) for key in ("sink", "recent", "chunk")}
        if window["chunk"] == 0:
            raise self.unexpected("chunk", "at least 1")
        self.described()
        mask = self.kept()
        if version == "1":
            if "k_bits" in self.dtypes:
                raise self.wrong("a file with a tensor k_bits has version 2, and this one says 1")
            k_bits = mask.astype(np.uint8) * 16
            v_bits = mask.any(axis=2).astype(np.uint8) * 16
            v_group = V_GROUP
        else:
            k_bits, v_bits = self.need("k_bits", 3), self.need("v_bits", 2)
            v_group = self.whole("v_group") if "v_group" in self.metadata else V_GROUP
            if v_group == 0:
                raise self.unexpected("v_group", "at least 1")
        self.sensitivity(mask.shape)
        importance, metadata = self.find("importance", 3), dict(self.metadata)
        try:
            return Mask(mask, k_bits, v_bits, importance, **window, v_group=v_group, metadata=metadata)
        except ValueError as error:
            raise self.wrong(error) from None

    def described(self):
        """Checks what is not needed here and must be right all the same."""
        if self.whole("align") not in ALIGNMENTS:
            raise self.unexpected("align", "one of 1, 2, 4, 8, 16, 32")
        if not re.fullmatch(r"([0-9a-fA-F]{64})?", self.text("model_fingerprint")):
            raise self.unexpected("model_fingerprint", "64 hexadecimal digits or nothing")
        if not _is_json(self.text("recipe")):
            raise self.unexpected("recipe", "JSON")
        self.text("model")
        sparsity = self.text("target_sparsity")
        number = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", sparsity, re.ASCII)
        if sparsity and not (number and 0 <= float(sparsity) <= 1):
            raise self.unexpected("target_sparsity", "a number from 0 to 1 or nothing")

    def kept(self):
        mask = self.need("mask", 3)
        if mask.size and mask.max() > 1:
            layer, head, channel = np.argwhere(mask > 1)[0]
            raise self.wrong(
                f"tensor mask, layer {layer}, KV head {head}, channel {channel}: "
                f"expected 0 or 1, found {mask[layer, head, channel]}"
            )
        return mask.astype(bool)

    def sensitivity(self, shape):
        """Checks the tables that widths were chosen by, which are not needed here."""
        tables = {"sensitivity_k": (*shape, 4), "sensitivity_v": (*shape[:2], 4)}
        if not any(key in self.dtypes for key in tables):
            return
        for key, expected in tables.items():
            table = self.need(key, len(expected))
            if table.shape != expected:
                raise self.wrong(f"tensor {key}: expected the axes {list(expected)}, found {list(table.shape)}")
            if not (np.isfinite(table) & (table >= 0)).all():
                raise self.wrong(f"tensor {key}: expected finite numbers of at least 0, found others")
