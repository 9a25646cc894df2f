"""kscope.load: the same files as the program, and refused as strictly."""

import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import METADATA, write

import kscope

SHAPE = (2, 2, 8)


def plan():
    k_bits = np.tile(np.array([0, 2, 4, 8, 16, 0, 16, 4], np.uint8), (2, 2, 1))
    k_bits[1, 1] = 0
    v_bits = np.array([[16, 4], [2, 0]], np.uint8)
    return {"mask": (k_bits > 0).astype(np.uint8), "k_bits": k_bits, "v_bits": v_bits}


def test_a_shipped_mask():
    path = Path(__file__).parents[2] / "masks" / "smollm2-135m-0.7.safetensors"
    mask = kscope.load(path)
    assert mask.mask.shape == (30, 3, 64) and mask.mask.dtype == bool
    assert (mask.k_bits == mask.mask * 16).all()
    assert mask.metadata["format"] == "kscope-mask" and not mask.is_plan
    assert 0.65 < 1 - mask.mask.mean() < 0.75


def test_a_plan(tmp_path):
    tensors = plan()
    loaded = kscope.load(write(tmp_path / "plan", tensors, version=2))
    assert loaded.is_plan
    assert (loaded.k_bits == tensors["k_bits"]).all() and (loaded.v_bits == tensors["v_bits"]).all()
    assert (loaded.sink, loaded.recent, loaded.chunk) == (4, 8, 4)


def changed(**tensors):
    return {key: value for key, value in {**plan(), **tensors}.items() if value is not None}


def tables(number, layers=2):
    """Sensitivity of four widths."""
    k, v = (np.full((layers, *axes, 4), number, np.float32) for axes in (SHAPE[1:], SHAPE[1:2]))
    return {"sensitivity_k": k, "sensitivity_v": v}


