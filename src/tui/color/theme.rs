//! Roles of the parts of a screen, and their style on this terminal.

use ratatui::style::{Color, Modifier, Style};

use crate::tui::color::{ColorDepth, Colormap, DIVERGING, Palette, Rgb, STEPS, depth, parts};

/// Declares the roles, with the name that each has in theme files.
macro_rules! roles {
    ($($(#[doc = $doc:literal])+ $role:ident = $name:literal,)*) => {
        /// The role of a part of the screen, independent of its colour. A colour means the same on
        /// every screen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Role { $($(#[doc = $doc])+ $role,)* }

        impl Role {
            /// All roles.
            pub const ALL: [Self; [$($name,)*].len()] = [$(Self::$role,)*];

            /// The name in theme files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$role => $name,)* }
            }
        }
    };
}

roles! {
    /// Plain text.
    Text = "text",
    /// Labels and explanations.
    Dim = "dim",
    /// Titles.
    Title = "title",
    /// What the user can act on: keys, the name of the selected item.
    Accent = "accent",
    /// Lines between panes.
    Border = "border",
    /// Good states: running, bytes saved.
    Good = "good",
    /// Warnings: paused, stale, dropped events, where sides part.
    Warn = "warn",
    /// Failures.
    Bad = "bad",
    /// The background of a selected row.
    Selected = "selected",
    /// The background of header and footer.
    Bar = "bar",
    /// K: its bytes, and the first channel of a pair.
    Keys = "keys",
    /// The second channel of a pair.
    Partner = "partner",
    /// V: its bytes.
    Values = "values",
    /// Sink and recent tokens: their bytes, and attention to them.
    Window = "window",
    /// Attention: its time, and its mass on the middle.
    Attention = "attention",
    /// Tokens a second.
    Speed = "speed",
    /// The mask as it is saved, in plots and tables.
    Saved = "saved",
    /// Divergence, and curves that have no colour of their own.
    Loss = "loss",
    /// The cross of a dropped head, drawn on the map.
    Cross = "cross",
    /// Nothing to show here: a dropped head, a channel that is not stored.
    Neutral = "neutral",
}

impl Role {
    /// Whether text is written in it; the others are grounds, lines and marks on the map.
    pub fn is_text(self) -> bool {
        !matches!(self, Self::Border | Self::Selected | Self::Bar | Self::Cross | Self::Neutral)
    }
}

/// Colours and styles for this terminal.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    /// What the terminal can show.
    pub depth: ColorDepth,
    /// Whether its background is light.
    pub light: bool,
    /// The map's colours.
    pub colormap: Colormap,
    /// The colours of the roles.
    pub palette: Palette,
    ramp: [Color; STEPS],
    diverging: [Color; STEPS],
}

impl Theme {
    /// The theme `dark` or `light` for a terminal.
    pub fn new(depth: ColorDepth, light: bool, colormap: Colormap) -> Self {
        let name = if light { "light" } else { "dark" };
        let palette = Palette::built_in(name).expect("inside the program");
        Self::of(depth, palette, colormap)
    }

    /// A theme of these colours for a terminal.
    pub fn of(depth: ColorDepth, palette: Palette, colormap: Colormap) -> Self {
        let light = palette.is_light();
        let ramp = colours(colormap.table(light), depth, true);
        let diverging = colours(DIVERGING, depth, false);
        Self { depth, light, colormap, palette, ramp, diverging }
    }

    /// The same terminal and colours with another colour map.
    pub fn with_colormap(&self, colormap: Colormap) -> Self {
        Self::of(self.depth, self.palette.clone(), colormap)
    }

    /// The colour of a share, 0 to 1, on the map.
    pub fn ramp(&self, share: f32) -> Color {
        self.ramp[step(share)]
    }

    /// The colour of a share on the diverging map; 0.5 is neutral.
    pub fn diverging(&self, share: f32) -> Color {
        self.diverging[step(share)]
    }

    /// The colour of a role.
    pub fn color(&self, role: Role) -> Color {
        rgb(self.palette.color(role))
    }

    /// The colour of a mark on a coloured ground: the one of two inks with more contrast.
    pub fn ink_on(&self, ground: Color) -> Color {
        if ground == self.color(Role::Neutral) {
            return self.color(Role::Cross);
        }
        let inks = [rgb(0xf8_fafc), rgb(0x0c_0e12)];
        let [light, dark] = inks.map(|ink| contrast(ink, ground));
        if light >= dark { inks[0] } else { inks[1] }
    }

