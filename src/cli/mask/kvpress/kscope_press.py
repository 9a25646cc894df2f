"""A press for kvpress that applies a kscope mask: `kscope mask export --kvpress` wrote it.

    from kscope_press import KscopePress
    press = KscopePress("mask.safetensors")
    pipe(context, question=question, press=press)

Pruned channels of keys become zeros after the prefill, which gives the scores of a cache without
them. So it shows what a mask costs in quality. Memory and time stay those of the dense cache. Keys
of generated tokens stay whole, as in every press that works on the prefill alone.
"""

from dataclasses import dataclass, field

import torch
from kvpress import BasePress
from safetensors import safe_open


@dataclass
class KscopePress(BasePress):
    """Zeroes the key channels that a mask prunes, between the sink and the recent window."""

    path: str
    mask: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self):
        with safe_open(self.path, framework="pt") as file:
            metadata = file.metadata() or {}
            found = [metadata.get(key) for key in ("format", "version", "channel_order")]
            if found != ["kscope-mask", "1", "rotate-half"]:
                raise ValueError(f"{self.path}: expected a kscope mask of version 1, found {found}")
            self.mask = file.get_tensor("mask").bool()
        self.sink, self.recent, self.chunk = (int(metadata[key]) for key in ("sink", "recent", "chunk"))

    @property
    def compression_ratio(self):
        """The share of keys and values in the middle that a cache without them would not store."""
        _, _, head_dim = self.mask.shape
        kept = self.mask.sum() + self.mask.any(-1).sum() * head_dim
        return 1 - kept.item() / (2 * self.mask.numel())

    def post_init_from_model(self, model):
        config = model.config.get_text_config()
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        expected = (config.num_hidden_layers, config.num_key_value_heads, head_dim)
        if tuple(self.mask.shape) != expected:
            raise ValueError(f"{self.path}: expected a mask of shape {expected}, found {tuple(self.mask.shape)}")

    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        tokens = keys.shape[2]
        middle = max(0, tokens - self.sink - self.recent) // self.chunk * self.chunk
        part = slice(self.sink, self.sink + middle)
        keep = self.mask[module.layer_idx].to(keys.device)
        keys = keys.clone()
        keys[:, :, part] *= keep[None, :, None].to(keys.dtype)
        # A dropped head does not see its middle: kvpress hides these (batch, head, token) from it.
        dropped = (~keep.any(-1)).nonzero().flatten()
        if middle and len(dropped):
            batch = torch.arange(len(keys), device=keys.device)
            at = torch.arange(part.start, part.stop, device=keys.device)
            hidden = torch.cartesian_prod(batch, dropped, at)
            module.masked_key_indices = tuple(hidden.T)
        else:
            module.masked_key_indices = None
        return keys, values
