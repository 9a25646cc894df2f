"""Tiny models in transformers, and tokens for them."""

import numpy as np
import torch
from transformers import AutoModelForCausalLM


def opened(folder):
    """A model that attends through kscope."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.set_attn_implementation("kscope")
    return model


def shape(config):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_hidden_layers, config.num_key_value_heads, head_dim


def tokens(config, count, seed):
    return np.random.default_rng(seed).integers(3, config.vocab_size, count).tolist()


@torch.no_grad()
def logprobs(model, cache, prompt, ids):
    """Log-probabilities of forced tokens, as kscope reports them."""
    out, fed = [], torch.tensor([prompt])
    for token in ids:
        logits = model(fed, past_key_values=cache).logits[0, -1]
        out.append(float(logits.log_softmax(-1)[token]))
        fed = torch.tensor([[token]])
    return out
