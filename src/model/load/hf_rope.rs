//! The rotary embedding in a `config.json`, in every spelling that transformers 5 reads:
//! `rope_scaling` (of version 4) comes before `rope_parameters`, `rope_type` before `type`, and an
//! `original_max_position_embeddings` beside the section before the one inside it.

use serde_json::Value;

use super::fields::{Fields, shown};
use super::hf_sizes::Sizes;
use crate::error::shortened;
use crate::model::arch::{Architecture, Gemma};
use crate::model::rope_scaling::{LONGEST, RopeScaling};
use crate::{Error, Result};

const ORIGINAL: &str = "original_max_position_embeddings";

/// Keys that every kind of scaling reads.
const COMMON: &[&str] = &["rope_type", "type", "rope_theta", "partial_rotary_factor"];

/// The kinds of scaling and the further keys that they read.
const KINDS: &[(&str, &[&str])] = &[
    ("default", &[]),
    ("linear", &["factor"]),
    ("dynamic", &["factor"]),
    ("llama3", &["factor", "low_freq_factor", "high_freq_factor", ORIGINAL]),
    (
        "yarn",
        &[
            "factor",
            ORIGINAL,
            "attention_factor",
            "beta_fast",
            "beta_slow",
            "mscale",
            "mscale_all_dim",
            "truncate",
        ],
    ),
    ("longrope", &["factor", ORIGINAL, "attention_factor", "short_factor", "long_factor"]),
];

/// The rotation of a configuration.
pub(super) struct HfRope {
    pub(super) theta: f64,
    pub(super) scaling: RopeScaling,
    /// Channels of a head that rotate, where not all do.
    pub(super) rotated: Option<usize>,
    /// Base of the frequencies of layers with a window, where a section gives it.
    pub(super) local_theta: Option<f64>,
}

