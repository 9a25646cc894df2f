//! The user's configuration: `kscope/config.toml` in the XDG configuration folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::tui::color::Colormap;
use crate::{Error, Result, input_file};

/// The configuration. Everything has a default, and unknown keys are refused.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserConfig {
    /// The theme: one inside the program, or a file in `kscope/themes`.
    pub theme: Option<String>,
    /// The map's colours.
    pub colormap: Option<Colormap>,
    /// `dark` or `light`.
    pub background: Option<Background>,
    /// Whether the mouse is used.
    pub mouse: Option<bool>,
    /// Whether `kscope` without arguments tells the story of the demo.
    pub story: Option<bool>,
    /// Keys: context, command, list of keys.
    pub keys: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// The terminal's background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

impl Background {
    /// Reads `COLORFGBG` (`foreground;background`), where a terminal sets it; dark otherwise.
    pub fn detect(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let value = lookup("COLORFGBG").unwrap_or_default();
        match value.rsplit(';').next() {
            Some("7" | "15") => Self::Light,
            _ => Self::Dark,
        }
    }
}

/// Path of the configuration file.
pub fn path() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join("kscope").join("config.toml"))
}

/// Reads a configuration. A missing file gives the default.
pub fn read(path: &Path) -> Result<UserConfig> {
    let found = input_file::if_there(path, input_file::SETTINGS, input_file::read_text)?;
    let Some(text) = found else { return Ok(UserConfig::default()) };
    toml::from_str(&text).map_err(|cause| {
        // The parser's message spans several lines with a pointer to the place. One sentence holds
        // only the message and the line.
        let line = cause
            .span()
            .map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::input(format!("{}: line {line}: {}", path.display(), cause.message()))
    })
}
