//! Files that the program writes for its user: masks and exports.

use std::path::PathBuf;

use crate::mask::files::{self, Contents};
use crate::tui::app::action::{Action, Effect, Saving, Taken};
use crate::tui::app::folders::expanded_path;

/// Writes an export; the action says what came of it. With the path of what was written.
pub fn write(path: PathBuf, bytes: Vec<u8>, taken: Taken) -> (Action, Option<PathBuf>) {
    let path = match taken {
        Taken::Ask if path.exists() => {
            let then = Effect::Write { path: path.clone(), bytes, taken: Taken::Replace };
            let asks = Action::Taken { path, then: Box::new(then), otherwise: None };
            return (asks, None);
        }
        Taken::Number => free_name(path),
        Taken::Ask | Taken::Replace => path,
    };
    let (sentence, failed) = match files::overwrite(&path, &bytes) {
        Ok(()) => (format!("wrote {}", path.display()), false),
        Err(error) => (error.to_string(), true),
    };
    tracing::info!("{sentence}");
    (Action::Tell { sentence, failed }, (!failed).then_some(path))
}

/// Writes a mask; the action says what came of it.
pub fn save(saving: Saving) -> Action {
    let saving = Saving { path: expanded_path(&saving.path), ..saving };
    if saving.path.exists() && !saving.replaces {
        let path = saving.path.clone();
        let then = Effect::Save(Box::new(Saving { replaces: true, ..saving }));
        return Action::Taken { path, then: Box::new(then), otherwise: None };
    }
    match files::save(&saving.path, &Contents::Mask(saving.file.clone()), false) {
        Ok(()) => Action::Saved(Box::new(saving)),
        Err(error) => Action::Tell { sentence: error.to_string(), failed: true },
    }
}

/// The path, or the first like it with a number that is not taken.
fn free_name(path: PathBuf) -> PathBuf {
    let (stem, extension) = (path.file_stem(), path.extension());
    let (Some(stem), Some(extension)) = (stem, extension) else { return path };
    let (stem, extension) = (stem.to_string_lossy(), extension.to_string_lossy());
    let numbered = (2..).map(|n| path.with_file_name(format!("{stem}-{n}.{extension}")));
    std::iter::once(path.clone()).chain(numbered).find(|path| !path.exists()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn an_export_without_a_name_never_replaces_an_earlier_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kscope-demo-map.csv");
        for name in ["kscope-demo-map.csv", "kscope-demo-map-2.csv", "kscope-demo-map-3.csv"] {
            let free = free_name(path.clone());
            assert_eq!(free, folder.path().join(name));
            std::fs::write(&free, "").expect("written");
        }
    }

    #[test]
    fn an_export_over_a_file_asks_first_and_replaces_it_after_yes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("map.csv");
        std::fs::write(&path, "old").expect("written");
        let read = |path: &Path| std::fs::read_to_string(path).expect("there");
        let (asked, _) = write(path.clone(), b"new".to_vec(), Taken::Ask);
        assert_eq!(read(&path), "old");
        let Action::Taken { then, .. } = asked else { panic!("{asked:?}") };
        let Effect::Write { path: same, bytes, taken } = *then else { panic!("{then:?}") };
        let (told, written) = write(same, bytes, taken);
        assert!(matches!(told, Action::Tell { failed: false, .. }));
        assert_eq!(written.as_deref(), Some(&*path));
        assert_eq!(read(&path), "new");
    }
}
