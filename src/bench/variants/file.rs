//! The file that lists variants: TOML.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::check::VariantCheck;
use super::variant::{LearnVariant, VariantTarget};
use crate::error::shortened;
use crate::mask::Window;
use crate::{Error, Result, input_file};

/// What is compared, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantFile {
    /// Seeds that every variant is repeated with.
    pub seeds: Vec<u64>,
    /// What masks are cut to.
    pub targets: Vec<VariantTarget>,
    /// Names or paths of texts to learn from; empty for those that `kscope learn` takes.
    pub texts: Vec<String>,
    /// Sink, recent window and chunk of every cache.
    pub window: Window,
    /// The held-out check.
    pub check: VariantCheck,
    /// The variants; the others are compared with the first.
    pub variants: Vec<LearnVariant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    seeds: Vec<u64>,
    targets: Vec<Written>,
    #[serde(default)]
    texts: Vec<String>,
    #[serde(default = "coded")]
    window: Window,
    #[serde(default)]
    check: VariantCheck,
    #[serde(default)]
    base: toml::Table,
    variant: Vec<toml::Table>,
}

/// A target as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

fn coded() -> Window {
    Window::CODED
}

impl VariantFile {
    /// Reads a file of variants.
    ///
    /// # Errors
    /// What is no TOML, keys that are not known, and values that contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let text = input_file::read_text(path, input_file::VARIANTS)?;
        Self::parse(&text).map_err(|error| Error::input(format!("{}: {error}", path.display())))
    }

    /// The same of a text.
    pub fn parse(text: &str) -> Result<Self> {
        let tables: Tables = toml::from_str(text).map_err(|cause| {
            Error::input(format!("expected variants, found {}", one_line(cause.message())))
        })?;
        let mut targets = Vec::with_capacity(tables.targets.len());
        for written in tables.targets {
            targets.push(target(written)?);
        }
        let mut variants = Vec::with_capacity(tables.variant.len());
        for own in tables.variant {
            variants.push(variant(&tables.base, own)?);
        }
        let file = Self {
            seeds: tables.seeds,
            targets,
            texts: tables.texts,
            window: tables.window,
            check: tables.check,
            variants,
        };
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<()> {
        self.window.check()?;
        self.check.check()?;
        let empty = [
            ("seeds", self.seeds.is_empty()),
            ("targets", self.targets.is_empty()),
            ("[[variant]]", self.variants.is_empty()),
        ];
        if let Some((key, _)) = empty.into_iter().find(|(_, empty)| *empty) {
            return Err(Error::input(format!("`{key}` is empty: expected at least one")));
        }
        let mut seen = HashSet::new();
        if let Some(seed) = self.seeds.iter().find(|seed| !seen.insert(**seed)) {
            return Err(Error::input(format!("seed {seed} is there twice")));
        }
        let mut names = HashSet::new();
        for variant in &self.variants {
            if !names.insert(slug(&variant.name)) {
                return Err(Error::input(format!(
                    "variant `{}`: another one has the same name, or one with the same letters and numbers",
                    shortened(&variant.name)
                )));
            }
        }
        let takes_sparsity = |target: &VariantTarget| !matches!(target, VariantTarget::Share(_));
        for variant in self.variants.iter().filter(|v| v.learns() && v.learn_at.is_none()) {
            if !self.targets.iter().all(takes_sparsity) {
                return Err(Error::input(format!(
                    "variant `{}`: `learn_at` is needed, since a target in % says no sparsity to learn at",
                    variant.name
                )));
            }
        }
        let first = &self.variants[0];
        let by_sparsity =
            self.targets.iter().any(|target| matches!(target, VariantTarget::Sparsity(_)));
        if by_sparsity && first.rounds > 0 {
            return Err(Error::input(format!(
                "variant `{}` is the first, whose mask at a sparsity sets the bytes, and with `rounds` it has none: expected another first variant, or targets in bytes",
                first.name
            )));
        }
        Ok(())
    }
}

