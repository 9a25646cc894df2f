//! The colours of a theme: one per role, from a TOML file. Four are inside the program.

use crate::tui::color::{Colormap, Rgb, Role, contrast, rgb};
use crate::{Error, Result};

/// The colours of a theme.
#[derive(Debug, Clone, PartialEq)]
pub struct Palette {
    /// Its name.
    pub name: String,
    /// The terminal's background that it is made for.
    pub ground: Rgb,
    /// The colour map that it comes with.
    pub colormap: Colormap,
    colors: [Rgb; Role::ALL.len()],
}

/// The themes inside the program, by name.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("dark", include_str!("themes/dark.toml")),
    ("light", include_str!("themes/light.toml")),
    ("colour-blind", include_str!("themes/colour-blind.toml")),
    ("high-contrast", include_str!("themes/high-contrast.toml")),
];

impl Palette {
    /// A theme inside the program.
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(name, text, name).expect("the program's own themes are whole"))
    }

    /// The theme of a file's text. Messages call the file `file`.
    ///
    /// # Errors
    /// For what is not TOML, colours that are missing, unknown or not like `#1c2230`, and an unknown
    /// colour map.
    pub fn parse(name: &str, text: &str, file: &str) -> Result<Self> {
        let wrong = |what: String| Error::input(format!("{file}: {what}"));
        let table: toml::Table =
            toml::from_str(text).map_err(|cause| wrong(cause.message().to_owned()))?;
        let names = || Role::ALL.map(Role::name).into_iter().filter(|name| *name != "title");
        let is_known = |key: &&String| {
            matches!(key.as_str(), "ground" | "colormap") || names().any(|name| name == *key)
        };
        if let Some(key) = table.keys().find(|key| !is_known(key)) {
            let all: Vec<&str> = names().collect();
            return Err(wrong(format!(
                "unknown key `{key}`: expected colormap, ground, {}",
                all.join(", ")
            )));
        }
        let color = |key: &str| {
            let value = table.get(key);
            value.and_then(toml::Value::as_str).and_then(hex).ok_or_else(|| {
                let found = value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                wrong(format!("{key}: expected a colour such as \"#1c2230\", found {found}"))
            })
        };
        let colormap = match table.get("colormap") {
            None => Colormap::Viridis,
            Some(value) => value.as_str().and_then(Colormap::from_name).ok_or_else(|| {
                wrong(format!("colormap: expected viridis, cividis or grey, found {value}"))
            })?,
        };
        let mut colors = [0; Role::ALL.len()];
        for role in Role::ALL {
            // Titles are text in bold.
            let key = if role == Role::Title { "text" } else { role.name() };
            colors[role as usize] = color(key)?;
        }
        Ok(Self { name: name.to_owned(), ground: color("ground")?, colormap, colors })
    }

    /// The colour of a role.
    pub fn color(&self, role: Role) -> Rgb {
        self.colors[role as usize]
    }

    /// Whether it is made for a light background.
    pub fn is_light(&self) -> bool {
        contrast(rgb(self.ground), rgb(0)) > contrast(rgb(self.ground), rgb(0xff_ffff))
    }
}

fn hex(text: &str) -> Option<Rgb> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    Rgb::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2 asks for 4.5 of text. Text stands on the terminal's ground, and on the bars.
    #[test]
    fn every_text_colour_of_every_theme_is_legible_on_its_grounds() {
        for (name, _) in BUILT_IN {
            let palette = Palette::built_in(name).expect("known");
            let least = if name == "high-contrast" { 7.0 } else { 4.5 };
            let on = |role, ground: Rgb| contrast(rgb(palette.color(role)), rgb(ground));
            for role in Role::ALL.into_iter().filter(|role| role.is_text()) {
                for ground in [palette.ground, palette.color(Role::Bar)] {
                    let found = on(role, ground);
                    assert!(found >= least, "{name}: {role:?} on {ground:06x}: {found:.2}");
                }
            }
            let selected = on(Role::Text, palette.color(Role::Selected));
            assert!(selected >= least, "{name}: a selected row: {selected:.2}");
            let cross = on(Role::Cross, palette.color(Role::Neutral));
            assert!(cross >= 4.5, "{name}: the cross of a dropped head: {cross:.2}");
        }
    }

    #[test]
    fn no_two_text_colours_of_a_theme_are_the_same() {
        for (name, _) in BUILT_IN {
            let palette = Palette::built_in(name).expect("known");
            for (at, one) in Role::ALL.into_iter().enumerate() {
                for other in &Role::ALL[at + 1..] {
                    let titles = one == Role::Title || *other == Role::Title;
                    let texts = one.is_text() && other.is_text() && !titles;
                    assert!(
                        !texts || palette.color(one) != palette.color(*other),
                        "{name}: {one:?} and {other:?} mean different things"
                    );
                }
            }
        }
    }

    #[test]
    fn themes_know_whether_they_are_light() {
        let light = |name| Palette::built_in(name).expect("known").is_light();
        assert_eq!(BUILT_IN.map(|(name, _)| light(name)), [false, true, false, false]);
    }

    #[test]
    fn a_broken_theme_is_refused_with_the_file_the_key_and_what_was_found() {
        let (_, dark) = BUILT_IN[0];
        let said = |text: &str| {
            let error = Palette::parse("mine", text, "mine.toml").expect_err("broken");
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        let without: String =
            dark.lines().filter(|line| !line.starts_with("bad ")).collect::<Vec<_>>().join("\n");
        assert_eq!(
            said(&without),
            "mine.toml: bad: expected a colour such as \"#1c2230\", found nothing"
        );
        assert!(said(&dark.replace("#ff7b72", "red")).contains("bad: expected a colour"));
        assert!(said(&dark.replace("#ff7b72", "#ff7b7")).contains("found \"#ff7b7\""));
        assert!(said(&dark.replace("\"#ff7b72\"", "7")).contains("found 7"));
        assert!(
            said(&format!("{dark}\nfist = 1")).contains("unknown key `fist`: expected colormap")
        );
        assert!(said(&dark.replace("viridis", "jet")).contains("colormap: expected viridis"));
        assert!(said("= ?").starts_with("mine.toml: "));
    }
}
