//! Opening a Hugging Face folder, and what is said of one that cannot be opened.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::fields::Fields;
use super::hf_shapes::Reasons;
use super::safetensors::Checkpoint;
use super::{Opened, blank, file_kind, generation, hf_config, quantised, unread};
use crate::error::shortened;
use crate::model::arch::{FeedSpec, PartSpec};
use crate::model::config::Config;
use crate::model::tokenizer::Tokenizer;
use crate::{Error, Result, error, input_file};

/// Files that are text; pointers and web pages in their place are named.
const TEXTS: &[&str] = &[
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// Opens a folder with `config.json` and safetensors.
pub(super) fn open(folder: &Path) -> Result<Opened> {
    let config_path = folder.join("config.json");
    if let Some(cause) = is_adapter(folder)? {
        return Err(cause);
    }
    // A folder that may not be entered has everything and shows nothing.
    let is_there = config_path.try_exists();
    if !is_there.map_err(|cause| error::io("reading", &config_path, &cause))? {
        return Err(Error::input(format!(
            "{} has no config.json, so it is no model folder{}",
            folder.display(),
            without_config(folder)
        )));
    }
    for name in TEXTS {
        let path = folder.join(name);
        // What cannot be read at all is reported where it is needed.
        if let Some(what) = beginning(&path).and_then(|bytes| file_kind::mistaken(&bytes)) {
            return Err(Error::input(format!("{} cannot be used: {what}", path.display())));
        }
    }
    let keys = hf_config::keys(&config_path)?;
    let (mut config, mut warnings) = hf_config::of_keys(&keys, &config_path.display().to_string())?;
    match generation_ends(folder, config.vocab, &mut warnings)? {
        // Those of config.json count where this file names none, as in transformers' `generate`.
        Some(ends) if !ends.is_empty() => config.eos = ends,
        Some(_) => {}
        None => warnings.extend(usual_end(&mut config, &keys, &config_path)),
    }
    let files = weight_files(folder)?;
    let mut checkpoint = Checkpoint::open(folder, files)?;
    refuse_other_forms(&keys, &config_path, folder, &checkpoint)?;
    warnings.extend(settle_head(&mut config, &mut checkpoint)?);
    checkpoint.explain(Reasons::new(keys, config.clone()));
    take_experts_apart(&config, &mut checkpoint)?;
    warnings.extend(unread_warning(&config, &checkpoint));
    warnings.extend(blank::warning(checkpoint.folder(), checkpoint.tensors()));
    if folder.join("adapter_config.json").exists() {
        warnings.push(format!(
            "{}: the adapter beside the model (adapter_config.json) is not applied",
            folder.display()
        ));
    }
    let name =
        folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let name = name.unwrap_or_else(|| folder.display().to_string());
    let opened = if folder.join("tokenizer.json").exists() {
        let tokenizer = Tokenizer::from_folder(folder)?;
        warnings.extend_from_slice(tokenizer.warnings());
        Opened::from_checkpoint(name, config, tokenizer, checkpoint)
    } else {
        // Still good for work with token ids.
        warnings.extend(other_tokenizer(folder));
        Opened {
            name,
            config,
            warnings: Vec::new(),
            tokenizer: None,
            tensors: Box::new(checkpoint),
        }
    };
    Ok(Opened { warnings, ..opened })
}

/// The end tokens of `generation_config.json`, where there is one.
fn generation_ends(
    folder: &Path,
    vocab: usize,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<u32>>> {
    let path = folder.join("generation_config.json");
    let found = input_file::if_there(&path, input_file::CONFIGURATION, input_file::read_json)?;
    let Some(text) = found else { return Ok(None) };
    let origin = path.display().to_string();
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => {
            let fields = Fields { map: &map, origin: &origin };
            warnings.extend(generation::not_applied(&map, &origin));
            for key in ["bos_token_id", "pad_token_id"] {
                hf_config::known_id(fields, key, vocab, warnings)?;
            }
            hf_config::known_ids(fields, "eos_token_id", vocab, warnings).map(Some)
        }
        Ok(_) => Err(Error::input(format!("{origin}: expected a JSON object"))),
        Err(cause) => Err(Error::input(format!("{origin}: {cause}"))),
    }
}

/// Lets a text end where the architecture's default says, in a folder that says nothing of it; a
/// warning says so.
fn usual_end(config: &mut Config, keys: &Map<String, Value>, config_path: &Path) -> Option<String> {
    let end = config.architecture.defaults.eos.filter(|_| !keys.contains_key("eos_token_id"))?;
    config.eos.push(end);
    Some(format!(
        "{}: `eos_token_id` is not given, so a text ends with token {end}, the default of {}",
        config_path.display(),
        config.architecture.spelling.hf
    ))
}

/// The first bytes of a file that has any.
fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    input_file::open(path, input_file::WEIGHTS).ok()?.take(1024).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// Whether a file is not there, and why; ends a sentence that names it.
fn absent(path: &Path) -> Option<&'static str> {
    match (path.exists(), path.is_symlink()) {
        (true, _) => None,
        (_, true) => Some("is a link to a file that is not there"),
        _ => Some("is not in the folder"),
    }
}

