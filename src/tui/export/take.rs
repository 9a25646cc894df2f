//! Copying and exporting. The content is made here; the runner writes it.

use std::path::PathBuf;

use crate::tui::app::action::{Command, Effect, Taken};
use crate::tui::app::state::State;
use crate::tui::app::text_lines::on_one_line;
use crate::tui::export;
use crate::tui::export::ExportFormat;

/// Copies what the cursor is on.
pub fn copy(state: &mut State) -> Vec<Effect> {
    let Some(text) = (state.screen.parts().copy)(state) else {
        let key = state.key(Command::Export);
        state
            .tell(format!("nothing to copy under a cursor here: {key} exports the figures"), false);
        return Vec::new();
    };
    let mut first: String = on_one_line(&text).chars().take(60).collect();
    if text.chars().nth(60).is_some() {
        first.push('…');
    }
    let sentence = format!("copied: {first}");
    state.tell(sentence, false);
    vec![Effect::Copy(text)]
}

/// Makes an export; without a path it gets a name that describes its content.
pub fn write(
    state: &mut State,
    format: ExportFormat,
    path: Option<PathBuf>,
    replaces: bool,
) -> Vec<Effect> {
    let bytes = match export::make(state, format) {
        Ok(bytes) => bytes,
        Err(error) => {
            state.tell(error.to_string(), true);
            return Vec::new();
        }
    };
    let taken = match &path {
        _ if replaces => Taken::Replace,
        None => Taken::Number,
        Some(_) => Taken::Ask,
    };
    let path = path.unwrap_or_else(|| {
        let model = state.model.as_ref().map_or("model", |model| model.info.name.as_str());
        let own = state.screen.parts().file_stem;
        let what = own.map_or_else(|| state.screen.name().to_owned(), |stem| stem(state));
        let name = format!("kscope {model} {what}")
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        state.export_folder.join(format!("{name}.{}", format.name()))
    });
    vec![Effect::Write { path, bytes, taken }]
}
