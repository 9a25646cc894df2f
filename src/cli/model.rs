//! `kscope model show`: what a model is, and what its K/V cache costs.

use clap::Subcommand;
use serde_json::json;

use super::args::{self, CacheArgs, ModelArgs};
use super::output;
use super::widths::PlanReport;
use crate::cache::CacheSpec;
use crate::capacity::KvStore;
use crate::mask::fingerprint;
use crate::model::additions::LayerKind;
use crate::model::arch;
use crate::model::config::Config;
use crate::model::load::{self, Opened, Source};
use crate::model::rope::Rope;
use crate::model::weight_types::WeightTypes;
use crate::{Error, Result, numbers};

/// Arguments of `kscope model`.
#[derive(Debug, clap::Args)]
pub struct ModelCommandArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show a model's configuration, geometry and cache bytes per token, dense and masked; no
    /// weights are read
    Show(Box<Show>),
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `kscope model`.
pub fn run(args: &ModelCommandArgs) -> Result<()> {
    match &args.what {
        What::Show(args) => show(args),
    }
}

fn show(args: &Show) -> Result<()> {
    args.model.prepare()?;
    let Some(source) = source(args)? else { return show_served(args) };
    let opened = Opened::open(&source)?;
    args::warn_of_files(&opened.warnings);
    let config = &opened.config;
    let choice = args.cache.choice(config, args.model.device)?;
    let (spec, dense) = args.cache.specs(config, &choice)?;
    let context = args.cache.context(config)?;
    let element = args.cache.kv_dtype.bytes();
    let weights = opened.weight_types(args.model.dtype);
    let dense_token = crate::mask::bytes::dense_token(config.mask_shape(), element).total();
    let middle_token = middle_token(&spec);
    let stored = PlanReport::of(&spec, context);
    let (at_dense, at_masked) = (dense.bytes_at(context).total(), spec.bytes_at(context).total());
    if args.json {
        let wavelengths = Rope::new(config)?.wavelengths();
        return output::json(
            "model show",
            &json!({
                "name": opened.name,
                "fingerprint": fingerprint(&config.geometry()),
                "parameters": config.parameters(),
                "active_parameters": config.active_parameters(),
                "weights": weights.as_ref().map(ToString::to_string),
                "weight_bytes": weights.as_ref().map(WeightTypes::bytes),
                "config": config,
                "group": config.group(),
                "kv_dtype": args.cache.kv_dtype.to_string(),
                "kv_bytes_per_token": dense_token,
                "kv_bytes_per_middle_token": match middle_token.fract() == 0.0 {
                    true => json!(middle_token as u64),
                    false => json!(middle_token),
                },
                "bytes_share": stored.bytes_share,
                "k_bits_histogram": stored.k_bits_histogram,
                "v_bits_histogram": stored.v_bits_histogram,
                "context": context,
                "kv_bytes_at_context": at_dense,
                "kv_bytes_at_context_masked": at_masked,
                "wavelengths": wavelengths,
            }),
        );
    }
    choice.warn();
    let mut text = format!(
        "{} · {} · {} parameters{}{}\n\
         {} layers · hidden {} · {} · {} query heads on {} KV heads of {} channels · vocabulary {}\n\
         context {} · rope theta {} · {}\n\
         {}K/V cache in {}: {} a token dense",
        opened.name,
        config.architecture,
        numbers::count(config.parameters()),
        active_text(config),
        weights.as_ref().map_or_else(String::new, |types| {
            format!(" · weights {types}, {} in memory", numbers::bytes(types.bytes()))
        }),
        config.layers,
        numbers::count(config.hidden),
        mlp_text(config),
        config.heads,
        config.kv_heads,
        config.head_dim,
        numbers::count(config.vocab),
        numbers::count(config.max_context),
        config.rope_theta,
        rope_text(config),
        kinds_text(config),
        args.cache.kv_dtype,
        numbers::bytes(dense_token),
    );
    if choice.given.is_some() {
        text.push_str(&format!(
            ", {} a token of the middle with the plan",
            numbers::bytes(middle_token.round() as u64)
        ));
    }
    text.push_str(&format!(
        "\nat {} tokens: {} dense",
        numbers::count(context),
        numbers::bytes(at_dense as u64)
    ));
    if choice.given.is_some() {
        text.push_str(&format!(
            ", {} with the plan (sink {}, recent {}, chunk {})\n{}",
            numbers::bytes(at_masked as u64),
            numbers::count(choice.window.sink),
            numbers::count(choice.window.recent),
            numbers::count(choice.window.chunk),
            stored.words()
        ));
    }
    output::line(&text)
}

/// How many weights a token goes through, where those are not nearly all.
fn active_text(config: &Config) -> String {
    match config.additions.experts {
        None => String::new(),
        Some(_) => format!(", {} of them a token", numbers::count(config.active_parameters())),
    }
}

/// The MLPs or the experts, in words: "8 of 128 experts of 768 in 20 layers, MLP 6,144 in 4".
fn mlp_text(config: &Config) -> String {
    let whole = format!("MLP {}", numbers::count(config.intermediate));
    let Some(mixture) = &config.additions.experts else { return whole };
    let layers = (0..config.layers).filter(|&layer| mixture.is_in(layer)).count();
    match config.layers - layers {
        0 => mixture.words(),
        others => format!("{} in {layers} layers, {whole} in {others}", mixture.words()),
    }
}