/// The names of the files in a folder, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The refusal of a folder that holds a LoRA adapter and no model.
fn is_adapter(folder: &Path) -> Result<Option<Error>> {
    let path = folder.join("adapter_config.json");
    let names = names_in(folder);
    let is_model = names
        .iter()
        .any(|name| name == "model.safetensors" || name == INDEX || shard_place(name).is_some());
    let has_adapter = names.iter().any(|name| name.starts_with("adapter_model.")) || path.exists();
    if is_model || !has_adapter {
        return Ok(None);
    }
    let base = input_file::read_json(&path, input_file::CONFIGURATION)
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .and_then(|json| Some(json.get("base_model_name_or_path")?.as_str()?.to_owned()));
    let base = base.filter(|base| !base.is_empty()).map_or_else(
        || "its base model".to_owned(),
        |base| format!("its base model {}", shortened(&base)),
    );
    Ok(Some(Error::input(format!(
        "{} holds an adapter (LoRA) and no model: merge it into {base} and give the merged folder",
        folder.display()
    ))))
}

/// A sentence on a tokenizer that is not read, of a folder without `tokenizer.json`.
fn other_tokenizer(folder: &Path) -> Option<String> {
    let known = ["tokenizer.model", "spiece.model", "tiktoken.model", "tekken.json", "vocab.txt"];
    let names = names_in(folder);
    let has = |name: &&str| names.iter().any(|found| found == name);
    let found = known.iter().copied().find(has).or_else(|| {
        let both = ["vocab.json", "merges.txt"].iter().all(has);
        both.then_some("vocab.json and merges.txt")
    })?;
    Some(format!(
        "{}: no tokenizer, as kscope reads only tokenizer.json, and the folder has {found} (transformers' save_pretrained of the tokenizer writes tokenizer.json)",
        folder.display()
    ))
}

/// What a folder without config.json holds instead, as the end of a sentence.
fn without_config(folder: &Path) -> String {
    let names = names_in(folder);
    let has = |name: &str| names.iter().any(|found| found == name);
    let ggufs: Vec<&str> =
        names.iter().filter(|name| name.ends_with(".gguf")).map(String::as_str).collect();
    if let Some(first) = ggufs.first() {
        let others = match ggufs.len() {
            1 => String::new(),
            n => format!(" or one of the {} others", n - 1),
        };
        return format!(": it holds GGUF files, so give {}{others}", folder.join(first).display());
    }
    if has("params.json") || names.iter().any(|name| name.starts_with("consolidated.")) {
        return ": it holds a model in its maker's own format (params.json, consolidated.*), so take the Hugging Face form of it".to_owned();
    }
    if has("model_index.json") {
        return ": it holds a pipeline (model_index.json), not a language model".to_owned();
    }
    if has("snapshots") && has("refs") {
        let snapshot = names_in(&folder.join("snapshots")).into_iter().next();
        let path = folder.join("snapshots").join(snapshot.as_deref().unwrap_or("REVISION"));
        return format!(": it is an entry of the hub's cache, so give {}", path.display());
    }
    if let Some(inner) = names.iter().find(|name| folder.join(name).join("config.json").exists()) {
        return format!(": {} has one", folder.join(inner).display());
    }
    String::new()
}

