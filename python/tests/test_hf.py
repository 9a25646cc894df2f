"""The cache in transformers against the kscope program."""

import numpy as np
import pytest
import torch
from models import logprobs, opened, shape, tokens
from transformers import DynamicCache

import kscope
from kscope.hf import KscopeCache

# Two layers at least, one to six query heads per KV head, biases, k-norms, head sizes 16 to 80.
MODELS = ["llama", "llama-gqa3", "llama3", "mistral", "qwen2", "qwen3", "llama-hd80-gqa7"]


@pytest.mark.parametrize("plan", [False, True], ids=["mask", "plan"])
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_bytes_are_those_of_the_program(tiny, ragged, forced, name, plan):
    folder = tiny(name)
    model = opened(folder)
    path = ragged(shape(model.config), plan, chunk=8 if plan else 3)
    prompt, ids = tokens(model.config, 60, 1), tokens(model.config, 30, 2)
    expected = forced(folder, path, prompt, ids)
    mask = kscope.load(path)
    cache = KscopeCache(model.config, mask)
    found = logprobs(model, cache, prompt, ids)
    assert np.abs(np.array(found) - expected["logprobs"]).max() < 1e-3
    # The last forced token is not fed.
    assert cache.get_seq_length() == 89
    assert cache.stored_bytes == expected["kv_bytes"] == mask.bytes_at(89, 4)
    assert cache.allocated_bytes >= cache.stored_bytes
    # A dense cache says something else, so the comparison can fail.
    dense = logprobs(model, DynamicCache(), prompt, ids)
    assert np.abs(np.array(dense) - expected["logprobs"]).max() > 3e-3


@pytest.mark.parametrize("chunk", [1, 2, 12, 64])
def test_groups_of_every_size(tiny, ragged, forced, chunk):
    folder = tiny("llama-gqa3")
    model = opened(folder)
    path = ragged(shape(model.config), True, chunk=chunk)
    prompt, ids = tokens(model.config, 150, 3), tokens(model.config, 70, 4)
    expected = forced(folder, path, prompt, ids)
    cache = KscopeCache(model.config, kscope.load(path))
    found = logprobs(model, cache, prompt, ids)
    # Sums in another order move keys by some 1e-6 of the largest, and over 200 tokens a code may fall
    # on the other side of a tie: with noise of that size the package differs from itself by .0004 to
    # .0022 here (chunk 1, four draws), and from the program by .0010.
    assert np.abs(np.array(found) - expected["logprobs"]).max() < 3e-3
    assert cache.stored_bytes == expected["kv_bytes"]


@torch.no_grad()
def test_a_padded_batch_is_its_rows(tiny, ragged):
    model = opened(tiny("qwen3"))
    mask = kscope.load(ragged(shape(model.config), True))
    prompts = [tokens(model.config, count, count) for count in (21, 40, 33)]
    alone = [
        model.generate(
            torch.tensor([prompt]), past_key_values=KscopeCache(model.config, mask), max_new_tokens=20, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )[0, len(prompt) :]
        for prompt in prompts
    ]  # fmt: skip
    most = max(map(len, prompts))
    ids = torch.tensor([[0] * (most - len(prompt)) + prompt for prompt in prompts])
    seen = torch.tensor([[0] * (most - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    cache = KscopeCache(model.config, mask)
    together = model.generate(
        ids, attention_mask=seen, past_key_values=cache, max_new_tokens=20, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    assert [row[most:].tolist() for row in together] == [row.tolist() for row in alone]
    assert cache.stored_bytes == sum(mask.bytes_at(len(prompt) + 19, 4) for prompt in prompts)


@torch.no_grad()
def test_a_crop_inside_the_window_goes_back_exactly(tiny, ragged):
    model = opened(tiny("llama"))
    mask = kscope.load(ragged(shape(model.config), True, recent=16, chunk=4))
    prompt, ids = tokens(model.config, 41, 1), tokens(model.config, 3, 2)
    cache = KscopeCache(model.config, mask)
    first = logprobs(model, cache, prompt, ids)
    cache.crop(-2)
    assert cache.get_seq_length() == 41
    # The prompt's last logits are not asked for again.
    again = logprobs(model, cache, ids[:1], ids[1:])
    assert again == first[1:]
    with pytest.raises(ValueError, match="no longer stored"):
        cache.crop(-20)
    assert cache.get_seq_length() == 43


@torch.no_grad()
@pytest.mark.parametrize("plan", [False, True], ids=["mask", "plan"])
@pytest.mark.parametrize("window", [(0, 0, 1), (4, 0, 1), (0, 0, 4), (30, 0, 1), (4, 8, 4), (1, 3, 2)])
def test_a_crop_goes_back_or_says_that_it_cannot(tiny, ragged, plan, window):
    model = opened(tiny("llama-gqa3"))
    sink, recent, chunk = window
    mask = kscope.load(ragged(shape(model.config), plan, sink=sink, recent=recent, chunk=chunk))
    prompt, ids = tokens(model.config, 20, 1), tokens(model.config, 40, 2)
    cropped = 0
    for length in (37, 36, 33, 25, 21, 20, 4, 1):
        cache = KscopeCache(model, mask)
        logprobs(model, cache, prompt, ids[:21])
        before = cache.stored_bytes
        middle = mask.middle(length)
        if middle < min(mask.middle(40), length - sink):
            with pytest.raises(ValueError, match="no longer stored"):
                cache.crop(-(40 - length))
            assert (cache.get_seq_length(), cache.stored_bytes) == (40, before)
            continue
        cropped += 1
        cache.crop(-(40 - length))
        assert cache.get_seq_length() == length
        assert cache.stored_bytes == mask.bytes_at(length, 4)
        # A cache that was never longer says the same.
        fresh, whole = KscopeCache(model, mask), [*prompt, *ids]
        logprobs(model, fresh, whole[: min(length, 20)], ids[: max(0, length - 20) + 1])
        found, expected = (logprobs(model, each, whole[length : length + 1], ids[30:36]) for each in (cache, fresh))
        assert np.allclose(found, expected, atol=1e-5)
    assert cropped


@torch.no_grad()
def test_more_tokens_at_once_are_decoded_one_by_one(tiny, ragged):
    model = opened(tiny("mistral"))
    mask = kscope.load(ragged(shape(model.config)))
    prompt, more = tokens(model.config, 30, 1), tokens(model.config, 9, 2)
    one, all_at_once = KscopeCache(model.config, mask), KscopeCache(model.config, mask)
    for cache in (one, all_at_once):
        model(torch.tensor([prompt]), past_key_values=cache)
    steps = [model(torch.tensor([[token]]), past_key_values=one).logits[0, 0] for token in more]
    turn = model(torch.tensor([more]), past_key_values=all_at_once).logits[0]
    assert torch.allclose(torch.stack(steps), turn, atol=1e-5)


@torch.no_grad()
def test_beams_have_rows_of_their_own(tiny, ragged):
    model = opened(tiny("llama-gqa3"))
    full = ragged(shape(model.config), recent=4096)
    prompt = torch.tensor([tokens(model.config, 30, 7)])
    options = dict(max_new_tokens=8, num_beams=3, do_sample=False, eos_token_id=None, pad_token_id=0)
    # The window is longer than the text: nothing is pruned, and beams are those of the usual cache.
    ours = model.generate(prompt, past_key_values=KscopeCache(model.config, kscope.load(full)), **options)
    assert ours.tolist() == model.generate(prompt, **options).tolist()
