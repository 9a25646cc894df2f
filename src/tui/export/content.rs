//! The kinds of export and the content of each.

use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::sheet::Page;
use crate::tui::export::{picture, screen, sheet};
use crate::tui::screen::Screen;
use crate::tui::screen::map::state::Level;
use crate::{Error, Result};

/// A kind of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object.
    Json,
    /// A table in Markdown.
    Md,
    /// A table in LaTeX, for `booktabs`.
    Tex,
    /// A vector picture of the screen; of the map with every channel.
    Svg,
    /// The same in pixels.
    Png,
}

impl ExportFormat {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Csv, Self::Json, Self::Md, Self::Tex, Self::Svg, Self::Png];

    /// The name in the palette and the file's extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Md => "md",
            Self::Tex => "tex",
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }

    /// What the export contains.
    pub fn about(self) -> &'static str {
        match self {
            Self::Csv => "the screen's data as a table",
            Self::Json => "the screen's data as one JSON object",
            Self::Md => "the screen's data as a table in Markdown",
            Self::Tex => "the screen's data as a table in LaTeX",
            Self::Svg => "the screen as a vector picture in the colours of the theme",
            Self::Png => "the screen as a picture in the colours of the theme",
        }
    }

    /// The kind that the ending of a file names.
    pub fn of_file(path: &str) -> Option<Self> {
        Self::from_name(&path.rsplit_once('.')?.1.to_lowercase())
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// The content of an export of the current screen.
pub fn make(state: &State, format: ExportFormat) -> Result<Vec<u8>> {
    let model = state
        .model
        .as_ref()
        .ok_or_else(|| Error::run("there is nothing to export before the model is loaded"))?;
    // The map has a picture with every channel of every head, whatever fits the terminal.
    let is_map = state.screen == Screen::Map && state.screens.map.level == Level::Model;
    match format {
        ExportFormat::Csv => Ok(sheet::csv(&(state.screen.parts().sheet)(state, model))),
        ExportFormat::Md => Ok(sheet::markdown(&page(state, model))),
        ExportFormat::Tex => Ok(sheet::latex(&page(state, model))),
        ExportFormat::Json => sheet::json(state, model),
        ExportFormat::Svg if is_map => Ok(picture::svg(state, model)?.into_bytes()),
        ExportFormat::Png if is_map => picture::png(state, model),
        ExportFormat::Svg => Ok(screen::svg(state, model).into_bytes()),
        ExportFormat::Png => screen::png(state, model),
    }
}

/// The table of the screen for a page.
fn page(state: &State, model: &ModelView) -> Page {
    let parts = state.screen.parts();
    let printed = parts.printed.map(|printed| printed(state));
    Page::of(&(parts.sheet)(state, model), printed.as_ref())
}

/// The value under the cursor with its place, as text.
pub fn value(state: &State) -> Option<String> {
    let model = state.model.as_ref()?;
    let metric = state.shown_metric()?;
    let at = state.at;
    let value = match model.table(metric) {
        Some(table) => table.head(at.layer, at.head)[at.channel].to_string(),
        None => model.stored_as(at.layer, at.head, at.channel),
    };
    Some(format!(
        "{} l{} h{} c{} {}: {value}",
        model.info.name,
        at.layer,
        at.head,
        at.channel,
        model.name_of(metric)
    ))
}
