"""Masks and plans in transformers: a cache that does not store what they prune.

    model.set_attn_implementation("kscope")
    model.generate(**inputs, past_key_values=KscopeCache(model, "mask.safetensors"))

A prompt is attended exactly; a mask takes effect from the first decode step on. More tokens given to
a filled cache are decoded one by one, as kscope does. The tokens of a row are counted from its first
token that is not padding.
"""

import hashlib
import json
import os
import re

import torch
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ._file import Mask, load
from ._store import Row

NAME = "kscope"
# What fingerprints call an architecture: Mistral's tensors are Llama's.
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
OTHER_ATTENTION = f'a KscopeCache needs model.set_attn_implementation("{NAME}"), and this model uses another attention'
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class _Keys(torch.Tensor):
    """Keys on their way to `attention`, which stores them. Any other reader would take them for the whole cache."""

    SIZES = (
        torch.Tensor.shape.__get__,
        torch.Tensor.ndim.__get__,
        torch.Tensor.dtype.__get__,
        torch.Tensor.device.__get__,
        torch.Tensor.size,
        torch.Tensor.dim,
    )

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in cls.SIZES:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        raise ValueError(OTHER_ATTENTION)


class _NoGradient(torch.autograd.Function):
    """The output of a decode step; asking for its gradient is an error with a sentence."""

    @staticmethod
    def forward(ctx, query, out):
        return out.view_as(out)

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("a filled KscopeCache gives no gradients: train without it")


def _unreadable(name):
    def read(self):
        raise ValueError(
            f"a KscopeCache has no tensor of whole {name}: presses of kvpress and other readers of {name} "
            "need transformers' DynamicCache"
        )

    def write(self, tensor):
        if tensor is not None:
            read(self)

    return property(read, write)


class KscopeLayer(CacheLayerMixin):
    """One layer: a row of storage per sequence of the batch. The attention function fills it."""

    is_sliding = False
    keys, values = _unreadable("keys"), _unreadable("values")

    def __init__(self, plan, layer, dtype):
        super().__init__()
        self.plan, self.layer, self.dtype = plan, layer, dtype
        self.length, self.rows, self.is_unread = 0, [], False

    @property
    def is_croppable(self):
        """Whether any crop is possible: what has left the window is stored in part."""
        return not self.plan.prunes

    def lazy_initialization(self, key_states, value_states):
        self.device = key_states.device
        self.dtype = _checked(self.dtype or key_states.dtype)
        self.rows = [Row(self.plan, self.layer, self.dtype, self.device) for _ in range(len(key_states))]
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if len(key_states) != len(self.rows):
            raise ValueError(f"expected keys of {len(self.rows)} sequences, found {len(key_states)}")
        if self.is_unread:
            raise ValueError(OTHER_ATTENTION)
        # The attention function stores them: only there is it known which tokens are padding.
        if torch.compiler.is_compiling():
            # Nothing of another class can be compiled, so that another attention shows at the next step.
            keys, self.is_unread = key_states.view_as(key_states), True
        else:
            keys = key_states.as_subclass(_Keys)
        keys.kscope_layer = self
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
        self.length, self.rows, self.is_unread, self.is_initialized = 0, [], False, False

    def crop(self, tokens_to_remove):
        """Removes the last `-tokens_to_remove` tokens; a positive number is the length to keep."""
        if tokens_to_remove == 0 or not self.is_initialized:
            return
        remove = -tokens_to_remove if tokens_to_remove < 0 else self.length - tokens_to_remove
        if remove <= 0:
            return
        length = max(0, self.length - remove)
        # All rows or none.
        rows = [row.clone() for row in self.rows]
        for row in rows:
            row.crop(length)
        self.rows, self.length = rows, length

    def reorder_cache(self, beam_idx):
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats):
        self.rows = [row.clone() for row in self.rows for _ in range(repeats)]

    def batch_select_indices(self, indices):
        indices = torch.as_tensor(indices)
        chosen = indices.nonzero().flatten() if indices.dtype == torch.bool else indices
        self.rows = [self.rows[index].clone() for index in chosen.tolist()]

    @torch.no_grad()
    def attend(self, query, keys, values, shown, scaling):
        """Decode: stores and attends new tokens one by one. [batch, tokens, heads, head_dim]"""
        count = query.shape[2]
        self._expect_all_shown(shown, count)
        out = torch.empty_like(query.transpose(1, 2))
        for index, row in enumerate(self.rows):
            for token in range(count):
                row.append(keys[index, :, token : token + 1], values[index, :, token : token + 1])
                out[index, token] = row.attend(query[index, :, token], scaling).to(out.dtype)
        self.length += count
        return out

    def _expect_all_shown(self, shown, count):
        """Refuses a mask that is not causal over everything that is stored: there is no storage for less."""
        end = self.length + count
        columns = torch.arange(end, device=self.device)
        pads = torch.tensor([row.pad for row in self.rows], device=self.device)[:, None, None, None]
        own = columns[self.length :, None]
        expected = (columns >= pads) & (columns <= own)
        # Without a mask each token sees all columns up to its own.
        shown = columns <= own if shown is None else shown
        if shown.shape[-1] != end:
            raise ValueError(f"expected an attention mask of {end} columns, found {shown.shape[-1]}")
        wrong = (shown != expected).nonzero()
        if len(wrong):
            sequence, _, token, column = wrong[0].tolist()
            verb = "hides" if expected[sequence, 0, token, column] else "shows"
            raise ValueError(
                f"sequence {sequence}: expected an attention mask that shows a token all tokens up to itself, padding "
                f"at the left of the prompt aside, and this one {verb} column {column} at column {self.length + token}"
            )

    @torch.no_grad()
    def fill(self, keys, values, shown):
        """Stores a prompt."""
        pads = [_padding(shown, index) for index in range(len(self.rows))]
        for index, (row, pad) in enumerate(zip(self.rows, pads)):
            row.pad = pad
            row.append(keys[index, :, pad:], values[index, :, pad:])
        self.length += keys.shape[2]


