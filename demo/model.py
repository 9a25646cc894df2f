"""A small Llama in plain torch; parameter names are the Hugging Face ones."""
import json
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "vocab_size": 2048, "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 5,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "max_position_embeddings": 2560, "rope_theta": 50000.0, "rope_scaling": None, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
    "tie_word_embeddings": True, "initializer_range": 0.02, "use_cache": True, "pretraining_tp": 1,
    "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "float16",
}


class Norm(nn.Module):
    def __init__(self, d, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.h, self.kv, self.hd = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        self.q_proj = nn.Linear(d, self.h * self.hd, bias=False)
        self.k_proj = nn.Linear(d, self.kv * self.hd, bias=False)
        self.v_proj = nn.Linear(d, self.kv * self.hd, bias=False)
        self.o_proj = nn.Linear(self.h * self.hd, d, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.h, self.hd).transpose(1, 2)
        k = self.k_proj(x).view(b, t, self.kv, self.hd).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.kv, self.hd).transpose(1, 2)
        cos, sin = cos.to(q.dtype), sin.to(q.dtype)

        def rope(z):
            half = self.hd // 2
            return z * cos + torch.cat((-z[..., half:], z[..., :half]), -1) * sin

        q, k = rope(q), rope(k)
        g = self.h // self.kv
        k = k[:, :, None].expand(b, self.kv, g, t, self.hd).reshape(b, self.h, t, self.hd)
        v = v[:, :, None].expand(b, self.kv, g, t, self.hd).reshape(b, self.h, t, self.hd)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(o.transpose(1, 2).reshape(b, t, self.h * self.hd))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, f = c["hidden_size"], c["intermediate_size"]
        self.gate_proj = nn.Linear(d, f, bias=False)
        self.up_proj = nn.Linear(d, f, bias=False)
        self.down_proj = nn.Linear(f, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, e = c["hidden_size"], c["rms_norm_eps"]
        self.self_attn, self.mlp = Attention(c), Mlp(c)
        self.input_layernorm, self.post_attention_layernorm = Norm(d, e), Norm(d, e)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList([Layer(c) for _ in range(c["num_hidden_layers"])])
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])


class Llama(nn.Module):
    def __init__(self, c=CONFIG):
        super().__init__()
        self.config, self.model = c, Body(c)
        inv = c["rope_theta"] ** (-torch.arange(0, c["head_dim"], 2).double() / c["head_dim"])
        a = torch.arange(c["max_position_embeddings"]).double()[:, None] * inv[None]
        a = torch.cat((a, a), -1)
        self.register_buffer("cos", a.cos().float(), persistent=False)
        self.register_buffer("sin", a.sin().float(), persistent=False)
        depth = (2 * c["num_hidden_layers"]) ** -0.5
        for n, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.25 if "embed" in n else p.shape[1] ** -0.5
                if n.endswith(("o_proj.weight", "down_proj.weight")):
                    std *= 0.5 * depth
                nn.init.normal_(p, std=std)
        self.start_with_neighbours()

    @torch.no_grad()
    def start_with_neighbours(self):
        """Let three query heads of layer 0 start as "one, two, three tokens back" heads.

        Channel 0 of every embedding is one constant; keys and queries read it alone, with phases
        that add up at the wished distance. Heads that look at a near neighbour are the first
        half of the copying circuit and the slow part to find; all of it is trained on as usual.
        """
        hd, half = self.config["head_dim"], self.config["head_dim"] // 2
        self.model.embed_tokens.weight[:, 0] = 1.0
        self.model.norm.weight.fill_(0.1)
        self.model.norm.weight[0] = 0.0
        theta = self.config["rope_theta"] ** (-torch.arange(half).float() / half)
        use = torch.arange(14)
        at = self.model.layers[0].self_attn
        for kv in range(2):
            w = at.k_proj.weight[kv * hd : (kv + 1) * hd]
            w.mul_(0.3)
            w[use, 0] = 1.6
        for head, back in ((0, 1), (1, 2), (2, 3)):
            w = at.q_proj.weight[head * hd : (head + 1) * hd]
            w.mul_(0.3)
            w[use, 0] = 1.6 * (back * theta[use]).cos()
            w[use + half, 0] = -1.6 * (back * theta[use]).sin()

    def hidden(self, ids):
        t = ids.shape[1]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        return self.model.norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.model.embed_tokens.weight)

    def forward(self, ids):
        return self.logits(self.hidden(ids))


def export(model, out_dir):
    """Write config.json and model.safetensors (f16), each whole or not at all."""
    from safetensors.torch import save_file

    os.makedirs(out_dir, exist_ok=True)
    tensors = {n: p.detach().to(torch.float16).contiguous() for n, p in model.named_parameters()}
    assert all(torch.isfinite(t).all() for t in tensors.values()), "a weight overflows f16"
    tmp = os.path.join(out_dir, "model.safetensors.tmp")
    save_file(tensors, tmp, metadata={"format": "pt"})
    os.chmod(tmp, 0o644)
    os.replace(tmp, tmp[:-4])
    tmp = os.path.join(out_dir, "config.json.tmp")
    with open(tmp, "w") as f:
        json.dump(model.config, f, indent=1)
        f.write("\n")
    os.replace(tmp, tmp[:-4])