/// The section of layers that see everything, beside that of layers with a window.
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// A section with a section for each kind of layers, as transformers 5 writes it.
fn of_kinds(
    fields: Fields<'_>,
    (key, rope): (&str, Fields<'_>),
    architecture: &Architecture,
    (sizes, unsaid): (&Sizes, f64),
    warnings: &mut Vec<String>,
) -> Result<HfRope> {
    let section = |kind: &str| match rope.value(kind) {
        Some(Value::Object(map)) => Ok(Some(map)),
        None => Ok(None),
        Some(other) => Err(rope.wrong(kind, &format!("must be an object, not {}", shown(other)))),
    };
    if let Some(other) = rope.map.keys().find(|key| ![FULL, SLIDING].contains(&key.as_str())) {
        return Err(rope.wrong(&shortened(other), "is no kind of layers"));
    }
    let local = match section(SLIDING)? {
        None => unsaid,
        Some(map) => {
            let origin = format!("{}: {SLIDING}", rope.origin);
            let own = Fields { map, origin: &origin };
            match own.text("rope_type")? {
                None | Some("default") => {}
                Some(other) => {
                    let what = format!("`{}` is not supported, only default", shortened(other));
                    return Err(own.wrong("rope_type", &what));
                }
            }
            theta(own, None, (architecture.keys.rope_theta.hf, unsaid))?
        }
    };
    let full = section(FULL)?.cloned().unwrap_or_default();
    let origin = format!("{}: {FULL}", rope.origin);
    let found = in_section(
        fields,
        (&format!("{key}.{FULL}"), Fields { map: &full, origin: &origin }),
        architecture,
        sizes,
        warnings,
    )?;
    let beside = fields.number(Gemma::LOCAL_THETA)?.filter(|&beside| beside != local);
    if let (Some(beside), true) = (beside, rope.value(SLIDING).is_some()) {
        warnings.push(format!(
            "{}: `{}` is {beside} and, in the section of the rotation, {local}; the one in `{key}.{SLIDING}` is used",
            fields.origin,
            Gemma::LOCAL_THETA
        ));
    }
    Ok(HfRope { local_theta: Some(local), ..found })
}

/// Reads theta, scaling and the part of a head that rotates. What has no effect goes into
/// `warnings`.
pub(super) fn read(
    fields: Fields<'_>,
    architecture: &Architecture,
    sizes: &Sizes,
    warnings: &mut Vec<String>,
) -> Result<HfRope> {
    let (theta_key, usual) = (architecture.keys.rope_theta.hf, architecture.defaults.theta);
    let Some(key) = section(fields, warnings)? else {
        let rotated = rotated(fields, None, architecture, sizes.head_dim)?;
        let theta = theta(fields, None, (theta_key, usual))?;
        return Ok(HfRope { theta, scaling: RopeScaling::None, rotated, local_theta: None });
    };
    let Some(Value::Object(map)) = fields.value(key) else {
        return Err(fields.wrong(key, "is no object"));
    };
    let origin = format!("{}: {key}", fields.origin);
    let rope = Fields { map, origin: &origin };
    if let Some(unsaid) = architecture.gemma.and_then(|gemma| gemma.local_theta) {
        if map.contains_key(FULL) {
            return of_kinds(fields, (key, rope), architecture, (sizes, unsaid), warnings);
        }
        if key == "rope_parameters" && !map.values().any(Value::is_object) {
            let what =
                format!("has one rotation for all layers, expected `{FULL}` and `{SLIDING}`");
            return Err(fields.wrong(key, &what));
        }
    }
    if let Some((layers, _)) = map.iter().find(|(_, value)| value.is_object()) {
        return Err(rope.wrong(&shortened(layers), "sets the rotation of one kind of layers, which is not supported: all layers rotate alike"));
    }
    in_section(fields, (key, rope), architecture, sizes, warnings)
}

/// Reads the rotation that one section describes; `key` is what the section is called.
fn in_section(
    fields: Fields<'_>,
    (key, rope): (&str, Fields<'_>),
    architecture: &Architecture,
    sizes: &Sizes,
    warnings: &mut Vec<String>,
) -> Result<HfRope> {
    let (theta_key, usual) = (architecture.keys.rope_theta.hf, architecture.defaults.theta);
    let rotated = rotated(fields, Some(rope), architecture, sizes.head_dim)?;
    let theta = theta(fields, Some(rope), (theta_key, usual))?;
    rope.refuse_null("rope_type", "a string")?;
    let kind = match rope.text("rope_type")? {
        Some(kind) => kind,
        None => rope.text("type")?.unwrap_or("default"),
    };
    let Some((kind, used)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|(known, _)| *known).collect();
        return Err(rope.wrong(
            "rope_type",
            &format!("`{}` is not supported (known: {})", shortened(kind), known.join(", ")),
        ));
    };
    if *kind != "default" {
        rope.refuse_null("partial_rotary_factor", "a number")?;
    }
    if *kind == "yarn" && theta == 1.0 {
        return Err(rope.wrong(theta_key, "must be other than 1 for yarn, not 1"));
    }
    let scaling = scaling(Section { fields, rope, architecture, trained: sizes.trained }, kind)?;
    if used.contains(&ORIGINAL) {
        warn_if_two(fields, rope, ORIGINAL, &format!("the one beside `{key}`"), warnings);
    }
    warn_if_two(fields, rope, theta_key, &format!("the one in `{key}`"), warnings);
    let idle: Vec<String> = rope
        .map
        .iter()
        .filter(|(name, value)| {
            !value.is_null() && !COMMON.contains(&name.as_str()) && !used.contains(&name.as_str())
        })
        .map(|(key, _)| format!("`{}`", shortened(key)))
        .collect();
    if !idle.is_empty() {
        warnings.push(format!(
            "{}: rope scaling `{kind}` does not read {}",
            rope.origin,
            idle.join(", ")
        ));
    }
    if *kind == "yarn" && rope.value("mscale").is_some() != rope.value("mscale_all_dim").is_some() {
        warnings.push(format!(
            "{}: `mscale` and `mscale_all_dim` have an effect only together, and one is missing",
            rope.origin
        ));
    }
    Ok(HfRope { theta, scaling, rotated, local_theta: None })
}

/// The key of the section that holds: the first of the two that is not empty.
fn section(fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Option<&'static str>> {
    let mut held = Vec::new();
    for key in ["rope_scaling", "rope_parameters"] {
        match fields.value(key) {
            None => {}
            Some(Value::Bool(false)) if key == "rope_scaling" => {}
            Some(Value::Object(map)) if map.is_empty() => {}
            Some(Value::Object(_)) => held.push(key),
            Some(other) => {
                let found = format!("must be an object or null, not {}", shown(other));
                return Err(fields.wrong(key, &found));
            }
        }
    }
    if let [used, unused] = held[..]
        && fields.value(used) != fields.value(unused)
    {
        warnings
            .push(format!("{}: `{used}` and `{unused}` differ; `{used}` is used", fields.origin));
    }
    Ok(held.first().copied())
}

/// Warns of a key that has two numbers, beside the section and in it.
fn warn_if_two(
    fields: Fields<'_>,
    rope: Fields<'_>,
    key: &str,
    winner: &str,
    warnings: &mut Vec<String>,
) {
    let number = |place: Fields<'_>| place.value(key).and_then(Value::as_f64);
    if let (Some(beside), Some(inside)) = (number(fields), number(rope))
        && beside != inside
    {
        warnings.push(format!(
            "{}: `{key}` is {beside} and, in the section of the rotation, {inside}; {winner} is used",
            fields.origin
        ));
    }
}

/// The base of the frequencies. A null where it is looked for is not the default: transformers
/// cannot run such a file.
fn theta(fields: Fields<'_>, rope: Option<Fields<'_>>, (key, usual): (&str, f64)) -> Result<f64> {
    for place in rope.into_iter().chain([fields]) {
        if place.map.contains_key(key) {
            place.refuse_null(key, "a number")?;
            let theta = place.number(key)?.unwrap_or(usual);
            return match theta > 0.0 {
                true => Ok(theta),
                false => Err(place.wrong(key, &format!("must be a positive number, not {theta}"))),
            };
        }
    }
    Ok(usual)
}

/// Channels of a head that rotate, where not all do: the share in the section comes before the one
/// beside it.
fn rotated(
    fields: Fields<'_>,
    rope: Option<Fields<'_>>,
    architecture: &Architecture,
    head_dim: usize,
) -> Result<Option<usize>> {
    let key = "partial_rotary_factor";
    let mut found = None;
    for place in rope.into_iter().chain([fields]) {
        let Some(share) = place.number(key)? else { continue };
        if !architecture.partial_rotation && share != 1.0 {
            return Err(place.wrong(key, &format!("{share} is not supported, only 1")));
        }
        let channels = (head_dim as f64 * share) as usize;
        if !(share > 0.0 && share <= 1.0) || channels < 2 || !channels.is_multiple_of(2) {
            let what = format!(
                "{share} of {head_dim} channels would rotate, expected an even number of 2 or more of them"
            );
            return Err(place.wrong(key, &what));
        }
        found.get_or_insert(channels);
    }
    Ok(found.filter(|&channels| channels < head_dim))
}

/// Where the parameters of a scaling are looked for.
#[derive(Clone, Copy)]
struct Section<'a> {
    fields: Fields<'a>,
    rope: Fields<'a>,
    architecture: &'a Architecture,
    trained: usize,
}

