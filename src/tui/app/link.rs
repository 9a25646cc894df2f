//! Links to files that were written, as OSC 8 escape sequences: a terminal that knows them opens the
//! file, and others show the text alone.

use std::num::NonZeroU16;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;

/// The address of a file, with the name of this machine, so that a terminal elsewhere does not open
/// a file of its own.
pub fn address(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("file://{}{}", encoded(host.as_bytes()), encoded(whole.as_os_str().as_bytes()))
}

/// Percent-encodes everything but what addresses of files may hold as it is.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

/// The text as a link to an address.
pub fn linked(address: &str, text: &str) -> String {
    format!("\u{1b}]8;id=kscope;{address}\u{1b}\\{text}\u{1b}]8;;\u{1b}\\")
}

/// A line of a command about a file that it wrote (`wrote PATH: ...`), with the path as a link.
/// Other lines stay as they are.
pub fn of_written(line: &str) -> String {
    let Some(rest) = line.strip_prefix("wrote ") else { return line.to_owned() };
    let ends = [rest.find("  "), rest.find(": "), Some(rest.len())];
    let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
    let path = PathBuf::from(&rest[..end]);
    match path.is_file() {
        true => format!("wrote {}{}", linked(&address(&path), &rest[..end]), &rest[end..]),
        false => line.to_owned(),
    }
}

/// Makes the cells of an area links: each by itself, because a frame sends only cells that change.
pub fn mark(path: &Path, area: Rect, buffer: &mut Buffer) {
    let address = address(path);
    let area = area.intersection(buffer.area);
    for x in area.left()..area.right() {
        for y in area.top()..area.bottom() {
            let cell = &mut buffer[(x, y)];
            let text = linked(&address, cell.symbol());
            cell.set_symbol(&text);
            // The width of the escape sequence is not that of the cell.
            cell.set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_has_machine_and_path_and_nothing_that_ends_it_early() {
        let found = address(Path::new("/exports/a b;\u{1b}]é.csv"));
        let rest = found.strip_prefix("file://").expect("a file");
        let (_, path) = rest.split_at(rest.find('/').expect("a path"));
        assert_eq!(path, "/exports/a%20b%3B%1B%5D%C3%A9.csv");
        assert!(address(Path::new("x")).ends_with("/x"), "a whole path");
    }

    #[test]
    fn only_the_path_of_a_line_about_a_written_file_is_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.safetensors");
        std::fs::write(&path, "x").expect("written");
        let shown = path.display().to_string();
        let link = linked(&address(&path), &shown);
        let line = of_written(&format!("wrote {shown}: prunes 3 %"));
        assert_eq!(line, format!("wrote {link}: prunes 3 %"));
        assert_eq!(of_written(&format!("wrote {shown}")), format!("wrote {link}"));
        for other in ["keeps 3 %", "wrote /nowhere/at/all: x", "wrote"] {
            assert_eq!(of_written(other), other);
        }
    }

    #[test]
    fn a_cell_keeps_its_width() {
        let area = Rect::new(0, 0, 4, 1);
        let mut buffer = Buffer::empty(area);
        buffer.set_string(0, 0, "a.md", ratatui::style::Style::new());
        mark(Path::new("/a.md"), area, &mut buffer);
        let symbols: Vec<&str> = (0..4).map(|x| buffer[(x, 0)].symbol()).collect();
        assert!(symbols.iter().all(|symbol| symbol.starts_with("\u{1b}]8;id=kscope;file://")));
        let changed = Buffer::empty(area).diff(&buffer).len();
        assert_eq!(changed, 4, "no cell is taken for the tail of a wide one");
    }
}