const INDEX: &str = "model.safetensors.index.json";

/// The safetensors files of a folder: `model.safetensors`, the shards that the index lists, or a
/// full set of shards.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    match absent(&single) {
        None => return Ok(vec![single]),
        Some(cause) if single.is_symlink() => {
            return Err(Error::input(format!("{} {cause}", single.display())));
        }
        Some(_) => {}
    }
    let index = folder.join(INDEX);
    if index.exists() {
        return listed(&index, folder);
    }
    let names = names_in(folder);
    let shards: Vec<(u64, u64)> = names.iter().filter_map(|name| shard_place(name)).collect();
    if let Some(&(_, count)) = shards.first() {
        let path = |number| folder.join(format!("model-{number:05}-of-{count:05}.safetensors"));
        return (1..=count)
            .map(|number| match path(number).exists() {
                true => Ok(path(number)),
                false => Err(Error::input(format!(
                    "{}: shard {number} of {count} is missing",
                    path(number).display()
                ))),
            })
            .collect();
    }
    Err(Error::input(format!(
        "{} has no model.safetensors{}",
        folder.display(),
        without_safetensors(folder, &names)
    )))
}

/// Number and count of a file called `model-00001-of-00003.safetensors`.
fn shard_place(name: &str) -> Option<(u64, u64)> {
    let (number, count) =
        name.strip_prefix("model-")?.strip_suffix(".safetensors")?.split_once("-of-")?;
    Some((number.parse().ok()?, count.parse().ok()?))
}

/// What a folder holds instead of safetensors, as the end of a sentence.
fn without_safetensors(folder: &Path, names: &[String]) -> String {
    let ending = |ends: &[&str]| {
        names.iter().find(|name| ends.iter().any(|end| name.ends_with(end))).map(String::as_str)
    };
    let others = "only safetensors and GGUF are read";
    if let Some(name) =
        ending(&["consolidated.safetensors"]).or_else(|| ending(&["consolidated.00.pth"]))
    {
        return format!(
            ", only {name} in its maker's own format; take the Hugging Face form of the model"
        );
    }
    if let Some(name) = ending(&[".safetensors"]) {
        return format!(" and no {INDEX}, only {name}; rename it if it is the model");
    }
    if let Some(name) = names
        .iter()
        .find(|name| name.starts_with("pytorch_model"))
        .map(String::as_str)
        .or_else(|| ending(&[".bin", ".pth", ".pt", ".ckpt", ".bin.index.json"]))
    {
        return format!(
            ", only {name} with weights in PyTorch's pickle form; {others} (transformers' save_pretrained writes safetensors)"
        );
    }
    if let Some(name) = ending(&[".gguf"]) {
        return format!(": it holds GGUF files, so give {}", folder.join(name).display());
    }
    match ending(&[".h5", ".msgpack", ".npz", ".onnx", ".mlmodel", ".tflite", ".ot"]) {
        Some(name) => format!(", only {name}; {others}"),
        None => String::new(),
    }
}

/// The shards that an index lists.
fn listed(index: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let text = input_file::read_json(index, input_file::CONFIGURATION)?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|cause| Error::input(format!("{}: {cause}", index.display())))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let Some(map) = map.filter(|map| map.values().all(Value::is_string)) else {
        return Err(Error::input(format!(
            "{}: `weight_map` is missing or no map of names to files",
            index.display()
        )));
    };
    let mut names: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(Error::input(format!("{}: `weight_map` names no files", index.display())));
    }
    if let Some(bad) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref()))
    {
        return Err(Error::input(format!(
            "{}: shard `{}` must be a file name in the same folder",
            index.display(),
            shortened(bad)
        )));
    }
    let missing: Vec<(&str, &str)> =
        names.iter().filter_map(|name| Some((*name, absent(&folder.join(name))?))).collect();
    match missing.first() {
        None => Ok(names.into_iter().map(|name| folder.join(name)).collect()),
        Some((first, cause)) => Err(Error::input(format!(
            "{}: it names {}, which {cause} ({} of {} files are missing)",
            index.display(),
            shortened(first),
            missing.len(),
            names.len()
        ))),
    }
}

