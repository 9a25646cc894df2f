//! Copying and exporting: the content is made here, writing it is the runner's work.

use std::path::PathBuf;

use crate::tui::action::Effect;
use crate::tui::export;
use crate::tui::export::Format;
use crate::tui::state::{Screen, State};
use crate::tui::update::tell;

/// Copies the value under the cursor.
pub fn copy(state: &mut State) -> Vec<Effect> {
    let Some(text) = export::value(state) else {
        tell(state, "nothing to copy yet", false);
        return Vec::new();
    };
    let sentence = format!("copied: {text}");
    tell(state, sentence, false);
    vec![Effect::Copy(text)]
}

/// Makes an export; without a path it gets a name that says what it is.
pub fn write(state: &mut State, format: Format, path: Option<PathBuf>) -> Vec<Effect> {
    let bytes = match export::make(state, format) {
        Ok(bytes) => bytes,
        Err(error) => {
            tell(state, error.to_string(), true);
            return Vec::new();
        }
    };
    let path = path.unwrap_or_else(|| {
        let model = state.model.as_ref().map_or("model", |model| model.info.name.as_str());
        let what = match state.screen {
            Screen::Map | Screen::Head if format.is_picture() => "map".to_owned(),
            Screen::Head => format!("l{}h{}", state.at.layer, state.at.head),
            Screen::Ab => "ab".to_owned(),
            screen => screen.title().to_lowercase(),
        };
        let name = format!("kscope {model} {what}")
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        state.export_folder.join(format!("{name}.{}", format.name()))
    });
    vec![Effect::Write { path, bytes }]
}
