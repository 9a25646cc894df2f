//! Ministral: Mistral in which `layer_types` says which layers have a window. Reports and masks call
//! it `llama`, whose layout it has.

use super::mistral::MISTRAL;
use super::{Architecture, Spelling};

pub(super) const MINISTRAL: Architecture =
    Architecture { spelling: Spelling::new("ministral", "ministral"), geometries: &[], ..MISTRAL };