/// Refuses weights that are quantised, by the method, or that an adapter has yet to change.
fn refuse_other_forms(
    keys: &Map<String, Value>,
    config_path: &Path,
    folder: &Path,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let names: Vec<&str> = checkpoint.names().collect();
    if let Some(cause) = quantised::by_config(keys, &names) {
        return Err(Error::input(format!("{}: {cause}", config_path.display())));
    }
    if let Some(name) = names.iter().filter(|name| name.contains(".lora_A")).min() {
        return Err(Error::input(format!(
            "{}: it holds an adapter (LoRA, tensor `{}`) that is not merged into the weights",
            folder.display(),
            shortened(name)
        )));
    }
    match quantised::by_tensors(&names) {
        Some(cause) => Err(Error::input(format!("{}: {cause}", folder.display()))),
        None => Ok(()),
    }
}

/// Whether the head is the embedding, by the configuration and by what the files hold; a warning
/// where they disagree.
fn settle_head(config: &mut Config, checkpoint: &mut Checkpoint) -> Result<Option<String>> {
    let names = &config.architecture.tensors;
    let (head, embedding) =
        (format!("{}.weight", names.head.hf), format!("{}.weight", names.embedding.hf));
    let inner = format!("model.{head}");
    if !checkpoint.holds(&head) && checkpoint.holds(&inner) {
        // transformers takes a head that is saved as a part of the inner model.
        checkpoint.rename(&inner, &head);
    }
    let (has_head, has_embedding) = (checkpoint.holds(&head), checkpoint.holds(&embedding));
    if !config.tied {
        return match has_head {
            true => Ok(None),
            false => Err(Error::input(format!(
                "{}: tensor `{head}` is missing{}, and by config.json the embedding does not stand for it (`tie_word_embeddings` is false or not given)",
                checkpoint.folder(),
                checkpoint.instead_of(&head)
            ))),
        };
    }
    if has_head && !has_embedding {
        // One matrix may be saved under either of its names.
        checkpoint.rename(&head, &embedding);
        return Ok(None);
    }
    if !has_head || checkpoint.are_equal(&head, &embedding) {
        return Ok(None);
    }
    config.tied = false;
    Ok(Some(format!(
        "{}: `{head}` differs from the embedding, so it is used, although `tie_word_embeddings` is true",
        checkpoint.folder()
    )))
}

/// Names each expert in a folder where all of a layer are in one tensor, as transformers 5 has them in
/// memory and saves them on request.
fn take_experts_apart(config: &Config, checkpoint: &mut Checkpoint) -> Result<()> {
    let Some(mixture) = &config.additions.experts else { return Ok(()) };
    let names = &config.architecture.tensors;
    let (count, width, hidden) = (mixture.count, mixture.width, config.hidden);
    for (layer, block) in config.blocks().enumerate() {
        let FeedSpec::Experts(spec) = &block.feed else { continue };
        let prefix = names.block_prefix(layer);
        let at = |name: &str| format!("{prefix}mlp.{name}");
        let fused = [at("experts.gate_up_proj"), at("experts.down_proj")];
        let shapes = [[count, 2 * width, hidden], [count, hidden, width]];
        for ((fused, shape), linear) in
            fused.iter().zip(shapes).zip([&spec.each.gate_up, &spec.each.down])
        {
            if !checkpoint.holds(fused) {
                continue;
            }
            let parts = (0..count).flat_map(|expert| {
                let before = format!("{prefix}{}", spec.prefix(expert));
                let own = |part: &PartSpec| (format!("{before}{}.weight", part.name), part.outputs);
                linear.parts.iter().map(own).collect::<Vec<_>>()
            });
            checkpoint.take_apart(fused, &shape, parts)?;
        }
        let router = spec.router.parts.first().map(|part| format!("{prefix}{}.weight", part.name));
        if let Some(router) = router.filter(|router| !checkpoint.holds(router)) {
            checkpoint.rename(&at("gate.weight"), &router);
        }
    }
    Ok(())
}

fn unread_warning(config: &Config, checkpoint: &Checkpoint) -> Option<String> {
    let head = format!("{}.weight", config.architecture.tensors.head.hf);
    let expected = unread::expected(config).into_iter().chain([head]);
    unread::warning(checkpoint.folder(), &unread::unread(checkpoint.names(), expected))
}
