"""What a KscopeCache cannot do is an error with a sentence, and no other number."""

import copy
import hashlib
import json
import pickle
import subprocess

import numpy as np
import pytest
import torch
from models import logprobs, opened, shape, tokens
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

import kscope
from kscope import hf
from kscope.hf import KscopeCache

PROMPT = 20


def filled(model, mask, batch=1, **options):
    """A cache that holds a prompt, and the ids of prompt and some more."""
    cache = KscopeCache(model, mask, **options)
    ids = torch.tensor([tokens(model.config, PROMPT + 5, seed) for seed in range(batch)])
    with torch.no_grad():
        model(ids[:, :PROMPT], past_key_values=cache)
    return cache, ids


@torch.no_grad()
def test_a_step_that_hides_tokens_of_the_past(tiny, ragged):
    model = opened(tiny("llama"))
    cache, ids = filled(model, ragged(shape(model.config), recent=64), batch=2)
    seen = torch.ones(2, PROMPT + 1, dtype=torch.long)
    seen[1, 3:9] = 0
    with pytest.raises(ValueError, match="sequence 1: .* this one hides column 3 at column 20"):
        model(ids[:, PROMPT : PROMPT + 1], attention_mask=seen, past_key_values=cache)
    # Nothing was stored, and a right mask goes on.
    assert cache.get_seq_length() == PROMPT
    seen[1, 3:9] = 1
    found = model(ids[:, PROMPT : PROMPT + 1], attention_mask=seen, past_key_values=cache).logits[:, -1]
    expected = model(ids[:, : PROMPT + 1]).logits[:, -1]
    assert (found - expected).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("how", ["siblings", "future", "biases", "columns"])
def test_masks_of_four_axes(tiny, ragged, how):
    model = opened(tiny("llama"))
    cache, ids = filled(model, ragged(shape(model.config)))
    lowest = torch.finfo(torch.float32).min
    mask = torch.full((1, 1, 3, PROMPT + 3), lowest).triu(PROMPT + 1)
    sentence = "attention mask"
    if how == "siblings":
        mask[..., PROMPT:] = torch.where(torch.eye(3) > 0, 0.0, lowest)
        sentence = "hides column 20 at column 21"
    elif how == "future":
        mask[..., 0, -1] = 0
        sentence = "shows column 22 at column 20"
    elif how == "biases":
        mask[..., 0, 0] = -1.5
        sentence = "found biases"
    else:
        mask = mask[..., 1:]
        sentence = "expected an attention mask of 23 columns, found 22"
    with pytest.raises(ValueError, match=sentence):
        model(ids[:, PROMPT : PROMPT + 3], attention_mask=mask, past_key_values=cache)


@torch.no_grad()
def test_a_step_that_shows_the_padding(tiny, ragged):
    model = opened(tiny("llama"))
    mask = kscope.load(ragged(shape(model.config)))
    cache, ids = KscopeCache(model, mask), torch.tensor([tokens(model.config, PROMPT, 1)])
    seen = torch.ones(1, PROMPT, dtype=torch.long)
    seen[0, :4] = 0
    model(ids, attention_mask=seen, past_key_values=cache)
    with pytest.raises(ValueError, match="shows column 0"):
        model(ids[:, :1], past_key_values=cache)


