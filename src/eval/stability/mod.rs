//! The stability suite: whether one mask suits every kind of text. Importance is measured on each
//! text by several rules, and every text is decoded with the channels that the other texts choose.

mod choice;
mod domain;
mod figures;
mod importance;
mod texts;
mod verdict;

pub use choice::{MaskChoice, RuleChoice, dealt_name};
pub use domain::{Half, StabilityDomain, StabilityPlan};
pub use figures::{MaskStability, RuleStability, StabilityFigures, UnstableHead};
pub use importance::{DomainImportance, RuleScores};
pub use texts::FoundTexts;
pub use verdict::{DomainFit, DomainVerdict};