/// The kinds of layers where they are not all alike, as a line of its own: "layers: 3 as usual; 15:
/// sees the last 512 tokens, rotates by a base of its own".
fn kinds_text(config: &Config) -> String {
    let mut kinds: Vec<(LayerKind, usize)> = Vec::new();
    for layer in 0..config.layers {
        let kind = config.additions.kind(layer);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, layers)) => *layers += 1,
            None => kinds.push((kind, 1)),
        }
    }
    kinds.sort_by_key(|(kind, _)| kind.window.is_some());
    let words = |(kind, layers): &(LayerKind, usize)| match kind.words() {
        usual if usual.is_empty() => format!("{layers} as usual"),
        words => format!("{layers}: {words}"),
    };
    let parts = config.rotated() < config.head_dim;
    let turn = format!("{} of {} channels of a head rotate", config.rotated(), config.head_dim);
    let kinds = match kinds.as_slice() {
        [(kind, _)] if *kind == LayerKind::default() => None,
        kinds => {
            Some(format!("layers: {}", kinds.iter().map(words).collect::<Vec<_>>().join("; ")))
        }
    };
    let lines: Vec<String> = parts.then_some(turn).into_iter().chain(kinds).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("{}\n", lines.join(" · ")),
    }
}

/// The model: what is here, or a published shape of this name; `None` for a shape that kscope knows
/// but does not run.
fn source(args: &Show) -> Result<Option<Source>> {
    let error = match args.model.source() {
        Ok(source) => return Ok(Some(source)),
        Err(error) => error,
    };
    let name = args.model.random_weights.as_ref().unwrap_or(&args.model.model);
    if arch::known_config(name).is_some() {
        return Source::random_of(name, args.model.layers, 0, args.model.weights).map(Some);
    }
    if arch::planned(name).is_some() { Ok(None) } else { Err(error) }
}

/// What is known of a published shape that kscope does not run.
fn show_served(args: &Show) -> Result<()> {
    let name = args.model.random_weights.as_ref().unwrap_or(&args.model.model);
    let model = load::served(name)?;
    if args.model.layers.is_some() || args.model.weights.is_some() {
        return Err(Error::input(format!(
            "{name} is shown as it was published: --layers and --weights go with shapes that kscope runs"
        )));
    }
    if args.cache.is_given() {
        return Err(Error::input(format!(
            "{name} is not run by kscope: `kscope plan --model {name}` shows it under a mask or plan"
        )));
    }
    let context = args.cache.ctx.unwrap_or(model.max_context);
    let dense = KvStore::dense(&model, args.cache.kv_dtype)?;
    let (token, at) = (dense.bytes(1), dense.bytes(context));
    if args.json {
        return output::json(
            "model show",
            &json!({
                "name": model.name,
                "is_run": false,
                "served": model,
                "layers": model.layers_text(),
                "kv_dtype": args.cache.kv_dtype.to_string(),
                "kv_bytes_per_token": token,
                "context": context,
                "kv_bytes_at_context": at,
            }),
        );
    }
    output::line(&format!(
        "{} · {} · {} parameters\n{}\ncontext {} · weights {} ({})\n\
         K/V cache in {}: {} for the first token, {} at {} tokens\n\
         known for planning (`kscope plan`); kscope does not run it",
        model.name,
        model.architecture,
        numbers::count(model.weights.parameters as usize),
        model.layers_text(),
        numbers::count(model.max_context),
        numbers::bytes(model.weights.bytes as u64),
        model.weights.origin,
        args.cache.kv_dtype,
        numbers::bytes(token),
        numbers::bytes(at),
        numbers::count(context),
    ))
}

/// Bytes of a middle token, its share of the scales included; a whole number for a mask.
fn middle_token(spec: &CacheSpec) -> f64 {
    // 64 tokens, so that codes fill whole bytes.
    let tokens = 64;
    let heads = spec.shape().each_head();
    let bytes = heads.map(|head| {
        spec.plan().head_bytes(head, spec.dtype().bytes()).at(tokens, spec.group_tokens())
    });
    bytes.flatten().sum::<usize>() as f64 / tokens as f64
}

/// What stretches the rotary frequencies, in words.
fn rope_text(config: &Config) -> String {
    let scaling = serde_json::to_value(&config.rope_scaling).ok();
    let kind = scaling.as_ref().and_then(|scaling| scaling.get("type")?.as_str());
    let mut text = match kind.filter(|kind| *kind != "none") {
        Some(kind) => format!("rope scaling {kind}"),
        None if config.rope_divisors.is_some() => "rope scaling by divisors".to_owned(),
        None => "no rope scaling".to_owned(),
    };
    if config.rope_divisors.is_some() && kind != Some("none") {
        text.push_str(" and divisors");
    }
    if config.rope_magnitude != 1.0 {
        text.push_str(&format!(" · attention factor {}", config.rope_magnitude));
    }
    text
}
