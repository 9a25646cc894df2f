//! What keys do to typed text: one set for the lists, the paths, the fields, the prompt and the
//! turns. What is no such key types nothing.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui_textarea::{CursorMove, Scrolling, TextArea};
use tui_input::{Input, InputRequest};

use crate::tui::fitting::{fitted, tail};

/// The keys of [`TextEdit::of`] as the documentation lists them, and what each does.
pub const EDITING: &[(&str, &str)] = &[
    ("← → ^b ^f", "one character back or on"),
    ("^← ^→ alt-b alt-f", "one word back or on"),
    ("home end ^a ^e", "to the beginning or the end of the line"),
    ("backspace ^h", "delete the character before"),
    ("delete ^d", "delete the character at the cursor"),
    ("^w alt-backspace ^backspace", "delete the word before"),
    ("alt-d ^delete", "delete the word after"),
    ("^u", "delete to the beginning of the line"),
    ("^k", "delete to the end of the line"),
    ("^y", "put back what was deleted last"),
];

/// The keys that the prompt and a turn have besides, and what each does.
pub const EDITING_LINES: &[(&str, &str)] =
    &[("↑ ↓", "one line up or down"), ("^z ^r", "undo a change of the text, or make it again")];

/// One change of typed text, or one movement in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEdit {
    /// Put a character in.
    Insert(char),
    /// One character back.
    Back,
    /// One character on.
    On,
    /// One word back.
    WordBack,
    /// One word on.
    WordOn,
    /// To the beginning of the line.
    Start,
    /// To the end of the line.
    End,
    /// Delete the character before.
    DeleteBack,
    /// Delete the character at the cursor.
    DeleteOn,
    /// Delete the word before.
    DeleteWordBack,
    /// Delete the word after.
    DeleteWordOn,
    /// Delete to the beginning of the line.
    DeleteToStart,
    /// Delete to the end of the line.
    DeleteToEnd,
    /// Put back what was deleted last.
    PutBack,
}

