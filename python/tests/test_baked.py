"""Folders that `kscope mask bake` wrote, in transformers: they lose what `kscope compare --baked` says."""

import json
import subprocess

import numpy as np
import pytest
import torch
from conftest import write
from transformers import AutoModelForCausalLM


def pairs(path, layers, heads, head_dim, shared):
    """Half of the pairs of every head, of all heads of a layer the same where `shared`; the last head is dropped."""
    random = np.random.default_rng(9)
    half = random.integers(2, size=(layers, 1 if shared else heads, head_dim // 2))
    mask = np.concatenate([half, half], -1) * np.ones((layers, heads, head_dim))
    mask[-1, -1] = 0
    return write(path, {"mask": mask.astype(np.uint8)})


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama-gqa3", "mistral", "qwen2", "qwen3"])
def test_a_baked_folder_loses_what_the_program_says(tiny, tmp_path, program, name):
    folder, out = tiny(name), tmp_path / "baked"
    models = [AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()]
    config = models[0].config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    shape = config.num_hidden_layers, config.num_key_value_heads, head_dim
    mask = pairs(tmp_path / "pairs.safetensors", *shape, shared=name == "qwen3")
    subprocess.run([program, "mask", "bake", folder, mask, out], check=True)
    models.append(AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval())

    ids = np.random.default_rng(2).integers(3, config.vocab_size, 90).tolist()
    command = [program, "compare", "--baked", "--model", folder, "--mask", mask, "--dtype", "f32", "--kv-dtype", "f32"]
    command += ["--token-ids", ",".join(map(str, ids)), "--max-new", "5", "--threads", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout)["prompt_klds"]
    dense, baked = [model(torch.tensor([ids])).logits[0].double().log_softmax(-1) for model in models]
    found = (dense.exp() * (dense - baked)).sum(-1).numpy()
    assert np.mean(found) > 1e-3
    assert np.abs(found - expected).max() < 1e-4