def _shown(mask):
    """An attention mask as bool: True where a key is seen."""
    if mask is None or mask.dtype == torch.bool:
        return mask
    shown = mask == 0
    if not bool((shown | (mask <= torch.finfo(mask.dtype).min / 2)).all()):
        raise ValueError("expected an attention mask of 0 and the lowest number, found biases")
    return shown


def _padding(shown, index):
    """Tokens of padding at the left of a prompt."""
    if shown is None:
        return 0
    last = shown[min(index, len(shown) - 1), :, -1]
    pad = int(last[0].int().argmax())
    if bool(last[:, :pad].any()) or not bool(last[:, pad:].all()):
        raise ValueError(f"sequence {index}: expected padding at the left alone, found some elsewhere")
    return pad


def _checked(dtype):
    if dtype not in DTYPES:
        raise ValueError(f"expected a cache of float32, float16, bfloat16 or float64, found {dtype}")
    return dtype


def fingerprint(config) -> str:
    """kscope's fingerprint of a model, which masks are bound to: sha256 of its sizes and rotation base."""
    rope = getattr(config, "rope_parameters", None) or {}
    theta = float(rope["rope_theta"] if "rope_theta" in rope else config.rope_theta)
    layers, kv_heads, head_dim = _shape(config)
    sizes = {
        "architecture": ARCHITECTURES[config.model_type],
        "head_dim": head_dim,
        "heads": config.num_attention_heads,
        "hidden": config.hidden_size,
        "kv_heads": kv_heads,
        "layers": layers,
        "rope_theta": theta,
    }
    text = json.dumps(sizes, separators=(",", ":"))
    # Python writes 1e+16 where the program writes 1e16.
    return hashlib.sha256(re.sub(r"e\+", "e", text).encode()).hexdigest()


def _shape(config):
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers, getattr(config, "num_key_value_heads", None) or heads, head_dim


def _expect_fit(config, mask):
    """Refuses models that are not supported, and masks of others."""
    if config.model_type not in ARCHITECTURES:
        raise ValueError(f"expected a model of type {', '.join(ARCHITECTURES)}, found {config.model_type}")
    shape = _shape(config)
    if mask.mask.shape != shape:
        raise ValueError(f"expected a mask of shape {list(shape)}, found {list(mask.mask.shape)}")
    own, found = fingerprint(config), mask.metadata.get("model_fingerprint", "")
    if found not in ("", own):
        raise ValueError(
            f"expected a mask for the model with fingerprint {own[:12]}, found one for "
            f"{mask.metadata.get('model') or 'another model'} ({found[:12]})"
        )
    if "sliding_attention" in (getattr(config, "layer_types", None) or []) or (
        config.model_type == "mistral" and config.sliding_window is not None
    ):
        raise ValueError("a model with a sliding window is not supported: set its sliding_window to None")


class KscopeCache(Cache):
    """A cache for `past_key_values` that stores what a mask or plan keeps.

    `model` may be the model or its configuration, `mask` what `kscope.load` gave or a path. `dtype`, a
    floating-point type of 16 bits or more, is the type of whole keys and values (the model's own unless given).
    """

    def __init__(self, model, mask: Mask | str | os.PathLike, dtype: torch.dtype | None = None):
        config = getattr(model, "config", model)
        if not hasattr(config, "get_text_config"):
            raise TypeError(f"expected a model or its configuration, found {type(model).__name__}")
        if isinstance(mask, (str, os.PathLike)):
            mask = load(mask)
        if not isinstance(mask, Mask):
            raise TypeError(f"expected a mask of kscope.load or a path, found {type(mask).__name__}")
        _expect_fit(config.get_text_config(decoder=True), mask)
        dtype = dtype and _checked(dtype)
        super().__init__(layers=[KscopeLayer(mask, layer, dtype) for layer in range(len(mask.mask))])

    @property
    def stored_bytes(self) -> int:
        """Bytes of keys and values, scales included: kscope's `kv_bytes`."""
        return sum(row.stored for layer in self.layers for row in layer.rows)

    @property
    def allocated_bytes(self) -> int:
        """Bytes of all tensors, free space included."""
        return sum(row.allocated for layer in self.layers for row in layer.rows)


def attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, **kwargs):
    """The attention function of `attn_implementation="kscope"`; any other cache gets the usual one."""

    def usual(key):
        # Looked up, since kvpress replaces it by one that hides what a press has dropped.
        attend = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return attend(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)

    layer = getattr(key, "kscope_layer", None)
    if layer is None:
        return usual(key)
    layer.is_unread = False
    if isinstance(key, _Keys):
        with torch._C.DisableTorchFunctionSubclass():
            key = key.as_subclass(torch.Tensor)
    shown = _shown(attention_mask)
    if layer.length == 0:
        layer.fill(key, value, shown)
        return usual(key)
    out = layer.attend(query, key, value, shown, query.shape[-1] ** -0.5 if scaling is None else scaling)
    return (_NoGradient.apply(query, out) if torch.is_grad_enabled() and query.requires_grad else out), None


def _mask(*args, **kwargs):
    # Always a whole mask: padding is read from it.
    return sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False})


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, _mask)
