//! `config.json` of a Hugging Face checkpoint.

use std::path::Path;

use serde_json::{Map, Value};

use crate::model::arch::Architecture;
use crate::model::config::Config;
use crate::model::rope_scaling::RopeScaling;
use crate::{Error, Result, error};

/// Reads a `config.json`.
pub fn open(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).map_err(|cause| error::io("reading", path, &cause))?;
    parse(&text, &path.display().to_string())
}

/// Reads the configuration; `origin` is the file named in errors.
pub fn parse(text: &str, origin: &str) -> Result<Config> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        Error::input(format!("{origin}: expected a model's configuration as JSON, found {error}"))
    })?;
    let Some(map) = value.as_object() else {
        return Err(Error::input(format!("{origin}: expected a JSON object")));
    };
    let fields = Fields { map, origin };
    let architecture = Architecture::of_model_type(fields.text("model_type")?)
        .map_err(|error| Error::input(format!("{origin}: {error}")))?;
    refuse_unsupported(&fields, architecture)?;

    let (keys, biases) = (&architecture.keys, &architecture.biases);
    let hidden = fields.count(keys.hidden.hf)?;
    let heads = fields.count(keys.heads.hf)?;
    if heads == 0 {
        return Err(fields.wrong(keys.heads.hf, "must be at least 1"));
    }
    let head_dim = fields.optional_count(keys.head_dim.hf)?.unwrap_or(hidden / heads);
    let trained_context = fields.count(keys.context.hf)?;
    let (rope_theta, rope_scaling) = rope(&fields, keys.rope_theta.hf, trained_context)?;
    let mut max_context = trained_context;
    if let RopeScaling::Yarn { factor, original, .. } = rope_scaling {
        max_context = max_context.max((factor * original as f64) as usize);
    }
    // Windowed attention within one window is full attention, so the window is the usable context.
    let unsaid = architecture.window.unsaid.filter(|_| !map.contains_key(keys.window.hf));
    if let Some(window) = fields.optional_count(keys.window.hf)?.or(unsaid)
        && fields.flag("use_sliding_window")?.unwrap_or(architecture.window.used)
    {
        max_context = max_context.min(window);
    }
    let qkv_bias = biases.qkv.holds(|key| fields.flag(key))?;
    let config = Config {
        architecture,
        layers: fields.count(keys.layers.hf)?,
        hidden,
        intermediate: fields.count(keys.intermediate.hf)?,
        heads,
        kv_heads: fields.optional_count(keys.kv_heads.hf)?.unwrap_or(heads),
        head_dim,
        vocab: fields.count("vocab_size")?,
        rms_eps: fields.number(keys.rms_eps.hf)?.unwrap_or(1e-6) as f32,
        rope_theta,
        rope_scaling,
        max_context,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(false),
        qkv_bias,
        output_bias: biases.output.holds(|key| fields.flag(key))?,
        mlp_bias: biases.mlp.holds(|key| fields.flag(key))?,
        qk_norm: architecture.qk_norm,
        eos: token_ids(map.get("eos_token_id")),
        bos: token_ids(map.get("bos_token_id")).first().copied(),
    };
    config.check().map_err(|error| Error::input(format!("{origin}: {error}")))?;
    Ok(config)
}

/// Token ids of a field that is absent, null, a number or a list.
pub fn token_ids(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn refuse_unsupported(fields: &Fields<'_>, architecture: &Architecture) -> Result<()> {
    let known = architecture.activation_names;
    if let Some(act) = fields.map.get("hidden_act").and_then(Value::as_str)
        && !known.contains(&act)
    {
        let only = known.join(" or ");
        return Err(fields.wrong("hidden_act", &format!("`{act}` is not supported, only {only}")));
    }
    if let Some(share) = fields.number("partial_rotary_factor")?
        && share != 1.0
    {
        return Err(
            fields.wrong("partial_rotary_factor", &format!("{share} is not supported, only 1"))
        );
    }
    Ok(())
}

/// Theta and scaling, in the spellings of transformers 4 (`rope_theta`, `rope_scaling` with `type`
/// or `rope_type`) and 5 (`rope_parameters`).
fn rope(
    fields: &Fields<'_>,
    theta_key: &str,
    trained_context: usize,
) -> Result<(f64, RopeScaling)> {
    let section =
        ["rope_parameters", "rope_scaling"].into_iter().find_map(|key| match fields.map.get(key) {
            Some(Value::Object(map)) => Some((key, map)),
            _ => None,
        });
    let top_theta = fields.number(theta_key)?;
    let Some((key, map)) = section else {
        return Ok((top_theta.unwrap_or(10_000.0), RopeScaling::None));
    };
    let origin = format!("{}: {key}", fields.origin);
    let rope = Fields { map, origin: &origin };
    let theta = rope.number("rope_theta")?.or(top_theta).unwrap_or(10_000.0);
    let kind = ["rope_type", "type"]
        .into_iter()
        .find_map(|key| map.get(key).and_then(Value::as_str))
        .unwrap_or("default");
    let required = |name: &str| rope.number(name)?.ok_or_else(|| rope.wrong(name, "is missing"));
    let original = || {
        Ok::<_, Error>(
            rope.optional_count("original_max_position_embeddings")?.unwrap_or(trained_context),
        )
    };
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: required("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: required("factor")?,
            low_freq_factor: required("low_freq_factor")?,
            high_freq_factor: required("high_freq_factor")?,
            original: original()?,
        },
        "yarn" => {
            let factor = required("factor")?;
            RopeScaling::Yarn {
                factor,
                original: original()?,
                beta_fast: rope.number("beta_fast")?.unwrap_or(32.0),
                beta_slow: rope.number("beta_slow")?.unwrap_or(1.0),
                attention_factor: rope
                    .number("attention_factor")?
                    .unwrap_or_else(|| RopeScaling::yarn_attention_factor(factor)),
            }
        }
        other => {
            return Err(rope.wrong(
                "rope_type",
                &format!("`{other}` is not supported (known: default, linear, llama3, yarn)"),
            ));
        }
    };
    Ok((theta, scaling))
}

/// Typed reads of a JSON object that name file, key and value when they fail.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    origin: &'a str,
}

impl Fields<'_> {
    fn wrong(&self, key: &str, what: &str) -> Error {
        Error::input(format!("{}: `{key}` {what}", self.origin))
    }

    fn text(&self, key: &str) -> Result<&str> {
        self.map
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| self.wrong(key, "is missing or no string"))
    }

    fn count(&self, key: &str) -> Result<usize> {
        self.optional_count(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
                Some(n) => Ok(Some(n)),
                None => Err(self.wrong(key, &format!("must be a count, not {value}"))),
            },
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(n) => Ok(Some(n)),
                None => Err(self.wrong(key, &format!("must be a number, not {value}"))),
            },
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(value) => Err(self.wrong(key, &format!("must be true or false, not {value}"))),
        }
    }
}
