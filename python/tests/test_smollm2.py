"""SmolLM2-135M from its GGUF file: the same text as the program, and the memory at 4,096 tokens."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

import kscope
from kscope.hf import KscopeCache

ROOT = Path(__file__).parents[2]
MASK = ROOT / "masks" / "smollm2-135m-0.7.safetensors"


@pytest.fixture(scope="module")
def file(program):
    """The GGUF file that `kscope fetch smollm2-135m` leaves."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kscope" / "models"
    found = sorted(cache.rglob("*.gguf")) if cache.is_dir() else []
    found = [path for path in found if "smollm2" in str(path).lower()]
    if not found:
        pytest.skip("SmolLM2-135M is not here: kscope fetch smollm2-135m")
    return found[0]


@pytest.fixture(scope="module")
def model(file):
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    model.set_attn_implementation("kscope")
    return model


@torch.no_grad()
def test_generate_gives_the_text_of_the_program(program, file, model):
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    text = (ROOT / "tests" / "vectors" / "smollm2_text.txt").read_text() * 3
    prompt = tokenizer(text)["input_ids"][:320]
    command = [program, "run", "--model", file, "--mask", MASK, "--dtype", "f32", "--kv-dtype", "f32", "--threads", "1"]
    command += ["--token-ids", ",".join(map(str, prompt)), "--max-new", "40", "--ignore-eos"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cache = KscopeCache(model.config, kscope.load(MASK))
    out = model.generate(
        torch.tensor([prompt]), past_key_values=cache, max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert tokenizer.decode(out[0, len(prompt) :]).strip() == done.stdout.strip()
    assert cache.stored_bytes < 0.8 * 359 * 30 * 3 * 2 * 64 * 4


@torch.no_grad()
def test_memory_at_4096_tokens(model):
    mask = kscope.load(MASK)
    ours, usual = KscopeCache(model.config, mask), DynamicCache()
    heads, head_dim = mask.mask.shape[1:]
    for layer in range(len(mask.mask)):
        keys = torch.randn(1, heads, 4096, head_dim, generator=torch.Generator().manual_seed(layer)).half()
        usual.update(keys, keys, layer)
        row = ours.layers[layer]
        row.update(keys, keys)
        row.fill(keys, keys, None)
    dense = sum(layer.keys.nbytes + layer.values.nbytes for layer in usual.layers)
    print(f"4,096 tokens in f16: DynamicCache {dense:,} bytes, KscopeCache {ours.stored_bytes:,} stored, {ours.allocated_bytes:,} allocated")
    assert dense == 4096 * 30 * 3 * 2 * 64 * 2
    assert ours.stored_bytes == mask.bytes_at(4096) < 0.75 * dense
    assert ours.allocated_bytes < 1.25 * ours.stored_bytes
