//! Ministral: Mistral in which `layer_types` says which layers have a window. Reports and masks call
//! it `llama`, whose layout it has.

use super::mistral::MISTRAL;
use super::{Architecture, Spelling, WindowLayers, WindowRule};

pub(super) const MINISTRAL: Architecture = Architecture {
    spelling: Spelling::new("ministral", "ministral"),
    window: Some(WindowRule {
        flag: false,
        layers: WindowLayers::All,
        kinds: true,
        unsaid: Some(4096),
        in_gguf: true,
    }),
    geometries: &[],
    ..MISTRAL
};
