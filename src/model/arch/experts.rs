//! How files spell mixtures of experts.

use super::Spelling;

/// The keys of an architecture whose layers have experts.
#[derive(Debug, Clone, Copy)]
pub struct ExpertRule {
    /// The key of an expert's width.
    pub width: Spelling,
    /// Experts of a layer, those that a token goes through, and their width, where a `config.json`
    /// does not say.
    pub usual: [usize; 3],
    /// What holds where a `config.json` does not say whether the weights of the chosen experts add up
    /// to 1; `None` where they always do.
    pub normalised: Option<bool>,
    /// Whether a `config.json` may name layers that have one MLP instead.
    pub in_some_layers: bool,
}

impl ExpertRule {
    /// The keys of the number of experts in a `config.json`; transformers takes either.
    pub const COUNTS: [&'static str; 2] = ["num_experts", "num_local_experts"];
    /// The key of that number in a GGUF file.
    pub const COUNT: &'static str = "expert_count";
    /// The key of how many experts a token goes through.
    pub const CHOSEN: Spelling = Spelling::new("num_experts_per_tok", "expert_used_count");
    /// The key of a `config.json` that says whether their weights add up to 1.
    pub const NORMALISED: &'static str = "norm_topk_prob";
    /// The same of a GGUF file. llama.cpp does not read it: the weights always add up to 1.
    pub const NORMALISED_GGUF: &'static str = "expert_weights_norm";
    /// The key of every how manyth layer has experts.
    pub const STEP: &'static str = "decoder_sparse_step";
    /// The key of a list of layers that have none.
    pub const DENSE: &'static str = "mlp_only_layers";

    /// The keys of a `config.json` that are read.
    pub fn hf(&self) -> Vec<&'static str> {
        let mut keys = vec![Self::CHOSEN.hf, self.width.hf];
        keys.extend(Self::COUNTS);
        keys.extend(self.normalised.map(|_| Self::NORMALISED));
        keys.extend(self.in_some_layers.then_some([Self::STEP, Self::DENSE]).into_iter().flatten());
        keys
    }
}

/// The names of experts, after a block's number.
#[derive(Debug, Clone, Copy)]
pub struct ExpertNames {
    /// The linear layer that scores experts.
    pub router: Spelling,
    /// What stands before an expert's number in a checkpoint.
    pub list: &'static str,
    /// An expert's gate: after its number in a checkpoint, of all experts in a GGUF file.
    pub gate: Spelling,
    /// What the gate is multiplied with.
    pub up: Spelling,
    /// Projection of the output.
    pub down: Spelling,
}

impl ExpertNames {
    /// An expert's number and part in a checkpoint's name after the block's number.
    pub(super) fn part_of(&self, part: &str) -> Option<(usize, Spelling)> {
        let (expert, name) = part.strip_prefix(self.list)?.strip_prefix('.')?.split_once('.')?;
        let parts = [self.gate, self.up, self.down];
        Some((expert.parse().ok()?, parts.into_iter().find(|known| known.hf == name)?))
    }
}
