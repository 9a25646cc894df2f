//! Themes by name: those inside the program, then the files in `kscope/themes` in the XDG
//! configuration folder.

use std::path::{Path, PathBuf};

use crate::tui::app::config;
use crate::tui::color::{BUILT_IN, Palette};
use crate::{Error, Result, input_file};

/// The folder of the user's themes.
pub fn folder() -> Option<PathBuf> {
    Some(config::path()?.parent()?.join("themes"))
}

/// The file that a theme of this name would be in; `None` for what is no name.
pub fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    (!name.is_empty() && name.chars().all(plain)).then(|| folder.join(format!("{name}.toml")))
}

/// All names, those inside the program first.
pub fn names(folder: Option<&Path>) -> Vec<String> {
    let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    let mut own: Vec<String> = (files.into_iter().flatten().flatten())
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            (path.extension()? == "toml").then_some(name)
        })
        .collect();
    own.sort();
    own.retain(|name| !names.contains(name));
    names.extend(own);
    names
}

/// The theme of this name.
///
/// # Errors
/// For a name that nothing has, and a file that is broken.
pub fn load(folder: Option<&Path>, name: &str) -> Result<Palette> {
    if let Some(palette) = Palette::built_in(name) {
        return Ok(palette);
    }
    if let Some(path) = folder.and_then(|folder| file(folder, name)) {
        let text = input_file::if_there(&path, input_file::SETTINGS, input_file::read_text)?;
        if let Some(text) = text {
            return Palette::parse(name, &text, &path.display().to_string());
        }
    }
    let known = BUILT_IN.map(|(name, _)| name).join(", ");
    let place = folder.map_or(String::new(), |at| format!(", or a file in {}", at.display()));
    Err(Error::input(format!("there is no theme `{name}`: expected {known}{place}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_themes_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = Some(folder.path());
        assert_eq!(load(at, "dark").expect("inside").name, "dark");
        let own = BUILT_IN[0].1.replace("#ff7b72", "#123456");
        std::fs::write(folder.path().join("dark.toml"), &own).expect("written");
        std::fs::write(folder.path().join("mine.toml"), &own).expect("written");
        std::fs::write(folder.path().join("broken.toml"), "text = 3").expect("written");
        let bad = crate::tui::color::Role::Bad;
        assert_eq!(load(at, "dark").expect("inside").color(bad), 0xff_7b72, "always the same");
        assert_eq!(load(at, "mine").expect("a file").color(bad), 0x12_3456);
        let error = load(at, "broken").expect_err("broken").to_string();
        assert!(error.contains("broken.toml: text: expected a colour"), "{error}");
        let names = names(at);
        assert!(names.contains(&"mine".to_owned()) && names.contains(&"light".to_owned()));
    }

    #[test]
    fn a_name_is_no_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let outside = folder.path().join("x.toml");
        std::fs::write(&outside, BUILT_IN[0].1).expect("written");
        let inside = folder.path().join("themes");
        for name in ["../x", "", "/etc/passwd", "a.b"] {
            let error = load(Some(&inside), name).expect_err(name).to_string();
            assert!(error.contains("there is no theme"), "{error}");
        }
    }
}