k_without_v = plan()["v_bits"].copy()
k_without_v[0, 0] = 0
three_bits = plan()["k_bits"].copy()
three_bits[0, 0, 1] = 3
BAD = {
    "version": (changed(), {"version": "3"}, "expected 1 or 2, found \"3\""),
    "v1 with bits": (changed(), {"version": "1"}, "has version 2"),
    "format": (changed(), {"version": 2, "format": "mask"}, "expected kscope-mask"),
    "importance alone": (changed(), {"format": "kscope-importance"}, "found importance alone"),
    "order": (changed(), {"version": 2, "channel_order": "interleaved"}, "expected rotate-half"),
    "chunk": (changed(), {"version": 2, "chunk": 0}, "at least 1"),
    "sink": (changed(), {"version": 2, "sink": "-1"}, "a whole number"),
    "recent": (changed(), {"version": 2, "recent": 1 << 32}, "a whole number"),
    "align": (changed(), {"version": 2, "align": 3}, "one of"),
    "fingerprint": (changed(), {"version": 2, "model_fingerprint": "ab"}, "64 hexadecimal"),
    "recipe": (changed(), {"version": 2, "recipe": "{"}, "JSON"),
    "sparsity": (changed(), {"version": 2, "target_sparsity": "1.5"}, "from 0 to 1"),
    "v_group": (changed(), {"version": 2, "v_group": 0}, "at least 1"),
    "no mask": (changed(mask=None), {"version": 2}, "named mask"),
    "no widths": (changed(v_bits=None), {"version": 2}, "named v_bits"),
    "type": (changed(mask=plan()["mask"].astype(np.int32)), {"version": 2}, "type U8, found I32"),
    "mask of 2": (changed(mask=plan()["mask"] * 2), {"version": 2}, "expected 0 or 1, found 2"),
    "axes": (changed(v_bits=np.zeros((2, 1), np.uint8)), {"version": 2}, "expected the axes"),
    "three bits": (changed(k_bits=three_bits), {"version": 2}, "not 3"),
    "K without V": (changed(v_bits=k_without_v), {"version": 2}, "stores neither"),
    "mask is not bits": (changed(mask=np.ones(SHAPE, np.uint8)), {"version": 2}, "where it has bits"),
    "sensitivity": (changed(**tables(np.nan)), {"version": 2}, "sensitivity_k: expected finite"),
    "sensitivity below 0": (changed(**tables(-1.0)), {"version": 2}, "finite numbers of at least 0"),
    "half a sensitivity": (changed(sensitivity_v=tables(0)["sensitivity_v"]), {"version": 2}, "named sensitivity_k"),
    "sensitivity of others": (changed(**tables(0, 3)), {"version": 2}, "sensitivity_k: expected the axes"),
    "digits": (changed(), {"version": 2, "sink": "9" * 5000}, "a whole number"),
    "importance": (changed(importance=np.full(SHAPE, np.nan, np.float32)), {"version": 2}, "finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_program_refuses_is_refused(tmp_path, program, name):
    tensors, metadata, sentence = BAD[name]
    path = write(tmp_path / "bad.safetensors", tensors, **metadata)
    with pytest.raises(ValueError) as error:
        kscope.load(path)
    assert sentence in str(error.value) and str(error.value).startswith(str(path))
    # `run` and not `show`: that one also takes importance.
    done = subprocess.run([program, "run", "--mask", path, "--token-ids", "1"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr


SPARSITIES = ["1_0e-1", "0_1", " 0.5", "0.5 ", ".5", "5.", "+5e-1", "-0", "1e-400", "nan", "inf", "0x1", "", "٣", "-.1"]
RECIPES = ["NaN", '{"a": -Infinity}', '"\\ud800"', '"\\ud83d\\ude00"', "1e400", "9" * 400, "9" * 300, "", " {} ", "{} x"]
NESTED = ["[" * depth + "]" * depth for depth in (127, 128, 100_000)]
SINKS = ["0" * 5000 + "7", "+3", "4294967295", "4294967296", "-0", "3\n", "", "0", "٣", "00000000000"]


@pytest.mark.parametrize(
    "key, text",
    [(key, text) for key, texts in
     (("target_sparsity", SPARSITIES), ("recipe", RECIPES + NESTED), ("sink", SINKS)) for text in texts],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_texts_of_the_metadata_are_read_as_by_the_program(tmp_path, program, key, text):
    path = write(tmp_path / "mask.safetensors", plan(), **{"version": 2, key: text})
    done = subprocess.run([program, "mask", "show", path], capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    if done.returncode == 0:
        assert kscope.load(path).metadata[key] == text
    else:
        with pytest.raises(ValueError, match=key):
            kscope.load(path)


@pytest.mark.parametrize("key", METADATA)
def test_every_key_of_the_metadata_is_needed(tmp_path, key):
    from safetensors.numpy import save_file

    path = tmp_path / "bad.safetensors"
    save_file({"mask": plan()["mask"]}, path, metadata={k: v for k, v in METADATA.items() if k != key})
    with pytest.raises(ValueError, match=f'expected metadata "{key}", found none'):
        kscope.load(path)


def test_what_is_no_safetensors_file(tmp_path):
    path = tmp_path / "text"
    path.write_text("not a mask")
    with pytest.raises(ValueError, match="expected a safetensors file"):
        kscope.load(path)


def test_another_mask_is_another_object_that_agrees(tmp_path):
    mask = kscope.load(write(tmp_path / "plan", plan(), version=2))
    whole = np.ones(SHAPE, bool)
    with pytest.raises(ValueError, match="where it has bits, found k_bits 0 and mask 1"):
        dataclasses.replace(mask, mask=whole)
    with pytest.raises(ValueError, match="expected the axes"):
        dataclasses.replace(mask, v_bits=mask.v_bits[:1])
    with pytest.raises(ValueError, match="tensor mask: expected type bool, found uint8"):
        dataclasses.replace(mask, mask=mask.mask.astype(np.uint8))
    with pytest.raises(ValueError, match="chunk: expected a whole number of at least 1, found 0"):
        dataclasses.replace(mask, chunk=0)
    given = whole.astype(np.uint8) * 16
    other = dataclasses.replace(mask, mask=whole, k_bits=given, v_bits=given.max(2))
    given[:] = 0
    assert (other.k_bits == 16).all() and not other.prunes


@pytest.mark.parametrize("ending", [".pth", ".npy", ".tsv"])
def test_arrays_of_others_are_named(tmp_path, ending):
    path = tmp_path / f"mask{ending}"
    path.write_bytes(b"0 1 1 0")
    with pytest.raises(ValueError, match="`kscope mask import` makes one"):
        kscope.load(path)


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match="expected a file, found a folder"):
        kscope.load(tmp_path)


def test_a_mask_of_a_type_that_numpy_lacks(tmp_path):
    head = json.dumps({
        "__metadata__": METADATA, "mask": {"dtype": "BF16", "shape": [1, 1, 2], "data_offsets": [0, 4]},
    }).encode()  # fmt: skip
    path = tmp_path / "mask.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(ValueError, match="tensor mask: expected type U8, found BF16"):
        kscope.load(path)
