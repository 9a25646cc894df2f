//! The tables of the colour maps.

use crate::tui::color::{Colormap, DIVERGING};

#[test]
fn the_colour_maps() {
    let line = |name: &str, table: &[u32]| {
        format!(
            "{name}: {}",
            table.iter().map(|c| format!("{c:06x}")).collect::<Vec<_>>().join(" ")
        )
    };
    let mut lines: Vec<String> =
        Colormap::ALL.into_iter().map(|map| line(map.name(), &map.table(false))).collect();
    lines.push(line("difference", &DIVERGING));
    insta::assert_snapshot!(lines.join("\n"));
}
