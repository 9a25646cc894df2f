//! The contents of mask, importance and sensitivity files.

use crate::error::shortened;
use crate::mask::{CachePlan, ChannelMask, Importance, Sensitivity, Shape, Window};
use crate::{Error, Result};

/// Alignment of kscope's own masks unless another is given.
pub const DEFAULT_ALIGN: usize = 8;

/// Alignment of the LeanK authors' published masks.
pub const UPSTREAM_ALIGN: usize = 32;

/// Where a mask or importance comes from and how it is meant to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// Name of the model; empty where unknown.
    pub model: String,
    /// [`fingerprint`](crate::mask::fingerprint) of the model; empty = not bound to one.
    pub fingerprint: String,
    /// Parts of the cache that are never pruned, in tokens.
    pub window: Window,
    /// Kept channels per head come in multiples of this.
    pub align: usize,
    /// How the file was made: rule, data, steps, losses, seeds, tool version.
    pub recipe: serde_json::Value,
}

impl Origin {
    /// The origin assumed for a raw array: made by the LeanK authors, for their window and
    /// alignment, and bound to no model.
    pub fn upstream(recipe: serde_json::Value) -> Self {
        Self {
            model: String::new(),
            fingerprint: String::new(),
            window: Window::UPSTREAM,
            align: UPSTREAM_ALIGN,
            recipe,
        }
    }

    /// How the file was made, in words, as far as its recipe says: by which rule, and where that was
    /// a recipe that is no longer made, what is made in its place.
    pub fn made_by(&self) -> Option<String> {
        let rule = self.recipe.get("rule")?.as_str().filter(|rule| !rule.is_empty())?;
        Some(match (rule, self.recipe.get("method")) {
            ("learned", Some(_)) => "learned by the LeanK paper's method".to_owned(),
            ("learned", None) => {
                "learned by an older recipe, the LeanK paper's; `kscope learn` now measures the sensitivity".to_owned()
            }
            (rule, _) => format!("made by {}", shortened(rule)),
        })
    }

    /// Refuses a file that is bound to another model than this one; `file` is what the error calls
    /// it.
    pub fn expect_model(&self, file: &str, model: &str, fingerprint: &str) -> Result<()> {
        if self.fingerprint.is_empty() || self.fingerprint == fingerprint {
            return Ok(());
        }
        Err(Error::input(format!(
            "{file}: expected a file for {model}, found one for {}",
            self.model
        )))
    }
}

/// A mask file: a cache plan, of which a mask is the corner with widths of 16 and 0 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskFile {
    /// Bits of every K channel and of every head's V.
    pub plan: CachePlan,
    /// The importance that it was selected from.
    pub importance: Option<Importance>,
    /// The sensitivity that its widths were chosen by.
    pub sensitivity: Option<Sensitivity>,
    /// The sparsity that was asked for, before alignment.
    pub target_sparsity: Option<f64>,
    /// Model, window, alignment and recipe.
    pub origin: Origin,
}

impl MaskFile {
    /// The K channels that the plan stores, at whatever width.
    pub fn mask(&self) -> &ChannelMask {
        self.plan.mask()
    }
}

/// A sensitivity file: what each width costs, before anything is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitivityFile {
    /// The predicted damage of every width.
    pub sensitivity: Sensitivity,
    /// Model, window, alignment and recipe; window and alignment are what plans made from it
    /// inherit.
    pub origin: Origin,
}

/// An importance file: the scores of a rule, before anything is selected.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportanceFile {
    /// The importance.
    pub importance: Importance,
    /// Model, window, alignment and recipe; window and alignment are what masks made from it
    /// inherit.
    pub origin: Origin,
}

/// The contents of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Contents {
    /// A mask or a plan, perhaps with the importance or the sensitivity that it was made from.
    Mask(MaskFile),
    /// Importance alone.
    Importance(ImportanceFile),
    /// Sensitivity alone.
    Sensitivity(SensitivityFile),
}

impl Contents {
    /// The axes of what the file holds.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Mask(file) => file.plan.shape(),
            Self::Importance(file) => file.importance.shape(),
            Self::Sensitivity(file) => file.sensitivity.shape(),
        }
    }

    /// Model, window, alignment and recipe.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Mask(file) => &file.origin,
            Self::Importance(file) => &file.origin,
            Self::Sensitivity(file) => &file.origin,
        }
    }

    /// Model, window, alignment and recipe, for changing.
    pub fn origin_mut(&mut self) -> &mut Origin {
        match self {
            Self::Mask(file) => &mut file.origin,
            Self::Importance(file) => &mut file.origin,
            Self::Sensitivity(file) => &mut file.origin,
        }
    }

    /// The importance, where the file holds it.
    pub fn importance(&self) -> Option<&Importance> {
        match self {
            Self::Mask(file) => file.importance.as_ref(),
            Self::Importance(file) => Some(&file.importance),
            Self::Sensitivity(_) => None,
        }
    }

    /// The importance, or an error that says that the file called `name` holds none.
    pub fn expect_importance(&self, name: &str) -> Result<&Importance> {
        self.importance().ok_or_else(|| {
            Error::input(format!("{name}: expected importance, found {} alone", self.kind()))
        })
    }

    /// The sensitivity, where the file holds it.
    pub fn sensitivity(&self) -> Option<&Sensitivity> {
        match self {
            Self::Mask(file) => file.sensitivity.as_ref(),
            Self::Importance(_) => None,
            Self::Sensitivity(file) => Some(&file.sensitivity),
        }
    }

    /// The sensitivity, or an error that says that the file called `name` holds none.
    pub fn expect_sensitivity(&self, name: &str) -> Result<&Sensitivity> {
        self.sensitivity().ok_or_else(|| {
            Error::input(format!(
                "{name}: expected sensitivity (`kscope score --rule sensitivity` writes it), found {} alone",
                self.kind()
            ))
        })
    }

    /// What the file is, in words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Mask(file) if file.plan.is_mask() => "a mask",
            Self::Mask(_) => "a plan",
            Self::Importance(_) => "importance",
            Self::Sensitivity(_) => "sensitivity",
        }
    }

    /// The mask file, or an error that says what the file called `name` holds instead.
    pub fn into_mask(self, name: &str) -> Result<MaskFile> {
        match self {
            Self::Mask(file) => Ok(file),
            Self::Importance(_) => Err(Error::input(format!(
                "{name}: expected a mask, found importance alone (`kscope mask make --importance` makes a mask of it)"
            ))),
            Self::Sensitivity(_) => Err(Error::input(format!(
                "{name}: expected a mask, found sensitivity alone (`kscope mask make --sensitivity --bytes` makes a plan of it)"
            ))),
        }
    }
}