@torch.no_grad()
@pytest.mark.parametrize("other", ["sdpa", "eager"])
@pytest.mark.parametrize("how", ["other model", "switched", "copied", "generate"])
def test_a_model_that_attends_otherwise(tiny, ragged, other, how):
    folder = tiny("llama")
    model = opened(folder)
    mask = kscope.load(ragged(shape(model.config)))
    cache, ids = filled(model, mask)
    another = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=other).eval()
    sentence = pytest.raises(ValueError, match="set_attn_implementation")
    if how == "other model":
        cache = KscopeCache(model.config, mask)
        with sentence:
            another(ids, past_key_values=cache)
    elif how == "generate":
        cache = KscopeCache(model.config, mask)
        with sentence:
            another.generate(ids, past_key_values=cache, max_new_tokens=4)
    else:
        cache = copy.deepcopy(cache) if how == "copied" else cache
        model.set_attn_implementation(other)
        with sentence:
            model(ids[:, PROMPT : PROMPT + 1], past_key_values=cache)
        # The failed step left no trace.
        model.set_attn_implementation("kscope")
        fresh, _ = filled(model, mask)
        rest = ids[0, PROMPT:].tolist()
        assert logprobs(model, cache, rest[:1], rest[1:]) == logprobs(model, fresh, rest[:1], rest[1:])


@torch.no_grad()
def test_compiled_models(tiny, ragged):
    folder = tiny("llama")
    model = opened(folder)
    mask = kscope.load(ragged(shape(model.config)))
    ids = torch.tensor([tokens(model.config, PROMPT + 2, 1)])
    compiled, plain = KscopeCache(model, mask), KscopeCache(model, mask)
    run = torch.compile(model, backend="eager")
    for part in (ids[:, :PROMPT], ids[:, PROMPT:]):
        found = run(part, past_key_values=compiled).logits
        assert (found - model(part, past_key_values=plain).logits).abs().max() < 1e-5
    assert compiled.stored_bytes == plain.stored_bytes
    # Another attention answers the prompt rightly, and no more.
    other = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    cache, run = KscopeCache(model, mask), torch.compile(other, backend="eager")
    run(ids[:, :PROMPT], past_key_values=cache)
    with pytest.raises(ValueError, match="set_attn_implementation"):
        run(ids[:, PROMPT:], past_key_values=cache)


@pytest.mark.parametrize("name", ["llama", "llama3", "mistral", "qwen2", "qwen3", "llama-hd80-gqa7"])
def test_a_mask_of_another_model(tiny, ragged, program, name):
    folder = tiny(name)
    config = opened(folder).config
    done = subprocess.run([program, "model", "show", "--model", folder, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    own = json.loads(done.stdout)["fingerprint"]
    assert hf.fingerprint(config) == own
    KscopeCache(config, ragged(shape(config), model_fingerprint=own))
    other = ragged(shape(config), model="other", model_fingerprint="ab" * 32)
    sentence = f"expected a mask for the model with fingerprint {own[:12]}, found one for other \\(abababababab\\)"
    with pytest.raises(ValueError, match=sentence):
        KscopeCache(config, other)


def test_fingerprints_of_large_bases_are_the_programs():
    config = configured("llama", rope_parameters={"rope_type": "default", "rope_theta": 1e16})
    # sha256 of {"architecture":"llama","head_dim":8,...,"rope_theta":1e16}, as serde_json writes it.
    text = '{"architecture":"llama","head_dim":8,"heads":4,"hidden":32,"kv_heads":2,"layers":3,"rope_theta":1e16}'
    assert hf.fingerprint(config) == hashlib.sha256(text.encode()).hexdigest()


def configured(kind, **more):
    sizes = dict(hidden_size=32, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=3, head_dim=8)
    return AutoConfig.for_model(kind, **sizes, **more)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.complex64])
def test_types_that_cannot_hold_keys(tiny, ragged, dtype):
    model = opened(tiny("llama"))
    with pytest.raises(ValueError, match="expected a cache of float32, float16, bfloat16 or float64"):
        KscopeCache(model, ragged(shape(model.config)), dtype=dtype)


@torch.no_grad()
def test_keys_beyond_f16(tiny, ragged):
    model = opened(tiny("llama"))
    model.model.layers[0].self_attn.k_proj.weight.mul_(1e7)
    mask = kscope.load(ragged(shape(model.config)))
    with pytest.raises(ValueError, match="do not fit a cache of f16"):
        filled(model, mask, dtype=torch.float16)
    cache, ids = filled(model, mask, dtype=torch.bfloat16)
    assert model(ids[:, PROMPT : PROMPT + 1], past_key_values=cache).logits.isfinite().all()


