//! The run: seed by seed, first the masks of all variants and then their check, so that a run that is
//! stopped has whole seeds. Seeds whose masks are there already are checked together.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::check::CheckItem;
use super::cut;
use super::file::{VariantFile, slug};
use super::make::{KnownTarget, MadeMask, Maker};
use super::results::{DENSE, GivenAnswers, MadeLine, VariantHeader, VariantLine, VariantResults};
use super::table::{self, VariantReport};
use super::variant::{LearnFrom, LearnVariant, VariantTarget};
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::learn::check::{self, Losses};
use crate::learn::data::{self, Haystack, SENTENCES};
use crate::mask::files::{self, Contents, MaskFile, Origin, Split};
use crate::mask::{CachePlan, fingerprint};
use crate::model::Model;
use crate::numbers::hex;
use crate::{Error, Result, error};

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantProgress {
    /// Units that are done: the masks of a variant with a seed, or an item of the check with one.
    pub done: usize,
    /// All units.
    pub units: usize,
    /// What is going on.
    pub words: String,
}

/// Masks that decode beside one another in a check: their caches are in memory together.
const AT_ONCE: usize = 24;

/// Gets the progress, and may cancel.
pub type OnVariant<'a> = &'a mut dyn FnMut(&VariantProgress) -> Result<()>;

