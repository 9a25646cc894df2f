//! Checkpoints whose weights are quantised in a form that is not read: which form, by the
//! configuration or by the tensors.

use serde_json::{Map, Value};

use crate::error::shortened;

/// Methods by what `quant_method` calls them.
const METHODS: &[(&str, &str)] = &[
    ("awq", "AWQ"),
    ("gptq", "GPTQ"),
    ("gptq_v2", "GPTQ"),
    ("compressed-tensors", "compressed-tensors"),
    ("bitsandbytes", "bitsandbytes"),
    ("fp8", "FP8"),
    ("fbgemm_fp8", "FP8 (FBGEMM)"),
    ("mxfp4", "MXFP4"),
    ("hqq", "HQQ"),
    ("torchao", "torchao"),
    ("quanto", "Quanto"),
    ("aqlm", "AQLM"),
    ("vptq", "VPTQ"),
    ("eetq", "EETQ"),
    ("higgs", "HIGGS"),
    ("spqr", "SpQR"),
    ("bitnet", "BitNet"),
    ("modelopt", "ModelOpt"),
    ("auto-round", "AutoRound"),
    ("exl2", "ExLlamaV2"),
    ("exl3", "ExLlamaV3"),
    ("quark", "Quark"),
    ("fp_quant", "FP-Quant"),
];

/// Endings of tensor names that only one method writes, in the order in which they are tried; the
/// second must be there as well.
const ENDINGS: &[(&str, &str, &str)] = &[
    (".qweight", ".g_idx", "GPTQ"),
    (".qweight", ".qzeros", "AWQ"),
    (".qweight", "", "AWQ or GPTQ"),
    (".weight_packed", "", "compressed-tensors"),
    (".quant_state.bitsandbytes__nf4", "", "bitsandbytes (4 bits)"),
    (".quant_state.bitsandbytes__fp4", "", "bitsandbytes (4 bits)"),
    (".weight.absmax", "", "bitsandbytes (4 bits)"),
    (".weight.quant_map", "", "bitsandbytes (4 bits)"),
    (".SCB", "", "bitsandbytes (8 bits)"),
    (".weight_scale_inv", "", "FP8"),
    (".weight_scale_2", "", "NVFP4 (ModelOpt)"),
    (".weight_scale", "", "FP8 or compressed-tensors"),
    (".W_q", "", "HQQ"),
    (".weight._data", "", "Quanto"),
    (".weight_blocks", ".weight_scales", "MXFP4"),
    ("_proj_blocks", "_proj_scales", "MXFP4"),
    (".q_weight", ".q_scale", "ExLlamaV2"),
    (".trellis", "", "ExLlamaV3"),
    (".codebooks", ".codes", "AQLM"),
    (".centroids", ".indices", "VPTQ"),
    (".scales", ".biases", "MLX"),
];

const WAY_OUT: &str = "kscope reads F32, F16 and BF16 weights, so take the checkpoint that this one was made from, or a GGUF file";

/// Why a checkpoint's weights cannot be read, where its `config.json` says how they are quantised;
/// ends a sentence that names that file. `tensors` are the names in its weight files.
pub(super) fn by_config(config: &Map<String, Value>, tensors: &[&str]) -> Option<String> {
    let sections =
        ["quantization_config", "compression_config", "quantization", "quantization_config_dict"];
    let (key, section) = sections.into_iter().find_map(|key| match config.get(key)? {
        Value::Object(section) if section.is_empty() => None,
        section @ (Value::Object(_) | Value::String(_)) => Some((key, section)),
        _ => None,
    })?;
    let text = |name: &str| section.get(name).and_then(Value::as_str);
    let flag = |name: &str| section.get(name).and_then(Value::as_bool).unwrap_or(false);
    // compressed-tensors says so where it left the weights as they were.
    if by_tensors(tensors).is_none()
        && (text("format") == Some("dense") || text("quantization_status") == Some("dense"))
    {
        return None;
    }
    let names = [section.as_str(), text("quant_method"), text("method"), text("quant_algo")];
    let stated = names.into_iter().flatten().find(|name| !name.is_empty());
    let bits = section.get("bits").or_else(|| section.get("w_bit")).and_then(Value::as_u64);
    let method = match stated.map(str::to_ascii_lowercase) {
        Some(stated) if stated == "bitsandbytes" || stated.starts_with("bitsandbytes") => {
            bitsandbytes(&flag)
        }
        Some(stated) => METHODS.iter().find(|(name, _)| *name == stated).map_or_else(
            || format!("`{}`", shortened(&stated)),
            |(_, method)| (*method).to_owned(),
        ),
        None if flag("load_in_4bit") || flag("load_in_8bit") => bitsandbytes(&flag),
        None if key == "quantization" => "MLX".to_owned(),
        None if key == "compression_config" => "compressed-tensors".to_owned(),
        None => "a method that it does not name".to_owned(),
    };
    let bits = bits.map(|bits| format!(" to {bits} bits")).unwrap_or_default();
    let key = match text("quant_method") {
        Some(method) if !method.is_empty() => format!("{key}.quant_method"),
        _ => key.to_owned(),
    };
    Some(format!("the weights are quantised by {method}{bits} (`{key}`); {WAY_OUT}"))
}

fn bitsandbytes(flag: &dyn Fn(&str) -> bool) -> String {
    let bits = match (flag("load_in_4bit"), flag("load_in_8bit")) {
        (true, _) => " (4 bits)",
        (_, true) => " (8 bits)",
        _ => "",
    };
    format!("bitsandbytes{bits}")
}

/// The same by the names of the tensors; ends a sentence that names the folder.
pub(super) fn by_tensors(tensors: &[&str]) -> Option<String> {
    let ending = |end: &str| tensors.iter().find(|name| name.ends_with(end));
    ENDINGS.iter().find_map(|(first, second, method)| {
        let named = ending(first)?;
        ending(second)?;
        Some(format!(
            "the weights are quantised by {method} (tensor `{}`); {WAY_OUT}",
            shortened(named)
        ))
    })
}
