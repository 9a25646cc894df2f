//! Roles of the parts of a screen, and their style on this terminal.

use ratatui::style::{Color, Modifier, Style};

use crate::tui::color::{ColorDepth, Colormap, DIVERGING, Rgb, STEPS, depth, parts};

/// The role of a part of the screen, independent of its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Plain text.
    Text,
    /// Labels and explanations.
    Dim,
    /// Titles.
    Title,
    /// What the user can act on: keys, the name of the selected item.
    Accent,
    /// Lines between panes.
    Border,
    /// Good states: running, saved.
    Good,
    /// Warnings: paused, stale, dropped events.
    Warn,
    /// Failures.
    Bad,
    /// The selected row of a list.
    Selected,
    /// Header and footer.
    Bar,
    /// The first of two compared things, and keys.
    First,
    /// The second of two compared things, and values.
    Second,
    /// Tokens outside the middle: sink and recent window.
    Third,
    /// The cross of a dropped head, drawn on the map.
    Cross,
    /// Nothing to show here: a dropped head, a channel that is not stored.
    Neutral,
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
    ramp: [Color; STEPS],
    diverging: [Color; STEPS],
}

impl Theme {
    /// A theme for a terminal.
    pub fn new(depth: ColorDepth, light: bool, colormap: Colormap) -> Self {
        let ramp = colours(colormap.table(light), depth, true);
        Self { depth, light, colormap, ramp, diverging: colours(DIVERGING, depth, false) }
    }

    /// The same terminal with another colour map.
    pub fn with_colormap(&self, colormap: Colormap) -> Self {
        Self::new(self.depth, self.light, colormap)
    }

    /// The colour of a share, 0 to 1, on the map.
    pub fn ramp(&self, share: f32) -> Color {
        self.ramp[step(share)]
    }

    /// The colour of a share on the diverging map; 0.5 is neutral.
    pub fn diverging(&self, share: f32) -> Color {
        self.diverging[step(share)]
    }

    /// The colour of a role, dark and light.
    pub fn color(&self, role: Role) -> Color {
        let (dark, light) = match role {
            Role::Text | Role::Title => (0xd8dee9, 0x24292f),
            Role::Dim => (0x8b95a7, 0x66707c),
            Role::Accent => (0x7fd4ff, 0x0057ae),
            Role::Border => (0x434c5e, 0xb4bcc6),
            Role::Good => (0x8fd694, 0x1a7f37),
            Role::Warn => (0xf2c14e, 0x9a6700),
            Role::Bad => (0xff7b72, 0xcf222e),
            Role::Selected => (0x2f3b52, 0xcfe3ff),
            Role::Bar => (0x1c2230, 0xe7ecf2),
            Role::First => (0x5fb3e8, 0x2166ac),
            Role::Second => (0xe8a15f, 0xb35806),
            Role::Third => (0x9a8cd9, 0x6a51a3),
            Role::Cross => (0xbac3d2, 0x3d4650),
            Role::Neutral => (0x33373f, 0xc9ced6),
        };
        rgb(if self.light { light } else { dark })
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

    /// The contrast of two colours as WCAG 2.2 defines it, 1 to 21.
    fn contrast(one: Color, other: Color) -> f64 {
        let luminance = |color| {
            let Color::Rgb(r, g, b) = color else { panic!("{color:?}") };
            let linear = |part: u8| match f64::from(part) / 255.0 {
                c if c <= 0.04045 => c / 12.92,
                c => ((c + 0.055) / 1.055).powf(2.4),
            };
            0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
        };
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    #[test]
    fn the_cross_of_a_dropped_head_is_legible_on_light_and_dark() {
        for light in [false, true] {
            let theme = Theme::new(ColorDepth::True, light, Colormap::Viridis);
            let found = contrast(theme.color(Role::Cross), theme.color(Role::Neutral));
            assert!(found >= 4.5, "light {light}: {found}");
        }
    }

    #[test]
    fn text_is_legible_on_light_and_dark() {
        for (light, ground) in [(false, 0x1c2230), (true, 0xffffff), (true, 0xe7ecf2)] {
            let theme = Theme::new(ColorDepth::True, light, Colormap::Viridis);
            for role in [
                Role::Text,
                Role::Dim,
                Role::Accent,
                Role::Warn,
                Role::Bad,
                Role::First,
                Role::Third,
            ] {
                let found = contrast(theme.color(role), rgb(ground));
                assert!(found >= 4.0, "{role:?} on {ground:06x}: {found}");
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