impl Section<'_> {
    fn required(&self, key: &str) -> Result<f64> {
        self.rope.refuse_null(key, "a number")?;
        self.rope.number(key)?.ok_or_else(|| self.rope.wrong(key, "is missing"))
    }

    /// Tokens of the context of pretraining, for the scalings that read the key. A null beside the
    /// section hides the number in it, so transformers has none then.
    fn original(&self) -> Result<usize> {
        // An architecture with a default of its own has a number beside the section, always.
        let usual = self.architecture.defaults.original;
        let is_beside = usual.is_some() || self.fields.map.contains_key(ORIGINAL);
        let place = if is_beside { self.fields } else { self.rope };
        place.refuse_null(ORIGINAL, "a count")?;
        let original = place.whole(ORIGINAL)?.unwrap_or(usual.unwrap_or(self.trained));
        match (1..=LONGEST).contains(&original) {
            true => Ok(original),
            false => Err(place.wrong(ORIGINAL, &format!("must be 1 to {LONGEST}, not {original}"))),
        }
    }

    /// The stretch; where it is not given, what the two contexts say.
    fn factor_or_ratio(&self, original: usize) -> Result<f64> {
        Ok(self.rope.number("factor")?.unwrap_or(self.trained as f64 / original as f64))
    }
}

fn scaling(section: Section<'_>, kind: &str) -> Result<RopeScaling> {
    let rope = section.rope;
    Ok(match kind {
        "linear" => RopeScaling::Linear { factor: section.required("factor")? },
        "dynamic" => {
            RopeScaling::Dynamic { factor: section.required("factor")?, original: section.trained }
        }
        "llama3" => RopeScaling::Llama3 {
            factor: section.required("factor")?,
            low_freq_factor: section.required("low_freq_factor")?,
            high_freq_factor: section.required("high_freq_factor")?,
            original: section.original()?,
        },
        "yarn" => yarn(section)?,
        "longrope" => {
            let original = section.original()?;
            let factor = section.factor_or_ratio(original)?;
            let stated = rope.number("attention_factor")?;
            if stated.is_none() && factor > 1.0 && original < 2 {
                let what = "must be at least 2 where `attention_factor` is not given, not 1";
                return Err(rope.wrong(ORIGINAL, what));
            }
            let divisors = |key| {
                rope.refuse_null(key, "a list of numbers")?;
                rope.numbers(key)?.ok_or_else(|| rope.wrong(key, "is missing"))
            };
            RopeScaling::LongRope {
                short: divisors("short_factor")?,
                long: divisors("long_factor")?,
                original,
                attention_factor: stated
                    .unwrap_or_else(|| RopeScaling::longrope_attention_factor(factor, original)),
            }
        }
        _ => RopeScaling::None,
    })
}

