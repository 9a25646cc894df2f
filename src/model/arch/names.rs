//! The names that checkpoints and GGUF files give to the same things.

use super::ExpertNames;

/// One name in the two kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling {
    /// The name in a Hugging Face folder.
    pub hf: &'static str,
    /// The name in a GGUF file.
    pub gguf: &'static str,
}

impl Spelling {
    /// A pair of names.
    pub const fn new(hf: &'static str, gguf: &'static str) -> Self {
        Self { hf, gguf }
    }
}

/// Keys of a `config.json`, and those of a GGUF file's metadata after the architecture's prefix.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// Decoder layers.
    pub layers: Spelling,
    /// Width of the residual stream.
    pub hidden: Spelling,
    /// Width of the gated MLP.
    pub intermediate: Spelling,
    /// Query heads per layer.
    pub heads: Spelling,
    /// KV heads per layer; as many as query heads where it is not given.
    pub kv_heads: Spelling,
    /// Channels per head; `hidden / heads` where it is not given.
    pub head_dim: Spelling,
    /// Tokens of the context.
    pub context: Spelling,
    /// Tokens that attention looks back.
    pub window: Spelling,
    /// Epsilon of the RMS norms.
    pub rms_eps: Spelling,
    /// Base of the rotary frequencies.
    pub rope_theta: Spelling,
}

impl Keys {
    fn all(&self) -> [Spelling; 10] {
        [
            self.layers,
            self.hidden,
            self.intermediate,
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.context,
            self.window,
            self.rms_eps,
            self.rope_theta,
        ]
    }

    /// All of them in a `config.json`.
    pub fn hf(&self) -> [&'static str; 10] {
        self.all().map(|key| key.hf)
    }

    /// All of them in a GGUF file, without the architecture's prefix.
    pub fn gguf(&self) -> [&'static str; 10] {
        self.all().map(|key| key.gguf)
    }
}

/// Names of tensors, without `.weight` or `.bias`.
#[derive(Debug, Clone, Copy)]
pub struct TensorNames {
    /// The embedding.
    pub embedding: Spelling,
    /// The norm after the last block.
    pub norm: Spelling,
    /// The output projection.
    pub head: Spelling,
    /// The prefix of a block's number.
    pub blocks: Spelling,
    /// The norm before attention; this and all below come after a block's number.
    pub attention_norm: Spelling,
    /// Projection to queries.
    pub q: Spelling,
    /// Projection to keys.
    pub k: Spelling,
    /// Projection to values.
    pub v: Spelling,
    /// q, k and v in one projection, where a file has them so.
    pub qkv: Option<Spelling>,
    /// Norm of each query head, where there is one.
    pub q_norm: Spelling,
    /// Norm of each key head, where there is one.
    pub k_norm: Spelling,
    /// Projection of the attention output.
    pub output: Spelling,
    /// The norm of what attention adds, where there is one.
    pub attention_after: Option<Spelling>,
    /// The norm before the MLP.
    pub mlp_norm: Spelling,
    /// The MLP's gate.
    pub gate: Spelling,
    /// What the gate is multiplied with.
    pub up: Spelling,
    /// The gate and what it is multiplied with in one projection, where a file has them so.
    pub gate_up: Option<Spelling>,
    /// Projection of the MLP's output.
    pub down: Spelling,
    /// The norm of what the MLP adds, where there is one.
    pub mlp_after: Option<Spelling>,
    /// Those of experts, where layers have them.
    pub experts: Option<ExpertNames>,
}

impl TensorNames {
    /// The same, with norms of what attention and MLP add. The norm before the MLP then has another
    /// name.
    pub(super) const fn with_norms_after(self) -> Self {
        Self {
            attention_after: Some(Spelling::new("post_attention_layernorm", "post_attention_norm")),
            mlp_norm: Spelling::new("pre_feedforward_layernorm", "ffn_norm"),
            mlp_after: Some(Spelling::new("post_feedforward_layernorm", "post_ffw_norm")),
            ..self
        }
    }

    /// The prefix of the names of a block's parts in a checkpoint.
    pub fn block_prefix(&self, layer: usize) -> String {
        format!("{}.{layer}.", self.blocks.hf)
    }

    /// A part of a block in a GGUF file; `kind` is `weight` or `bias`.
    pub fn gguf_part(&self, layer: usize, part: Spelling, kind: &str) -> String {
        format!("{}.{layer}.{}.{kind}", self.blocks.gguf, part.gguf)
    }

    /// The GGUF name of a checkpoint's tensor.
    pub fn gguf(&self, hf: &str) -> Option<String> {
        let (module, kind) = hf.rsplit_once('.')?;
        let whole = [self.embedding, self.norm, self.head];
        if let Some(name) = whole.into_iter().find(|name| name.hf == module) {
            return Some(format!("{}.{kind}", name.gguf));
        }
        let of_expert = || self.expert_of(module).map(|(layer, _, part)| (layer, part));
        let (layer, part) = self.part_of(module).or_else(of_expert)?;
        Some(format!("{}.{layer}.{}.{kind}", self.blocks.gguf, part.gguf))
    }

    /// The block, the number and the part of an expert that `{blocks}.{layer}.{list}.{expert}.{part}`
    /// names.
    pub fn expert_of<'a>(&self, module: &'a str) -> Option<(&'a str, usize, Spelling)> {
        let (layer, part) = self.in_block(module)?;
        let (expert, part) = self.experts?.part_of(part)?;
        Some((layer, expert, part))
    }

    /// The number of a block, and what comes after it in the name of a part.
    fn in_block<'a>(&self, module: &'a str) -> Option<(&'a str, &'a str)> {
        module.strip_prefix(self.blocks.hf)?.strip_prefix('.')?.split_once('.')
    }

    /// Whether a checkpoint's tensor belongs to the projection to queries or keys.
    pub fn is_q_or_k(&self, hf: &str) -> bool {
        hf.rsplit_once('.')
            .and_then(|(module, _)| self.part_of(module))
            .is_some_and(|(_, part)| part == self.q || part == self.k)
    }

    /// The block and the part that `{blocks}.{layer}.{part}` names.
    pub fn part_of<'a>(&self, module: &'a str) -> Option<(&'a str, Spelling)> {
        let (layer, part) = self.in_block(module)?;
        let parts = [
            self.attention_norm,
            self.q,
            self.k,
            self.v,
            self.q_norm,
            self.k_norm,
            self.output,
            self.mlp_norm,
            self.gate,
            self.up,
            self.down,
        ];
        let router = self.experts.map(|experts| experts.router);
        let further = [self.qkv, self.attention_after, self.gate_up, self.mlp_after, router];
        let mut all = further.into_iter().flatten().chain(parts);
        Some((layer, all.find(|name| name.hf == part)?))
    }
}