/// Does what the results in `folder` lack, and makes the table.
///
/// # Errors
/// Files that do not fit the model, results of another run, and those of learning and of the check.
pub fn run(
    model: &Arc<Model>,
    file: &VariantFile,
    folder: &Path,
    progress: OnVariant<'_>,
) -> Result<VariantReport> {
    let began = Instant::now();
    let (haystack, names) = texts(model, file)?;
    let mut targets = known_targets(model, file)?;
    let own = file.variants.iter().map(own_texts).collect::<Result<Vec<_>>>()?;
    let shas = file.variants.iter().zip(&own).map(|(variant, own)| given_sha(model, variant, own));
    let shas = shas.collect::<Result<Vec<_>>>()?;
    let items = file.check.items(model, &names)?;
    let texts = haystack.pieces.iter().map(|piece| (piece.name.clone(), piece.sha256())).collect();
    let header = VariantHeader::new(model, file.window, texts);
    let results = VariantResults::open(folder, &header)?;
    let units = file.seeds.len() * (file.variants.len() + items.len());
    let mut run = Run { model, file, folder, results, shas, items, units, done: 0, progress };
    // Masks that are all there are checked together: every prompt and window is prefilled once.
    let (there, rest): (Vec<u64>, Vec<u64>) =
        file.seeds.iter().partition(|&&seed| run.knows_all(seed, &mut targets));
    let turns = std::iter::once(there).chain(rest.into_iter().map(|seed| vec![seed]));
    for seeds in turns.filter(|seeds| !seeds.is_empty()) {
        let mut plans = BTreeMap::new();
        for &seed in &seeds {
            let mut maker = Maker::new(model, &haystack, file.window, seed);
            for (at, own) in own.iter().enumerate() {
                maker.haystack = own.as_ref().unwrap_or(&haystack);
                plans.extend(run.masks(at, seed, &mut targets, &mut maker)?);
            }
        }
        run.check(&seeds, &plans)?;
    }
    let Run { results, shas, items, .. } = run;
    let key = |at: usize, seed: u64, target: usize| {
        made_key((&file.variants[at], shas[at].as_deref()), seed, &targets, target)
    };
    let mut report = table::report(file, &targets, &results, &items, &key)?;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// One run at work.
struct Run<'a, 'p> {
    model: &'a Arc<Model>,
    file: &'a VariantFile,
    folder: &'a Path,
    results: VariantResults,
    /// Sha256 of the files that a variant names: importance to start from, and texts of its own.
    shas: Vec<Option<String>>,
    items: Vec<CheckItem>,
    units: usize,
    done: usize,
    progress: OnVariant<'p>,
}

impl Run<'_, '_> {
    fn say(&mut self, words: String) -> Result<()> {
        (self.progress)(&VariantProgress { done: self.done, units: self.units, words })
    }

    /// The plans of a variant with a seed, by their sha256: from files that are there, or made.
    fn masks(
        &mut self,
        at: usize,
        seed: u64,
        targets: &mut [KnownTarget],
        maker: &mut Maker<'_>,
    ) -> Result<Vec<(String, CachePlan)>> {
        let variant = &self.file.variants[at];
        let label = format!("seed {seed}, {}", variant.name);
        self.say(label.clone())?;
        self.know(targets);
        if let Some(known) = self.known(at, seed, targets) {
            self.name_files(at, seed, targets)?;
            self.done += 1;
            return Ok(known);
        }
        let began = Instant::now();
        let unknown: Vec<bool> = targets.iter().map(|target| target.share.is_none()).collect();
        let (done, units) = (self.done, self.units);
        let progress = &mut self.progress;
        let made = maker
            .make(variant, targets, &mut |what| {
                progress(&VariantProgress { done, units, words: format!("{label}: {what}") })
            })
            .map_err(|error| match error {
                Error::Input(why) => Error::input(format!("variant `{}`: {why}", variant.name)),
                error => error,
            })?;
        let seconds = began.elapsed().as_secs_f64();
        for (target, unknown) in targets.iter().zip(unknown) {
            if let (Some(bytes_share), true) = (target.share, unknown) {
                let key = self.target_key(target);
                self.results.push(VariantLine::Target { key, bytes_share })?;
            }
        }
        let mut plans = Vec::with_capacity(made.len());
        for (index, made) in made.into_iter().enumerate() {
            let plan = cut::plan(&made.mask, variant)?;
            let line = MadeLine {
                key: made_key((variant, self.shas[at].as_deref()), seed, targets, index),
                variant: variant.name.clone(),
                seed,
                target: targets[index].name.clone(),
                file: file_name(variant, seed, &targets[index]),
                plan: plan.sha256(),
                bytes_share: plan.bytes_share(self.file.window.chunk),
                pruned: 1.0 - made.mask.kept_ratio(),
                dropped_heads: made.mask.kept_counts().iter().filter(|&&count| count == 0).count(),
                seconds,
                validation: made.validation,
            };
            self.save(&line, &plan, made)?;
            plans.push((line.plan.clone(), plan));
            self.results.push(VariantLine::Made(line))?;
        }
        self.done += 1;
        Ok(plans)
    }

    /// Takes the bytes of targets that an earlier run has found.
    fn know(&self, targets: &mut [KnownTarget]) {
        for target in targets {
            target.share =
                target.share.or(self.results.targets.get(&self.target_key(target)).copied());
        }
    }

    /// Whether an earlier run made every mask of a seed.
    fn knows_all(&self, seed: u64, targets: &mut [KnownTarget]) -> bool {
        self.know(targets);
        (0..self.file.variants.len()).all(|at| self.known(at, seed, targets).is_some())
    }

    /// The plans of a variant and seed that an earlier run made; `None` where one is missing, or its
    /// file is another one.
    fn known(
        &self,
        at: usize,
        seed: u64,
        targets: &[KnownTarget],
    ) -> Option<Vec<(String, CachePlan)>> {
        let variant = &self.file.variants[at];
        let mut plans = Vec::with_capacity(targets.len());
        for target in 0..targets.len() {
            targets[target].share?;
            let key = made_key((variant, self.shas[at].as_deref()), seed, targets, target);
            let line = self.results.made.get(&key)?;
            let contents = files::read(&self.folder.join(&line.file), &Split::default()).ok()?;
            let plan = contents.into_mask(&line.file).ok()?.plan;
            if plan.sha256() != line.plan {
                return None;
            }
            plans.push((line.plan.clone(), plan));
        }
        Some(plans)
    }

    /// A variant's masks that were made under another name are copied to this one, where a variant of
    /// other settings may have left its own.
    fn name_files(&mut self, at: usize, seed: u64, targets: &[KnownTarget]) -> Result<()> {
        let variant = &self.file.variants[at];
        for target in 0..targets.len() {
            let key = made_key((variant, self.shas[at].as_deref()), seed, targets, target);
            let file = file_name(variant, seed, &targets[target]);
            let Some(line) = self.results.made.get(&key).filter(|line| line.file != file) else {
                continue;
            };
            let (from, to) = (self.folder.join(&line.file), self.folder.join(&file));
            std::fs::copy(&from, &to).map_err(|cause| error::io("copying", &from, &cause))?;
            let line = MadeLine { file, variant: variant.name.clone(), ..line.clone() };
            self.results.push(VariantLine::Made(line))?;
        }
        Ok(())
    }

    fn save(&self, line: &MadeLine, plan: &CachePlan, made: MadeMask) -> Result<()> {
        let variant = self.file.variants.iter().find(|variant| variant.name == line.variant);
        let origin = Origin {
            model: self.model.name.clone(),
            fingerprint: fingerprint(&self.model.config().geometry()),
            window: self.file.window,
            align: variant.map_or(files::DEFAULT_ALIGN, |variant| variant.align),
            recipe: json!({
                "tool": concat!("kscope ", env!("CARGO_PKG_VERSION")),
                "rule": "variant",
                "variant": variant,
                "name": line.variant,
                "seed": line.seed,
                "texts": self.file.texts,
                "weights": self.model.decoder.learning_weights(),
            }),
        };
        let MadeMask { importance, sensitivity, .. } = made;
        let plan = plan.clone();
        let file = MaskFile { plan, importance, sensitivity, target_sparsity: None, origin };
        files::save(&self.folder.join(&line.file), &Contents::Mask(file), false)
    }

    /// What a sparsity's bytes are found by.
    fn target_key(&self, target: &KnownTarget) -> String {
        let first = (&self.file.variants[0], &self.shas[0], self.file.seeds[0]);
        digest(&json!([first, target.sparsity]))
    }

    /// Decodes every item with the plans that have no result for it yet.
    fn check(&mut self, seeds: &[u64], plans: &BTreeMap<String, CachePlan>) -> Result<()> {
        let words = match seeds {
            [seed] => format!("seed {seed}"),
            many => format!("{} seeds", many.len()),
        };
        let (window, model) = (self.file.window, self.model);
        let shape = model.config().mask_shape();
        let dense = Arc::new(CacheSpec::dense(shape, window, Dtype::F16)?);
        for at in 0..self.items.len() {
            self.say(format!("{words}, check {} of {}", at + 1, self.items.len()))?;
            let missing: Vec<(&String, &CachePlan)> =
                plans.iter().filter(|(sha, _)| self.is_missing(at, sha)).collect();
            for some in missing.chunks(AT_ONCE) {
                let mut specs = vec![Arc::clone(&dense)];
                for (_, plan) in some {
                    let spec = CacheSpec::planned(window, Dtype::F16, (*plan).clone())?;
                    specs.push(Arc::new(spec));
                }
                let item = &self.items[at];
                let losses =
                    check::measure(model, &specs, &item.plan, specs.len(), &mut |_| Ok(()))?;
                let shas: Vec<&str> = some.iter().map(|(sha, _)| sha.as_str()).collect();
                self.results.push(line(item, &shas, &losses))?;
            }
            self.done += seeds.len();
        }
        Ok(())
    }

    fn is_missing(&self, item: usize, plan: &str) -> bool {
        let item = &self.items[item];
        let key = (item.id.clone(), plan.to_owned());
        match item.text {
            Some(_) => !self.results.kld.contains_key(&key),
            None => !self.results.answers.contains_key(&key),
        }
    }
}

/// The line of an item; `losses` begin with the dense cache.
fn line(item: &CheckItem, plans: &[&str], losses: &[Losses]) -> VariantLine {
    match &item.text {
        Some(text) => {
            let mean = |(plan, losses): (&&str, &Losses)| {
                ((*plan).to_owned(), losses.divergence(1).kld.mean)
            };
            let kld = plans.iter().zip(&losses[1..]).map(mean).collect();
            VariantLine::Text { item: item.id.clone(), text: text.clone(), kld }
        }
        None => {
            let answers = |(plan, losses): (&str, &Losses)| {
                let nll = losses.answers.iter().map(|answer| answer.nll).collect();
                (plan.to_owned(), GivenAnswers { right: losses.right(), nll })
            };
            let all = std::iter::once(DENSE).chain(plans.iter().copied());
            VariantLine::Answers {
                item: item.id.clone(),
                given: all.zip(losses).map(answers).collect(),
            }
        }
    }
}

/// What a mask is found by: everything that it depends on except for model, texts and window.
fn made_key(
    (variant, sha): (&LearnVariant, Option<&str>),
    seed: u64,
    targets: &[KnownTarget],
    target: usize,
) -> String {
    let own = &targets[target];
    // The way to a target leads over those with more bytes.
    let mut before: Vec<f64> = targets
        .iter()
        .filter_map(|target| target.share)
        .filter(|share| variant.rounds > 0 && own.share.is_some_and(|own| *share > own))
        .collect();
    before.sort_by(f64::total_cmp);
    let sparsity = own.sparsity.filter(|_| variant.learns());
    digest(&json!([variant, sha, seed, own.share, sparsity, before]))
}

/// The file of a variant's mask in the folder.
fn file_name(variant: &LearnVariant, seed: u64, target: &KnownTarget) -> String {
    format!("{}-{seed}-{}.safetensors", slug(&variant.name), slug(&target.name))
}

fn digest(value: &serde_json::Value) -> String {
    hex(&Sha256::digest(value.to_string()))
}

/// Texts to learn from, and their names for the check.
fn texts(model: &Model, file: &VariantFile) -> Result<(Haystack, Vec<String>)> {
    let pieces = file.texts.iter().map(|name| data::source(name)).collect::<Result<Vec<_>>>()?;
    let haystack = match (pieces.is_empty(), model.name.as_str()) {
        (false, _) => Haystack { pieces },
        // It knows no other language.
        (true, "demo") => Haystack { pieces: vec![data::source(SENTENCES)?] },
        (true, _) => data::load(&[], "")?,
    };
    if haystack.pieces.is_empty() {
        return Err(Error::input(
            "there is no text to learn from: get texts with `kscope fetch texts`, or name them in `texts`",
        ));
    }
    let names = match file.texts.is_empty() {
        true => haystack.pieces.iter().map(|piece| piece.name.clone()).collect(),
        false => file.texts.clone(),
    };
    Ok((haystack, names))
}

fn known_targets(model: &Model, file: &VariantFile) -> Result<Vec<KnownTarget>> {
    let mut targets = Vec::with_capacity(file.targets.len());
    let mut names: HashMap<String, usize> = HashMap::new();
    for target in &file.targets {
        let known = match target {
            VariantTarget::Sparsity(sparsity) => {
                KnownTarget { name: sparsity.to_string(), sparsity: Some(*sparsity), share: None }
            }
            VariantTarget::Share(share) => KnownTarget {
                name: format!("{} %", (share * 1e4).round() / 100.0),
                sparsity: None,
                share: Some(*share),
            },
            VariantTarget::File(path) => {
                let name = path.display().to_string();
                let contents = files::read(path, &Split::default())?;
                let (found, shape) = (contents.shape(), model.config().mask_shape());
                if found != shape {
                    return Err(Error::input(format!(
                        "{name}: expected a mask of shape {shape}, found {found}"
                    )));
                }
                let plan = contents.into_mask(&name)?.plan;
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                KnownTarget {
                    name: stem,
                    sparsity: Some(1.0 - plan.mask().kept_ratio()).filter(|s| *s > 0.0 && *s < 1.0),
                    share: Some(plan.bytes_share(file.window.chunk)),
                }
            }
        };
        if names.insert(slug(&known.name), targets.len()).is_some() {
            return Err(Error::input(format!("the target {} is there twice", known.name)));
        }
        targets.push(known);
    }
    Ok(targets)
}

/// The texts of a variant that names some.
fn own_texts(variant: &LearnVariant) -> Result<Option<Haystack>> {
    if variant.texts.is_empty() {
        return Ok(None);
    }
    let pieces = variant.texts.iter().map(|name| data::source(name)).collect::<Result<Vec<_>>>();
    let pieces =
        pieces.map_err(|error| Error::input(format!("variant `{}`: {error}", variant.name)))?;
    Ok(Some(Haystack { pieces }))
}

/// Sha256 of what a variant's files hold: importance that it starts from, and texts of its own.
fn given_sha(
    model: &Model,
    variant: &LearnVariant,
    own: &Option<Haystack>,
) -> Result<Option<String>> {
    let importance = importance_sha(model, variant)?;
    Ok(match own {
        None => importance,
        Some(own) => {
            let texts: Vec<String> = own.pieces.iter().map(|piece| piece.sha256()).collect();
            Some(digest(&json!([importance, texts])))
        }
    })
}

/// Sha256 of the importance file that a variant starts from; refuses one that is not there before
/// anything is computed.
fn importance_sha(model: &Model, variant: &LearnVariant) -> Result<Option<String>> {
    let LearnFrom::File(path) = variant.start() else { return Ok(None) };
    let name = path.display().to_string();
    let contents = files::read(&path, &Split::default()).map_err(|error| {
        Error::input(format!(
            "variant `{}`: `start` is `none`, `sensitivity`, a rule or the path of an importance file, and as a path: {error}",
            variant.name
        ))
    })?;
    let importance = contents.expect_importance(&name)?;
    let (found, shape) = (importance.shape(), model.config().mask_shape());
    if found != shape {
        return Err(Error::input(format!(
            "{name}: expected importance of shape {shape}, found {found}"
        )));
    }
    Ok(Some(importance.sha256()))
}