impl TextEdit {
    /// What a key does to typed text; `None` where it does nothing.
    pub fn of(key: &KeyEvent) -> Option<Self> {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::META);
        let words = ctrl || alt;
        Some(match key.code {
            KeyCode::Backspace if words => Self::DeleteWordBack,
            KeyCode::Backspace => Self::DeleteBack,
            KeyCode::Delete if words => Self::DeleteWordOn,
            KeyCode::Delete => Self::DeleteOn,
            KeyCode::Left if words => Self::WordBack,
            KeyCode::Left => Self::Back,
            KeyCode::Right if words => Self::WordOn,
            KeyCode::Right => Self::On,
            KeyCode::Home => Self::Start,
            KeyCode::End => Self::End,
            // Some terminals report AltGr so.
            KeyCode::Char(letter) if ctrl == alt => Self::Insert(letter),
            KeyCode::Char(letter) => match (letter.to_ascii_lowercase(), ctrl) {
                ('a', true) => Self::Start,
                ('e', true) => Self::End,
                ('b', true) => Self::Back,
                ('f', true) => Self::On,
                ('b', false) => Self::WordBack,
                ('f', false) => Self::WordOn,
                ('h', true) => Self::DeleteBack,
                ('d', true) => Self::DeleteOn,
                ('w', true) => Self::DeleteWordBack,
                ('d', false) => Self::DeleteWordOn,
                ('u', true) => Self::DeleteToStart,
                ('k', true) => Self::DeleteToEnd,
                ('y', true) => Self::PutBack,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// A key in a line of at most `most` characters; whether that changed its text.
pub fn key_in_line(input: &mut Input, key: &KeyEvent, most: usize) -> bool {
    let request = match TextEdit::of(key) {
        Some(TextEdit::Insert(letter)) => {
            if input.value().chars().count() >= most {
                return false;
            }
            InputRequest::InsertChar(letter)
        }
        Some(TextEdit::Back) => InputRequest::GoToPrevChar,
        Some(TextEdit::On) => InputRequest::GoToNextChar,
        Some(TextEdit::WordBack) => InputRequest::GoToPrevWord,
        Some(TextEdit::WordOn) => InputRequest::GoToNextWord,
        Some(TextEdit::Start) => InputRequest::GoToStart,
        Some(TextEdit::End) => InputRequest::GoToEnd,
        Some(TextEdit::DeleteBack) => InputRequest::DeletePrevChar,
        Some(TextEdit::DeleteOn) => InputRequest::DeleteNextChar,
        Some(TextEdit::DeleteWordBack) => InputRequest::DeletePrevWord,
        Some(TextEdit::DeleteWordOn) => InputRequest::DeleteNextWord,
        Some(TextEdit::DeleteToStart) => InputRequest::DeleteFromStart,
        Some(TextEdit::DeleteToEnd) => InputRequest::DeleteTillEnd,
        Some(TextEdit::PutBack) => InputRequest::Yank,
        None => return false,
    };
    let is_changed = input.handle(request).is_some_and(|change| change.value);
    // What is put back may be long.
    if input.value().chars().count() > most {
        *input = Input::from(input.value().chars().take(most).collect::<String>());
    }
    is_changed
}

/// Text that is pasted into a line of at most `most` characters.
pub fn paste_in_line(input: &mut Input, text: &str, most: usize) {
    let room = most.saturating_sub(input.value().chars().count());
    for letter in text.chars().filter(|letter| !letter.is_control()).take(room) {
        input.handle(InputRequest::InsertChar(letter));
    }
}

/// A key in a text of several lines.
pub fn key_in_text(area: &mut TextArea<'static>, key: &KeyEvent) {
    let moves = |area: &mut TextArea<'static>, to: CursorMove| {
        area.cancel_selection();
        area.move_cursor(to);
    };
    match TextEdit::of(key) {
        Some(TextEdit::Insert(letter)) => area.insert_char(letter),
        Some(TextEdit::Back) => moves(area, CursorMove::Back),
        Some(TextEdit::On) => moves(area, CursorMove::Forward),
        Some(TextEdit::WordBack) => word(area, InputRequest::GoToPrevWord, false),
        Some(TextEdit::WordOn) => word(area, InputRequest::GoToNextWord, false),
        Some(TextEdit::Start) => moves(area, CursorMove::Head),
        Some(TextEdit::End) => moves(area, CursorMove::End),
        Some(TextEdit::DeleteBack) => drop(area.delete_char()),
        Some(TextEdit::DeleteOn) => drop(area.delete_next_char()),
        Some(TextEdit::DeleteWordBack) => word(area, InputRequest::GoToPrevWord, true),
        Some(TextEdit::DeleteWordOn) => word(area, InputRequest::GoToNextWord, true),
        Some(TextEdit::DeleteToStart) => drop(area.delete_line_by_head()),
        Some(TextEdit::DeleteToEnd) => drop(area.delete_line_by_end()),
        Some(TextEdit::PutBack) => drop(area.paste()),
        None => lines(area, key),
    }
}

/// Moves by a word of the line at hand, or deletes what lies between. Both crates find words, but not
/// the same ones; beyond the ends of a line only the text's own is asked.
fn word(area: &mut TextArea<'static>, request: InputRequest, deletes: bool) {
    area.cancel_selection();
    let (row, from) = (area.cursor().0, area.cursor().1);
    let line = area.lines().get(row).cloned().unwrap_or_default();
    let mut input = Input::from(line).with_cursor(from);
    input.handle(request);
    let to = input.cursor();
    let back = request == InputRequest::GoToPrevWord;
    match (to == from, deletes, back) {
        (true, true, true) => drop(area.delete_word()),
        (true, true, false) => drop(area.delete_next_word()),
        (true, false, true) => area.move_cursor(CursorMove::WordBack),
        (true, false, false) => area.move_cursor(CursorMove::WordForward),
        (false, _, _) => {
            let steps = to.abs_diff(from);
            let goes = if back { CursorMove::Back } else { CursorMove::Forward };
            // What is deleted lies behind the cursor.
            if back || !deletes {
                (0..steps).for_each(|_| area.move_cursor(goes));
            }
            if deletes {
                area.delete_str(steps);
            }
        }
    }
}

/// The keys that only a text of several lines has.
fn lines(area: &mut TextArea<'static>, key: &KeyEvent) {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter => area.insert_newline(),
        KeyCode::Tab => drop(area.insert_tab()),
        KeyCode::Up => area.move_cursor(CursorMove::Up),
        KeyCode::Down => area.move_cursor(CursorMove::Down),
        KeyCode::PageUp => area.scroll(Scrolling::PageUp),
        KeyCode::PageDown => area.scroll(Scrolling::PageDown),
        KeyCode::Char('p') if ctrl => area.move_cursor(CursorMove::Up),
        KeyCode::Char('n') if ctrl => area.move_cursor(CursorMove::Down),
        KeyCode::Char('z') if ctrl => drop(area.undo()),
        KeyCode::Char('r') if ctrl => drop(area.redo()),
        _ => {}
    }
}

/// A line that is being typed, in at most `room` columns, with a bar where the next character goes:
/// the bar stays in sight.
pub fn with_bar(input: &Input, room: usize) -> String {
    let at = input.value().char_indices().nth(input.cursor()).map_or(input.value().len(), |c| c.0);
    let (before, after) = input.value().split_at(at);
    let before = format!("{}▏", tail(before, room.saturating_sub(1)));
    let left = room.saturating_sub(before.chars().count());
    match left {
        0 => before,
        _ => before + &fitted(after.to_owned(), left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<(KeyCode, KeyModifiers)> {
        let (none, ctrl, alt) = (KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT);
        let letters =
            |text: &'static str, with| text.chars().map(move |c| (KeyCode::Char(c), with));
        let mut keys: Vec<_> =
            letters("abuwkedfhyx7ä", none).chain(letters("abuwkedfhx", ctrl)).collect();
        keys.extend(letters("bfd", alt));
        for code in [KeyCode::Backspace, KeyCode::Delete, KeyCode::Left, KeyCode::Right] {
            keys.extend([none, ctrl, alt].map(|with| (code, with)));
        }
        keys.extend([(KeyCode::Home, none), (KeyCode::End, none)]);
        keys
    }

    /// A line and a text of one line are the same after the same keys, whichever those are.
    #[test]
    fn a_line_and_a_text_take_the_same_keys() {
        for (code, modifiers) in keys() {
            for home in [false, true] {
                let mut line = Input::from("one, two/three".to_owned());
                let mut area = TextArea::from(["one, two/three"]);
                let end = if home { CursorMove::Head } else { CursorMove::End };
                area.move_cursor(end);
                if home {
                    line.handle(InputRequest::GoToStart);
                }
                let key = KeyEvent::new(code, modifiers);
                key_in_line(&mut line, &key, usize::MAX);
                key_in_text(&mut area, &key);
                assert_eq!(area.lines(), [line.value()], "{key:?} {home}");
            }
        }
    }

    #[test]
    fn control_keys_type_no_letters_and_a_line_ends_where_it_may() {
        let mut line = Input::default();
        let press = |line: &mut Input, code, modifiers| {
            key_in_line(line, &KeyEvent::new(code, modifiers), 5);
            line.value().to_owned()
        };
        for letter in "abcdefgh".chars() {
            press(&mut line, KeyCode::Char(letter), KeyModifiers::NONE);
        }
        assert_eq!(line.value(), "abcde", "five at most");
        for letter in "xqgjtsov".chars() {
            for modifiers in [KeyModifiers::CONTROL, KeyModifiers::ALT] {
                assert_eq!(press(&mut line, KeyCode::Char(letter), modifiers), "abcde");
            }
        }
        assert_eq!(press(&mut line, KeyCode::Char('u'), KeyModifiers::CONTROL), "");
        assert_eq!(press(&mut line, KeyCode::Char('y'), KeyModifiers::CONTROL), "abcde");
        assert_eq!(press(&mut line, KeyCode::Char('y'), KeyModifiers::CONTROL), "abcde");
        paste_in_line(&mut line, "more", 7);
        assert_eq!(line.value(), "abcdemo");
    }

    #[test]
    fn the_bar_stands_at_the_cursor_and_stays_in_sight() {
        let mut line = Input::from("a long word here".to_owned());
        assert_eq!(with_bar(&line, 40), "a long word here▏");
        assert_eq!(with_bar(&line, 7), "… here▏");
        line.handle(InputRequest::GoToStart);
        assert_eq!(with_bar(&line, 40), "▏a long word here");
        for room in 2..16 {
            assert!(with_bar(&line, room).starts_with('▏'), "{room}");
        }
    }
}