    /// The style of a role in the foreground.
    pub fn style(&self, role: Role) -> Style {
        let style = Style::new().fg(self.color(role));
        match role {
            Role::Title | Role::Accent => style.add_modifier(Modifier::BOLD),
            // Without grey, labels use the dim attribute.
            Role::Dim | Role::Border if self.depth <= ColorDepth::None => {
                style.add_modifier(Modifier::DIM)
            }
            _ => style,
        }
    }

    /// The style of a selected row: a background, or reverse video without colours.
    pub fn selected(&self) -> Style {
        if self.depth <= ColorDepth::Ansi16 {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
                .bg(self.color(Role::Selected))
                .fg(self.color(Role::Text))
                .add_modifier(Modifier::BOLD)
        }
    }

    /// The style of header and footer.
    pub fn bar(&self) -> Style {
        if self.depth <= ColorDepth::Ansi16 {
            Style::new()
        } else {
            Style::new().bg(self.color(Role::Bar)).fg(self.color(Role::Text))
        }
    }
}

/// The contrast of two colours as WCAG 2.2 defines it, 1 to 21; 1 where one is not known.
pub fn contrast(one: Color, other: Color) -> f64 {
    let luminance = |color| {
        let [r, g, b] = match color {
            Color::Rgb(r, g, b) => [r, g, b],
            Color::Indexed(index) if index >= 16 => depth::of_256(index),
            _ => return None,
        };
        let linear = |part: u8| match f64::from(part) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        };
        Some(0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05)
    };
    let (Some(one), Some(other)) = (luminance(one), luminance(other)) else { return 1.0 };
    one.max(other) / one.min(other)
}

/// The step that a share falls into.
fn step(share: f32) -> usize {
    ((share.clamp(0.0, 1.0) * STEPS as f32) as usize).min(STEPS - 1)
}

/// A 24-bit colour for ratatui.
pub fn rgb(rgb: Rgb) -> Color {
    let [r, g, b] = parts(rgb);
    Color::Rgb(r, g, b)
}

/// A colour map converted to a colour depth. With 256 colours a sequential map must stay monotone
/// in luminance: each step takes the nearest entry that is not darker than the step before (not
/// lighter, for a falling map).
fn colours(table: [Rgb; STEPS], depth: ColorDepth, monotone: bool) -> [Color; STEPS] {
    if depth != ColorDepth::Ansi256 {
        return table.map(rgb);
    }
    if !monotone {
        return table.map(depth::nearest_256);
    }
    let rising = depth::luminance(parts(table[STEPS - 1])) > depth::luminance(parts(table[0]));
    let mut last = if rising { 0.0 } else { 255.0 };
    table.map(|wanted| {
        let fits = |index: &u8| {
            let found = depth::luminance(depth::of_256(*index));
            if rising { found >= last } else { found <= last }
        };
        let cost = |index: &u8| {
            let (found, wanted) = (depth::of_256(*index), parts(wanted));
            (0..3).map(|i| (i32::from(found[i]) - i32::from(wanted[i])).pow(2)).sum::<i32>()
        };
        let index = (16..=255).filter(fits).min_by_key(cost).unwrap_or(255);
        last = depth::luminance(depth::of_256(index));
        Color::Indexed(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_on_256_colours_are_monotone_in_luminance() {
        for light in [false, true] {
            for map in Colormap::ALL {
                let theme = Theme::new(ColorDepth::Ansi256, light, map);
                let luminance: Vec<f32> = (theme.ramp.iter())
                    .map(|color| match color {
                        Color::Indexed(index) => depth::luminance(depth::of_256(*index)),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let rising = luminance.windows(2).all(|pair| pair[0] <= pair[1]);
                let falling = luminance.windows(2).all(|pair| pair[0] >= pair[1]);
                assert!(rising || falling, "{map:?} light {light}: {luminance:?}");
            }
        }
    }

    #[test]
    fn a_mark_is_legible_on_every_colour_of_every_map() {
        for light in [false, true] {
            for map in Colormap::ALL {
                let theme = Theme::new(ColorDepth::True, light, map);
                for ground in theme.ramp {
                    let found = contrast(theme.ink_on(ground), ground);
                    assert!(found >= 4.0, "{map:?} light {light} {ground:?}: {found}");
                }
            }
        }
    }

    #[test]
    fn shares_outside_the_scale_take_its_ends() {
        let theme = Theme::new(ColorDepth::True, false, Colormap::Viridis);
        assert_eq!(theme.ramp(-1.0), theme.ramp(0.0));
        assert_eq!(theme.ramp(2.0), theme.ramp(1.0));
        assert_eq!(theme.ramp(f32::NAN), theme.ramp(0.0));
        assert_eq!(theme.ramp(0.0), Color::Rgb(0x44, 0x01, 0x54));
    }
}