/// A variant's own keys over those of `[base]`.
fn variant(base: &toml::Table, own: toml::Table) -> Result<LearnVariant> {
    let given: Vec<String> = own.keys().cloned().collect();
    let name = own.get("name").and_then(toml::Value::as_str).unwrap_or("").to_owned();
    let mut table = base.clone();
    table.extend(own);
    let mut variant: LearnVariant = table.try_into().map_err(|cause: toml::de::Error| {
        Error::input(format!("variant `{}`: {}", shortened(&name), one_line(cause.message())))
    })?;
    variant.check(&given.iter().map(String::as_str).collect::<Vec<_>>())?;
    // Results are found by the keys: a default that changes must not find those of another one.
    if variant.learns() {
        variant.mask_steps = Some(variant.settings(0.5, Window::default(), 0).mask_steps);
    }
    Ok(variant)
}

fn target(written: Written) -> Result<VariantTarget> {
    let within = |share: f64| share > 0.0 && share < 1.0;
    match written {
        Written::Number(sparsity) if within(sparsity) => Ok(VariantTarget::Sparsity(sparsity)),
        Written::Number(other) => {
            Err(Error::input(format!("target {other}: a sparsity lies between 0 and 1")))
        }
        Written::Text(text) => match text.strip_suffix('%') {
            None => Ok(VariantTarget::File(text.into())),
            Some(number) => {
                let share = number.trim().parse::<f64>().ok().map(|percent| percent / 100.0);
                share.filter(|share| within(*share)).map(VariantTarget::Share).ok_or_else(|| {
                    Error::input(format!(
                        "target {}: expected a share between 0 and 100 %",
                        shortened(&text)
                    ))
                })
            }
        },
    }
}