def test_a_step_gives_no_gradients(tiny, ragged):
    model = opened(tiny("llama"))
    mask = kscope.load(ragged(shape(model.config)))
    cache, ids = KscopeCache(model, mask), torch.tensor([tokens(model.config, PROMPT, 1)])
    # A prompt is attended as ever, gradients included; what is stored has no history.
    model(ids, past_key_values=cache).logits.sum().backward()
    found = model.model.layers[0].self_attn.k_proj.weight.grad.clone()
    model.zero_grad()
    model(ids, past_key_values=DynamicCache()).logits.sum().backward()
    assert torch.allclose(found, model.model.layers[0].self_attn.k_proj.weight.grad, atol=1e-6)
    copy.deepcopy(cache)
    out = model(ids[:, :2], past_key_values=cache).logits
    with pytest.raises(ValueError, match="gives no gradients"):
        out.sum().backward()


@torch.no_grad()
@pytest.mark.parametrize("how", [{"prompt_lookup_num_tokens": 3}, {"assistant_model": True}])
def test_guesses_of_a_smaller_model(tiny, ragged, how):
    folder = tiny("llama")
    model = opened(folder)
    if "assistant_model" in how:
        how = {"assistant_model": AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()}
    options = dict(max_new_tokens=12, do_sample=False, eos_token_id=2, pad_token_id=0, **how)
    ids = torch.tensor([tokens(model.config, PROMPT, 1) * 2])
    pruned, whole = ragged(shape(model.config)), ragged_full(ragged, model)
    assert not KscopeCache(model, pruned).layers[0].is_croppable
    cache = KscopeCache(model, whole)
    assert cache.layers[0].is_croppable
    assert model.generate(ids, past_key_values=cache, **options).tolist() == model.generate(ids, **options).tolist()
    # Transformers 5.2 does not ask, and finds out in the middle.
    if hasattr(DynamicCache(), "is_croppable"):
        with pytest.raises(ValueError, match="requires a cache that can be cropped"):
            model.generate(ids, past_key_values=KscopeCache(model, pruned), **options)


def ragged_full(ragged, model):
    """A mask that keeps everything."""
    mask = kscope.load(ragged(shape(model.config)))
    full = np.full_like(mask.k_bits, 16)
    return kscope.Mask(
        full > 0, full, full.max(2), None, mask.sink, mask.recent, mask.chunk, mask.v_group, mask.metadata
    )


def test_what_is_no_model_and_what_is_no_mask(tiny, ragged):
    model = opened(tiny("llama"))
    layers, heads, head_dim = shape(model.config)
    mask = kscope.load(ragged((layers, heads, head_dim)))
    for pair in ((mask, model.config), ("llama", mask)):
        with pytest.raises(TypeError, match="expected a model or its configuration, found"):
            KscopeCache(*pair)
    with pytest.raises(TypeError, match="expected a mask of kscope.load or a path, found ndarray"):
        KscopeCache(model, mask.mask)
    with pytest.raises(ValueError, match="expected a mask of shape"):
        KscopeCache(model, ragged((layers, heads, head_dim // 2)))
    with pytest.raises(ValueError, match="expected a model of type llama, mistral, qwen2, qwen3, found gpt2"):
        KscopeCache(configured("gpt2"), mask)
    with pytest.raises(ValueError, match="sliding window"):
        sizes = dict(num_hidden_layers=layers, num_key_value_heads=heads, head_dim=head_dim)
        KscopeCache(type(configured("mistral"))(**sizes), mask)


def test_arrays_cannot_be_edited_behind_the_caches_back(ragged):
    mask = kscope.load(ragged((2, 2, 16), True))
    for each in (mask, copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
        for array in (each.mask, each.k_bits, each.v_bits):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
