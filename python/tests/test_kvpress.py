"""The press that `kscope mask export --kvpress` writes, in kvpress itself (skipped where it does not run)."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("kvpress")
import torch
import transformers
from packaging.version import Version
from transformers import AttentionInterface, AutoModelForCausalLM, DynamicCache

if Version(transformers.__version__) >= Version("5.3"):
    pytest.skip("kvpress 0.5.5 needs transformers before 5.3", allow_module_level=True)

# Both orders of import give one number: kvpress wraps what is registered when it comes.
ORDER = """
import json, sys
import {first}
import {second}
import torch
from transformers import AutoModelForCausalLM, DynamicCache
sys.path.insert(0, sys.argv[2])
from kscope.hf import KscopeCache
from kscope_press import KscopePress

ids, press = torch.tensor([list(range(3, 63))]), KscopePress(sys.argv[2] + "/mask.safetensors")
out = {{}}
for name in ("sdpa", "kscope"):
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation=name).eval()
    with torch.no_grad():
        cache = DynamicCache()
        with press(model):
            model(ids, past_key_values=cache)
        out[name] = model(ids[:, :1], past_key_values=cache).logits[0, -1].tolist()
        for layer in model.model.layers:
            layer.self_attn.masked_key_indices = None
        cache = KscopeCache(model, sys.argv[2] + "/mask.safetensors")
        if name == "kscope":
            model(ids, past_key_values=cache)
            out["cache"] = model(ids[:, :1], past_key_values=cache).logits[0, -1].tolist()
            try:
                with press(model):
                    model(ids, past_key_values=KscopeCache(model, sys.argv[2] + "/mask.safetensors"))
            except ValueError as error:
                out["error"] = str(error)
        model.set_attn_implementation("sdpa")
        out["dense"] = model(torch.cat([ids, ids[:, :1]], 1)).logits[0, -1].tolist()
print(json.dumps(out))
"""


@pytest.mark.parametrize("order", [("kvpress", "kscope.hf"), ("kscope.hf", "kvpress")], ids=" then ".join)
def test_a_press_on_a_model_that_attends_through_kscope(tmp_path, tiny, ragged, program, order):
    # The first head is whole, the last is dropped.
    mask, folder = ragged((2, 2, 16)), tmp_path / "press"
    subprocess.run([program, "mask", "export", mask, "--kvpress", folder], check=True)
    source = Path(__file__).parents[1] / "src"
    own = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), *filter(None, [os.environ.get("PYTHONPATH")])])}
    script = ORDER.format(first=order[0], second=order[1])
    command = [sys.executable, "-c", script, tiny("llama-gqa3"), folder]
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    pressed, ours, cache, dense = (np.array(out[key]) for key in ("sdpa", "kscope", "cache", "dense"))
    assert np.abs(ours - pressed).max() < 1e-4
    # The cache prunes the same 48 tokens when the next one is decoded.
    assert np.abs(cache - pressed).max() < 1e-4
    assert np.abs(dense - pressed).max() > 0.1
    assert "presses of kvpress and other readers of keys" in out["error"]


@torch.no_grad()
def test_the_press_gives_the_logits_of_zeroed_keys(tmp_path, tiny, ragged, program):
    model = AutoModelForCausalLM.from_pretrained(tiny("llama-gqa3"), dtype=torch.float32).eval()
    # A whole and a dropped head are among them.
    mask = ragged((2, 2, 16))
    subprocess.run([program, "mask", "export", mask, "--kvpress", tmp_path / "press"], check=True)
    spec = importlib.util.spec_from_file_location("kscope_press", tmp_path / "press" / "kscope_press.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    press = module.KscopePress(str(tmp_path / "press" / "mask.safetensors"))

    ids = torch.tensor([np.random.default_rng(1).integers(3, 160, 60).tolist()])
    new, usual, pressed = torch.tensor([[7]]), DynamicCache(), DynamicCache()
    model(ids, past_key_values=usual)
    with press(model):
        model(ids, past_key_values=pressed)
    found = model(new, past_key_values=pressed).logits[0, -1]
    for layer in model.model.layers:
        layer.self_attn.masked_key_indices = None

    middle = slice(4, 4 + 48)
    for layer, keep in zip(usual.layers, press.mask):
        layer.keys[:, :, middle] *= keep[None, :, None]

    def zeroed(module, query, key, value, mask, scaling, **kwargs):
        groups = query.shape[1] // key.shape[1]
        scores = query @ key.repeat_interleave(groups, 1).transpose(2, 3) * scaling
        dropped = (~press.mask[module.layer_idx].any(-1)).repeat_interleave(groups)
        scores[:, dropped, :, middle] = float("-inf")
        return (scores.softmax(-1) @ value.repeat_interleave(groups, 1)).transpose(1, 2), None

    AttentionInterface.register("zeroed", zeroed)
    dense = DynamicCache()
    model(ids, past_key_values=dense)
    dense = model(new, past_key_values=dense).logits[0, -1]
    model.config._attn_implementation = "zeroed"
    expected = model(new, past_key_values=usual).logits[0, -1]
    assert (found - expected).abs().max() < 1e-4
    assert (found - dense).abs().max() > 0.1
