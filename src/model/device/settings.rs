//! What the environment changes in decode steps on a device, for measurements.

use std::ffi::OsString;

use crate::attention::cuda::Balance;
use crate::{Error, Result};

/// How the steps of a device are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StepSettings {
    /// How finely attention is divided.
    #[serde(flatten)]
    pub balance: Balance,
    /// What is left out.
    pub without: Without,
    /// Whether the kernels are those of the file that `KSCOPE_FATBIN` names.
    pub fatbin: bool,
}

/// Parts of a step that are left out, to learn from `bench decode` what each one costs. The results
/// are wrong then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Without {
    /// The logits stay on the device; all of them are read as 0.
    pub logits: bool,
    /// Keys and values are stored, and nothing is attended to.
    pub attention: bool,
}

impl StepSettings {
    /// What `KSCOPE_CUDA_WAVES`, `KSCOPE_CUDA_LEAST_BYTES`, `KSCOPE_CUDA_WITHOUT` and `KSCOPE_FATBIN`
    /// say.
    ///
    /// # Errors
    /// A value that is none of theirs, by the variable's name.
    pub fn from_environment() -> Result<Self> {
        let without = Without::listed(std::env::var_os("KSCOPE_CUDA_WITHOUT"))?;
        if without != Without::default() {
            tracing::warn!(
                "KSCOPE_CUDA_WITHOUT: steps on the GPU leave something out, and their results are wrong"
            );
        }
        let fatbin = std::env::var_os("KSCOPE_FATBIN").is_some();
        Ok(Self { balance: Balance::from_environment()?, without, fatbin })
    }
}

impl Without {
    /// The parts of a list such as `logits,attention`.
    fn listed(list: Option<OsString>) -> Result<Self> {
        let list = list.unwrap_or_default();
        let mut without = Self::default();
        let list = list.to_string_lossy();
        for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "logits" => without.logits = true,
                "attention" => without.attention = true,
                _ => {
                    return Err(Error::input(format!(
                        "KSCOPE_CUDA_WITHOUT takes logits and attention, separated by commas, not `{part}`"
                    )));
                }
            }
        }
        Ok(without)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_listed_or_refused_by_name() {
        let listed = |list: &str| Without::listed(Some(list.into()));
        assert_eq!(Without::listed(None).unwrap(), Without::default());
        assert_eq!(listed("").unwrap(), Without::default());
        let both = Without { logits: true, attention: true };
        assert_eq!(listed("logits, attention").unwrap(), both);
        assert_eq!(listed("logits").unwrap(), Without { logits: true, attention: false });
        let refused = listed("logits,logit").unwrap_err().to_string();
        assert!(refused.contains("not `logit`"), "{refused}");
    }
}
