//! A device against the CPU: the kernels case by case, and a whole model token by token.
//! The tests run both on the host simulator, `kscope selftest` runs them on a GPU.

mod branches;
mod cases;
mod kernels;
mod memory;
mod outcome;
mod prompts;
mod whole_model;

pub use branches::{BranchCase, Norm, StepPart, branch_cases, compare_branches};
pub use cases::{Bits, Case, Story, cases};
pub use kernels::compare_kernels;
pub use outcome::CaseOutcome;
pub use prompts::{PromptCase, compare_prompt, prompt_cases};
pub use whole_model::{compare_models, compare_recording};
