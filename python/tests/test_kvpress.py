"""The press that `kscope mask export --kvpress` writes, in kvpress itself (skipped where it is not installed)."""

import importlib.util
import subprocess

import numpy as np
import pytest

pytest.importorskip("kvpress")
import torch
from transformers import AttentionInterface, AutoModelForCausalLM, DynamicCache


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
