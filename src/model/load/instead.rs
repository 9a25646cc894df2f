//! Which tensor of a checkpoint stands where another is expected: what a sentence about a missing one
//! adds.

use crate::error::shortened;

/// Ends of names, and what a tensor that is called so is.
const FORMS: [(&str, &str); 4] = [
    (".base_layer.weight", "the base of a LoRA adapter that is not merged"),
    (".weight_g", "weight normalisation that is not folded in"),
    (".weight_v", "weight normalisation that is not folded in"),
    (".gamma", "an older name, which kscope does not read"),
];

/// Q, K and V in one tensor, by its place in a layer and what it stands for.
const FUSED: [(&str, &[&str]); 4] = [
    ("qkv_proj", &["q_proj", "k_proj", "v_proj"]),
    ("W_pack", &["q_proj", "k_proj", "v_proj"]),
    ("gate_up_proj", &["gate_proj", "up_proj"]),
    ("attn_qkv", &["attn_q", "attn_k", "attn_v"]),
];

/// In brackets after a space: the tensor among `held` that is there in place of `wanted`, and what it
/// is; empty where none is found.
pub(super) fn of<'a>(held: impl Iterator<Item = &'a str>, wanted: &str) -> String {
    let names: Vec<&str> = held.collect();
    let held = || names.iter().copied();
    let found = |name: &str, what: &str| match what {
        "" => format!(" (there is `{}`)", shortened(name)),
        what => format!(" (there is `{}`: {what})", shortened(name)),
    };
    let stem = wanted.strip_suffix(".weight").unwrap_or(wanted);
    if let Some(part) = stem.strip_suffix("_exps") {
        let (one, both) = (format!("{part}.0.weight"), part.replace("ffn_gate", "ffn_gate_up"));
        let both = format!("{both}_exps.weight");
        if let Some(name) = held().find(|name| **name == one) {
            return found(
                name,
                "each expert apart, as old files have them; convert the model anew",
            );
        }
        if let Some(name) = held().find(|name| **name == both) {
            return found(name, "several in one, which kscope does not take apart");
        }
    }
    for (end, what) in FORMS {
        let own = format!("{stem}{end}");
        if let Some(name) = held().filter(|name| name.ends_with(&own)).min() {
            return found(name, what);
        }
    }
    for (fused, parts) in FUSED {
        for part in parts.iter().filter(|part| stem.ends_with(**part)) {
            let own = format!("{}{fused}", &stem[..stem.len() - part.len()]);
            let is_fused =
                |name: &&str| name.strip_suffix(".weight").is_some_and(|name| name.ends_with(&own));
            if let Some(name) = held().find(is_fused) {
                return found(name, "several in one, which kscope does not take apart");
            }
        }
    }
    let longer = format!(".{wanted}");
    if let Some(name) = held().filter(|name| name.ends_with(&longer)).min() {
        return found(name, "");
    }
    // Another word in front.
    let rest = wanted.split_once('.').map(|(_, rest)| format!(".{rest}"));
    let other = rest.filter(|rest| rest.matches('.').count() > 1);
    let other = other.and_then(|rest| held().filter(|name| name.ends_with(&rest)).min());
    other.map(|name| found(name, "")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_place_of_a_tensor_is_named() {
        let q = "model.layers.0.self_attn.q_proj.weight";
        for (held, wanted, words) in [
            ("model.layers.0.self_attn.qkv_proj.weight", q, "several in one"),
            ("blk.0.attn_qkv.weight", "blk.0.attn_v.weight", "several in one"),
            ("model.layers.0.self_attn.q_proj.base_layer.weight", q, "LoRA"),
            ("model.layers.0.mlp.up_proj.weight_g", "model.layers.0.mlp.up_proj.weight", "folded"),
            ("model.norm.gamma", "model.norm.weight", "older name"),
            ("module.lm_head.weight", "lm_head.weight", "`module.lm_head.weight`"),
            ("transformer.embed_tokens.weight", "model.embed_tokens.weight", "`transformer."),
            ("blk.0.ffn_gate.0.weight", "blk.0.ffn_gate_exps.weight", "convert the model anew"),
            ("blk.0.ffn_gate_up_exps.weight", "blk.0.ffn_gate_exps.weight", "several in one"),
        ] {
            let said = of([held, "x.bias"].into_iter(), wanted);
            assert!(said.contains(words) && said.contains(held), "{held}: {said}");
        }
        for held in ["model.layers.1.self_attn.qkv_proj.weight", "model.norm.weight", "a.weight"] {
            assert_eq!(of([held].into_iter(), q), "", "{held}");
        }
    }
}
