//! Windows of layers in a `config.json`.

use serde_json::Value;

use super::fields::{Fields, shown};
use crate::Result;
use crate::error::shortened;
use crate::model::additions::LayerKind;
use crate::model::arch::{Architecture, WindowLayers};

/// From which layer on windows hold, where a configuration with windows does not say it.
pub(super) const MAX_WINDOW_LAYERS: usize = 28;

const SLIDING: &str = "sliding_attention";

/// Gives the layers that have a window theirs; `kinds` says which of them rotate, where not all do.
pub(super) fn read(
    fields: Fields<'_>,
    architecture: &Architecture,
    layers: usize,
    kinds: &mut Vec<LayerKind>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let key = architecture.keys.window.hf;
    let named = kinds_of_layers(fields, layers)?;
    let slides = named.as_ref().map(|kinds| kinds.contains(&SLIDING));
    let Some(rule) = &architecture.window else {
        if slides == Some(true) {
            let what = format!("has layers of {SLIDING}, which {} lacks", architecture.spelling.hf);
            return Err(fields.wrong("layer_types", &what));
        }
        if let Some(value) = fields.value(key) {
            warnings.push(format!(
                "{}: `{key}` {} means nothing in {}, whose layers look back at all tokens",
                fields.origin,
                shown(value),
                architecture.spelling.hf
            ));
        }
        return Ok(());
    };
    let unsaid = rule.unsaid.filter(|_| !fields.map.contains_key(key));
    let stated = fields.count(key)?.or(unsaid);
    let is_used = !rule.flag || fields.flag("use_sliding_window")?.unwrap_or(false);
    let window = stated.filter(|_| is_used);
    if window == Some(0) {
        return Err(fields.wrong(key, "must be at least 1, not 0"));
    }
    let mut first = 0;
    if rule.layers == WindowLayers::Last {
        fields.refuse_null("max_window_layers", "a count")?;
        first = fields.count("max_window_layers")?.unwrap_or(MAX_WINDOW_LAYERS);
    }
    if slides == Some(true) && window.is_none() {
        let what = format!("has layers of {SLIDING}, but no `{key}` is in use");
        return Err(fields.wrong("layer_types", &what));
    }
    let which = match rule.layers {
        WindowLayers::AllButEvery(every, key) if !key.is_empty() => {
            fields.refuse_null(key, "a count")?;
            match fields.count(key)?.unwrap_or(every) {
                0 => return Err(fields.wrong(key, "must be at least 1, not 0")),
                every => WindowLayers::AllButEvery(every, key),
            }
        }
        usual => usual,
    };
    let hf = architecture.spelling.hf;
    let Some(window) = window else { return Ok(()) };
    if !fields.map.contains_key(key) {
        warnings.extend(fields.defaults_hold(hf, &[format!("`{key}` {window}")]));
    }
    kinds.resize(layers, LayerKind::default());
    for (layer, kind) in kinds.iter_mut().enumerate() {
        let by_rule = which.include(layer, kind.rotation, first);
        let named = named.as_ref().and_then(|named| named.get(layer)).map(|kind| *kind == SLIDING);
        let has_window = named.unwrap_or(by_rule);
        if !rule.kinds && has_window != by_rule {
            let what = format!("says otherwise of layer {layer} than `{key}`, which {hf} goes by");
            return Err(fields.wrong("layer_types", &what));
        }
        kind.window = has_window.then_some(window);
    }
    if kinds.iter().all(|kind| *kind == LayerKind::default()) {
        kinds.clear();
    }
    Ok(())
}

/// What `layer_types` says of each layer.
fn kinds_of_layers(fields: Fields<'_>, layers: usize) -> Result<Option<Vec<&str>>> {
    let key = "layer_types";
    let Some(value) = fields.value(key) else { return Ok(None) };
    let kinds = value.as_array().map(|kinds| kinds.iter().map(Value::as_str));
    let Some(kinds) = kinds.and_then(|kinds| kinds.collect::<Option<Vec<_>>>()) else {
        return Err(fields.wrong(key, &format!("must be a list of strings, not {}", shown(value))));
    };
    if let Some(other) = kinds.iter().find(|kind| !["full_attention", SLIDING].contains(kind)) {
        let what = format!("has a layer of `{}`, which is not supported", shortened(other));
        return Err(fields.wrong(key, &what));
    }
    if kinds.len() != layers {
        let what = format!("{} has {} entries for {layers} layers", shown(value), kinds.len());
        return Err(fields.wrong(key, &what));
    }
    Ok(Some(kinds))
}