fn yarn(section: Section<'_>) -> Result<RopeScaling> {
    let rope = section.rope;
    let original = section.original()?;
    // A null asks for the ratio of the contexts; a file without the key is broken.
    if !rope.map.contains_key("factor") {
        return Err(rope.wrong("factor", "is missing"));
    }
    let factor = section.factor_or_ratio(original)?;
    // A 0 is as good as none in transformers.
    let unless_zero = |key| Ok::<_, Error>(rope.number(key)?.filter(|&number| number != 0.0));
    let weight = |key| match unless_zero(key)? {
        Some(weight) if weight.abs() > HEAVIEST => {
            let what = format!("must be from -{HEAVIEST} to {HEAVIEST}, not {weight:?}");
            Err(rope.wrong(key, &what))
        }
        weight => Ok(weight),
    };
    let attention_factor =
        match (rope.number("attention_factor")?, weight("mscale")?, weight("mscale_all_dim")?) {
            (Some(stated), ..) => stated,
            (None, Some(mscale), Some(all_dim)) => {
                RopeScaling::yarn_attention_factor(factor, mscale)
                    / RopeScaling::yarn_attention_factor(factor, all_dim)
            }
            _ => RopeScaling::yarn_attention_factor(factor, 1.0),
        };
    Ok(RopeScaling::Yarn {
        factor,
        original,
        beta_fast: unless_zero("beta_fast")?.unwrap_or(32.0),
        beta_slow: unless_zero("beta_slow")?.unwrap_or(1.0),
        truncate: truncates(rope)?,
        attention_factor,
    })
}

/// Weights of YaRN's temperature beyond this mean nothing.
const HEAVIEST: f64 = 1e4;

/// Whether the ramp begins and ends at whole pairs: Python's truth of the value, but for texts,
/// where `"false"` would be true. Only a file that says nothing gets the default; a null is false.
fn truncates(rope: Fields<'_>) -> Result<bool> {
    let key = "truncate";
    match rope.map.get(key) {
        None => Ok(true),
        Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::Number(number)) => Ok(number.as_f64() != Some(0.0)),
        Some(other) => {
            Err(rope.wrong(key, &format!("must be true or false, not {}", shown(other))))
        }
    }
}