/// A name in file names: small letters and numbers, with `-` for all else.
pub(super) fn slug(name: &str) -> String {
    let letters = |c: char| if c.is_alphanumeric() || c == '.' { c } else { ' ' };
    let name = name.trim_start_matches(|c: char| !c.is_alphanumeric());
    let words: String = name.to_lowercase().chars().map(letters).collect();
    words.split_whitespace().collect::<Vec<_>>().join("-")
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::variant::VariantCut;
    use super::*;

    const HEAD: &str = "seeds = [0, 1]\ntargets = [0.7, \"61 %\", \"a.safetensors\"]\n";

    fn parsed(rest: &str) -> Result<VariantFile> {
        VariantFile::parse(&format!("{HEAD}{rest}"))
    }

    #[test]
    fn variants_change_what_the_base_says() {
        let file = parsed(
            "[base]\nwindows = 8\nlearn_at = 0.8\n[[variant]]\nname = \"a\"\nstart = \"sensitivity\"\n\
             [[variant]]\nname = \"b\"\nstart = \"fisher\"\nwindows = 2\n[[variant]]\nname = \"c\"\nsteps = 7",
        )
        .unwrap();
        assert_eq!(
            file.targets,
            [
                VariantTarget::Sparsity(0.7),
                VariantTarget::Share(0.61),
                VariantTarget::File("a.safetensors".into())
            ]
        );
        let [a, b, c] = &file.variants[..] else { panic!("three variants") };
        assert_eq!((a.windows, b.windows), (Some(8), Some(2)));
        assert_eq!((a.cut(), b.cut()), (VariantCut::Damage, VariantCut::Rank));
        assert!(!a.learns() && !b.learns() && c.learns());
        let settings = c.settings(0.8, Window::default(), 3);
        assert_eq!((settings.steps, settings.mask_steps, settings.seed), (7, 0, 3));
        assert_eq!(c.mask_steps, Some(0), "written out, since results are found by it");
    }

    #[test]
    fn what_a_file_gets_wrong_is_named() {
        let variant = |text: &str| format!("[[variant]]\nname = \"x\"\n{text}");
        for (rest, expected) in [
            ("", "missing field `variant`"),
            ("[[variant]]\nstart = \"none\"\nlearn_at = 0.5", "has no name"),
            (&variant("more_windows = 3"), "unknown field `more_windows`"),
            (&variant("windows = 3"), "`windows` means nothing where no text is looked at"),
            (&variant("start = \"think\"\nrounds = 2"), "`rounds` means nothing"),
            (
                &variant(
                    "start = \"key-norm\"\nwindows = 2\n[[variant]]\nname = \"y\"\nstart = \"frequency\"\ntexts = [\"a\"]",
                ),
                "`texts` means nothing where no text is looked at",
            ),
            (
                &variant("start = \"fisher\"\nreg = 0.1"),
                "`reg` means nothing where nothing is learned",
            ),
            (&variant("start = \"bands\""), "needs a file"),
            (&variant("start = \"fisher\"\ndrop_weight = 2"), "`drop_weight` means nothing"),
            (&variant("start = \"sensitivity\"\ndrop_weight = -1"), "above 0"),
            (&variant("start = \"sensitivity\"\nrecall_weight = nan"), "of at least 0, not NaN"),
            (&variant("start = \"sensitivity\"\nrecall_weight = inf"), "of at least 0, not inf"),
            (&variant("start = \"sensitivity\"\nrecall_weight = -1"), "of at least 0, not -1"),
            (&variant("start = \"sensitivity\"\ntexts = []"), "`texts` is empty"),
            (&variant("learn_at = 0.5\ntasks = []"), "`tasks` is empty"),
            (&variant("steps = 0"), "at least 1 update"),
            (&variant("steps = 3"), "`learn_at` is needed"),
            (&variant("learn_at = 1.5"), "`learn_at` must lie between 0 and 1"),
            (&variant("learn_at = 0.5\nalign = 5"), "--align must be"),
            (&variant("learn_at = 0.5\nctx = [300, 200]"), "shortest and the longest"),
            (&variant("learn_at = 0.5\ncut = \"damage\""), "needs a sensitivity"),
            (
                &variant("start = \"sensitivity\"\nmask_steps = 3\nlearn_at = 0.5\nrounds = 1"),
                "no importance",
            ),
            (&variant("start = \"sensitivity\"\nrounds = 1"), "is the first"),
            (&variant("start = \"sensitivity\"\nwindows = 0"), "`windows` must be at least 1"),
            (
                "[[variant]]\nname = \"a b\"\nstart = \"fisher\"\n[[variant]]\nname = \"A-b\"\nstart = \"fisher\"",
                "another one has the same name",
            ),
            (
                "[check]\nprompts = 0\nwindows = 0\n[[variant]]\nname = \"x\"\nstart = \"fisher\"",
                "neither",
            ),
            ("[check]\npart = [0.5, 0.5]\n[[variant]]\nname = \"x\"\nstart = \"fisher\"", "`part`"),
            (
                "window = { sink = 1, recent = 2, chunk = 0 }\n[[variant]]\nname = \"x\"",
                "chunk is 0",
            ),
        ] {
            let error = parsed(rest).unwrap_err().to_string();
            assert!(error.contains(expected), "{rest}: {error}");
        }
        for (head, expected) in [
            ("seeds = []\ntargets = [0.5]", "`seeds` is empty"),
            ("seeds = [1, 1]\ntargets = [0.5]", "seed 1 is there twice"),
            ("seeds = [1]\ntargets = [1.5]", "target 1.5"),
            ("seeds = [1]\ntargets = [\"101 %\"]", "target 101 %"),
            ("seeds = [-1]\ntargets = [0.5]", "expected variants"),
            ("seeds = ", "expected variants"),
        ] {
            let text = format!("{head}\n[[variant]]\nname = \"x\"\nstart = \"fisher\"");
            let error = VariantFile::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{head}: {error}");
        }
    }
}
