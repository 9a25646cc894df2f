"""Masks and plans in transformers: a cache that does not store what they prune.

    model.set_attn_implementation("kscope")
    model.generate(**inputs, past_key_values=KscopeCache(model.config, kscope.load("mask.safetensors")))

A prompt is attended exactly; a mask takes effect from the first decode step on. More tokens given to
a filled cache are decoded one by one, as kscope does. The tokens of a row are counted from its first
token that is not padding.
"""

import torch
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from ._file import Mask
from ._store import Row

NAME = "kscope"
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")


class KscopeLayer(CacheLayerMixin):
    """One layer: a row of storage per sequence of the batch. The attention function fills it."""

    is_sliding = False
    is_croppable = True

    def __init__(self, config, plan, layer, dtype):
        super().__init__()
        self.config, self.plan, self.layer, self.dtype = config, plan, layer, dtype
        self.length, self.rows = 0, []

    def lazy_initialization(self, key_states, value_states):
        self.device = key_states.device
        self.dtype = self.dtype or key_states.dtype
        self.rows = [Row(self.plan, self.layer, self.dtype, self.device) for _ in range(len(key_states))]
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs):
        if self.config._attn_implementation != NAME:
            raise ValueError(
                f'a KscopeCache needs model.set_attn_implementation("{NAME}"), '
                f"found {self.config._attn_implementation}"
            )
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if len(key_states) != len(self.rows):
            raise ValueError(f"expected keys of {len(self.rows)} sequences, found {len(key_states)}")
        # The attention function stores them: only there is it known which tokens are padding.
        keys = key_states.view_as(key_states)
        keys.kscope_layer = self
        self.length += key_states.shape[-2]
        return keys, value_states

    def get_mask_sizes(self, query_length):
        # Transformers 5.2 gives the positions of the queries instead of their number.
        query_length = len(query_length) if torch.is_tensor(query_length) else query_length
        return self.length + query_length, 0

    def get_seq_length(self):
        return self.length

    def get_max_length(self):
        return -1

    # The name in versions before 5.24.
    get_max_cache_shape = get_max_length

    def reset(self):
        self.length, self.rows, self.is_initialized = 0, [], False

    def crop(self, tokens_to_remove):
        """Removes the last `-tokens_to_remove` tokens; a positive number is the length to keep."""
        if tokens_to_remove == 0 or not self.is_initialized:
            return
        remove = -tokens_to_remove if tokens_to_remove < 0 else self.length - tokens_to_remove
        if remove <= 0:
            return
        # All rows or none.
        rows = [row.clone() for row in self.rows]
        for row in rows:
            row.crop(row.tokens - remove)
        self.rows, self.length = rows, max(0, self.length - remove)

    def reorder_cache(self, beam_idx):
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats):
        self.rows = [row.clone() for row in self.rows for _ in range(repeats)]

    def batch_select_indices(self, indices):
        indices = torch.as_tensor(indices)
        chosen = indices.nonzero().flatten() if indices.dtype == torch.bool else indices
        self.rows = [self.rows[index].clone() for index in chosen.tolist()]

    def attend(self, query, keys, values, allowed, scaling):
        """Decode: stores and attends new tokens one by one. [batch, tokens, heads, head_dim]"""
        out = torch.empty_like(query.transpose(1, 2))
        for index, row in enumerate(self.rows):
            for token in range(query.shape[2]):
                if allowed is not None and not bool(allowed[index, 0, token, -query.shape[2] + token]):
                    raise ValueError(f"sequence {index}: padding after the prompt is not supported")
                row.append(keys[index, :, token : token + 1], values[index, :, token : token + 1])
                out[index, token] = row.attend(query[index, :, token], scaling).to(out.dtype)
        return out

    def fill(self, keys, values, allowed):
        """Stores a prompt."""
        for index, row in enumerate(self.rows):
            row.pad = _padding(allowed, index)
            row.append(keys[index, :, row.pad :], values[index, :, row.pad :])


def _padding(allowed, index):
    """Tokens of padding at the left of a prompt."""
    if allowed is None:
        return 0
    last = allowed[min(index, len(allowed) - 1), 0, -1]
    pad = int(last.int().argmax())
    if not bool(last[pad:].all()):
        raise ValueError(f"sequence {index}: expected padding at the left alone, found some elsewhere")
    return pad


class KscopeCache(Cache):
    """A cache for `past_key_values` that stores what a mask or plan keeps.

    `dtype` is the type of whole keys and values (the model's own unless given).
    """

    def __init__(self, config, mask: Mask, dtype: torch.dtype | None = None):
        config = config.get_text_config(decoder=True)
        if config.model_type not in ARCHITECTURES:
            raise ValueError(f"expected a model of type {', '.join(ARCHITECTURES)}, found {config.model_type}")
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        shape = (config.num_hidden_layers, kv_heads, head_dim)
        if mask.mask.shape != shape:
            raise ValueError(f"expected a mask of shape {list(shape)}, found {list(mask.mask.shape)}")
        if "sliding_attention" in (getattr(config, "layer_types", None) or []) or (
            config.model_type == "mistral" and config.sliding_window is not None
        ):
            raise ValueError("a model with a sliding window is not supported: set its sliding_window to None")
        super().__init__(layers=[KscopeLayer(config, mask, layer, dtype) for layer in range(shape[0])])

    @property
    def stored_bytes(self) -> int:
        """Bytes of keys and values, scales included: kscope's `kv_bytes`."""
        return sum(row.stored for layer in self.layers for row in layer.rows)

    @property
    def allocated_bytes(self) -> int:
        """Bytes of all tensors, free space included."""
        return sum(row.allocated for layer in self.layers for row in layer.rows)


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    """The attention function of `attn_implementation="kscope"`; any other cache gets the usual one."""
    layer = getattr(key, "kscope_layer", None)
    if layer is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    allowed = attention_mask
    if allowed is not None and allowed.dtype != torch.bool:
        allowed = allowed >= 0
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layer.length == query.shape[2]:
        layer.fill(key, value, allowed)
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    return layer.attend(query, key, value, allowed, scaling), None


def _mask(*args, **kwargs):
    # Always a whole mask: padding is read from it.
    return sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False})


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, _mask)
