//! Questions to the terminal before the first frame: the colour of its background (OSC 11), and
//! whether it shows pictures. The first frame waits only for terminals that answer at once. An answer
//! that comes later looks like typed keys: [`LateAnswers`] takes it out of them and reads it.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::tui::app::config::Background;
use crate::tui::graphics;

/// How long the first frame waits for the answers. Terminals of this machine need a millisecond or
/// two; those behind a network answer after it.
const PATIENCE: Duration = Duration::from_millis(10);
/// What every terminal answers (its device attributes): it comes after the answers to what is asked
/// before it, so that nobody waits for a terminal that does not know the other question.
const ATTRIBUTES: &str = "\u{1b}[c";
const BACKGROUND: &str = "\u{1b}]11;?\u{1b}\\";
/// Most bytes of the answers.
const MOST: usize = 512;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Questions {
    /// The colour of the background.
    pub background: bool,
    /// Whether it shows pictures.
    pub graphics: bool,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The background, where the terminal told it.
    pub background: Option<Background>,
    /// Whether it shows pictures.
    pub graphics: bool,
    /// Whether all answers came in time.
    pub in_time: bool,
}

/// Whether a terminal of this name (`TERM`) can be asked: some print the question.
pub fn can_be_asked(term: &str) -> bool {
    !term.is_empty()
        && !["dumb", "linux", "vt100", "vt220", "cons25"].contains(&term)
        && !term.starts_with("eterm")
}

/// Asks the terminal at standard input and output. Whatever goes wrong is no answer.
pub fn ask(questions: Questions) -> Answered {
    let none = Answered { background: None, graphics: false, in_time: true };
    if enable_raw_mode().is_err() {
        return none;
    }
    let mut out = std::io::stdout();
    let background = if questions.background { BACKGROUND } else { "" };
    let graphics = if questions.graphics { graphics::QUERY } else { "" };
    let asked = out.write_all(format!("{background}{graphics}{ATTRIBUTES}").as_bytes());
    let answered = match asked.and_then(|()| out.flush()) {
        Ok(()) => listen(std::io::stdin(), PATIENCE),
        Err(_) => none,
    };
    let _ = disable_raw_mode();
    answered
}

/// Reads answers until that about attributes, or until time is up.
fn listen(input: impl AsFd, patience: Duration) -> Answered {
    let end = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut buffer = [0; 64];
    while !is_whole(&bytes) && bytes.len() < MOST {
        let left = end.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: 0, tv_nsec: left.as_nanos().min(999_999_999) as _ };
        let mut watched = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut watched, Some(&wait)) {
            Ok(0) => return answered(&bytes, false),
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => match rustix::io::read(&input, &mut buffer[..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            },
        }
    }
    answered(&bytes, true)
}

fn answered(bytes: &[u8], in_time: bool) -> Answered {
    let graphics = String::from_utf8_lossy(bytes).contains(graphics::KNOWN);
    Answered { background: background(bytes), graphics, in_time }
}

/// Whether the answer about attributes is there: `ESC [ ? ... c`.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.rsplit_once("\u{1b}[?").is_some_and(|(_, rest)| {
        rest.find('c').is_some_and(|end| {
            rest[..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';')
        })
    })
}

/// Light or dark, from `ESC ] 11 ; rgb:RRRR/GGGG/BBBB`, with one to four digits each.
fn background(bytes: &[u8]) -> Option<Background> {
    let text = String::from_utf8_lossy(bytes);
    let (_, rest) = text.split_once("\u{1b}]11;rgb")?;
    let rest = rest.strip_prefix('a').unwrap_or(rest).strip_prefix(':')?;
    let end = rest.find(['\u{7}', '\u{1b}'])?;
    let parts: Vec<f64> = rest[..end].split('/').take(3).filter_map(share).collect();
    let [red, green, blue] = parts[..] else { return None };
    let light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    Some(if light > 0.5 { Background::Light } else { Background::Dark })
}

fn share(digits: &str) -> Option<f64> {
    let most = 16_f64.powi(i32::try_from(digits.len()).ok().filter(|n| (1..=4).contains(n))?);
    Some(f64::from(u32::from_str_radix(digits, 16).ok()?) / (most - 1.0))
}

/// Takes answers that come too late out of the keys. The terminal library knows no such answers, and
/// reads them as Alt with `]` or `_`, letters, and an end.
#[derive(Debug, Default)]
pub struct LateAnswers {
    /// The answer that is being read; empty outside one.
    text: String,
    /// Answers that may still come.
    waits_for: u8,
}

/// What a key is to [`LateAnswers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateKey {
    /// A key like any other.
    Pressed,
    /// A part of an answer.
    Part,
    /// The end of an answer that says something.
    Told(Answered),
}

impl LateAnswers {
    /// Most bytes of an answer.
    const MOST: usize = 64;
    /// How the answers begin.
    const BEGINNINGS: [&str; 2] = ["\u{1b}]11;rgb", "\u{1b}_Gi="];

    /// Waits for what has not been answered in time.
    pub fn new(answered: Answered) -> Self {
        Self { text: String::new(), waits_for: if answered.in_time { 0 } else { 2 } }
    }

    /// Takes a key that belongs to a late answer.
    pub fn take(&mut self, key: &KeyEvent) -> LateKey {
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        if self.text.is_empty() {
            if let KeyCode::Char(begin @ (']' | '_')) = key.code
                && alt
                && self.waits_for > 0
            {
                self.waits_for -= 1;
                self.text.extend(['\u{1b}', begin]);
                return LateKey::Part;
            }
            return LateKey::Pressed;
        }
        match key.code {
            KeyCode::Char('\\') if alt => self.end(),
            KeyCode::Char('g') if ctrl => self.end(),
            KeyCode::Char(c) if !ctrl && !alt && c.is_ascii() && self.text.len() < Self::MOST => {
                self.text.push(c);
                if self.may_be_one() { LateKey::Part } else { self.is_none() }
            }
            _ => self.is_none(),
        }
    }

    fn may_be_one(&self) -> bool {
        let text = self.text.as_str();
        Self::BEGINNINGS.iter().any(|begin| begin.starts_with(text) || text.starts_with(begin))
    }

    /// Not an answer after all.
    fn is_none(&mut self) -> LateKey {
        self.text.clear();
        LateKey::Pressed
    }

    fn end(&mut self) -> LateKey {
        let told =
            answered(format!("{}\u{1b}\\", std::mem::take(&mut self.text)).as_bytes(), false);
        match told.background.is_some() || told.graphics {
            true => LateKey::Told(told),
            false => LateKey::Part,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn backgrounds_are_told_apart_in_every_form() {
        let of = |text: &str| background(text.as_bytes());
        let (dark, light) = (Some(Background::Dark), Some(Background::Light));
        assert_eq!(of("\u{1b}]11;rgb:1c1c/2020/3030\u{1b}\\\u{1b}[?62;c"), dark);
        assert_eq!(of("\u{1b}]11;rgb:ffff/ffff/ffff\u{7}"), light);
        assert_eq!(of("\u{1b}]11;rgb:fd/f6/e3\u{7}"), light);
        assert_eq!(of("\u{1b}]11;rgb:0/2/3\u{7}"), dark);
        assert_eq!(of("\u{1b}]11;rgba:eeee/eeee/eeee/ffff\u{7}"), light);
        for broken in ["", "\u{1b}[?62;c", "\u{1b}]11;rgb:ff/ff\u{7}", "\u{1b}]11;rgb:ff/ff/ff"] {
            assert_eq!(of(broken), None, "{broken:?}");
        }
        assert_eq!(of("\u{1b}]11;rgb:xx/yy/zz\u{7}"), None);
        assert_eq!(of("\u{1b}]11;rgb:fffff/f/f\u{7}"), None);
    }

    /// What a terminal that answered so is heard to say, and how long that takes.
    fn ask_one(answer: &[u8], limit: Duration) -> (Answered, Duration) {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(answer).expect("there is room");
        let began = Instant::now();
        let answered = listen(&reader, limit);
        // It stays open until here, as a terminal does.
        drop(writer);
        (answered, began.elapsed())
    }

    #[test]
    fn who_answers_is_not_waited_for_and_who_does_not_only_so_long() {
        const LONG: Duration = Duration::from_secs(60);
        let all = |background, graphics| Answered { background, graphics, in_time: true };
        for (answer, expected) in [
            (
                &b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?1;2c"[..],
                all(Some(Background::Light), false),
            ),
            (b"\x1b_Gi=4193;OK\x1b\\\x1b[?62c", all(None, true)),
            (b"\x1b[?1;2c", all(None, false)),
        ] {
            let (answered, took) = ask_one(answer, LONG);
            assert_eq!(answered, expected);
            assert!(took < LONG / 2, "{took:?}");
        }
        let (answered, _) = ask_one(b"", Duration::from_millis(50));
        assert_eq!(answered, Answered { background: None, graphics: false, in_time: false });
    }

    fn keys(text: &str) -> Vec<KeyEvent> {
        // As the terminal library reads them: ESC and a character are Alt with it.
        let mut keys = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            keys.push(match c {
                '\u{1b}' => {
                    KeyEvent::new(KeyCode::Char(chars.next().expect("a pair")), KeyModifiers::ALT)
                }
                '\u{7}' => KeyEvent::new(KeyCode::Char('g'), KeyModifiers::CONTROL),
                c => KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE),
            });
        }
        keys
    }

    #[test]
    fn a_late_answer_is_taken_out_and_nothing_else() {
        let late = Answered { background: None, graphics: false, in_time: false };
        let left = |answered, text: &str| -> usize {
            let mut late = LateAnswers::new(answered);
            keys(text).iter().filter(|key| late.take(key) == LateKey::Pressed).count()
        };
        for answer in [
            "\u{1b}]11;rgb:1c1c/2020/3030\u{1b}\\",
            "\u{1b}]11;rgb:ff/ff/ff\u{7}",
            "\u{1b}]11;rgb:ff/ff/ff\u{7}\u{1b}_Gi=4193;OK\u{1b}\\",
        ] {
            assert_eq!(left(late, answer), 0, "{answer:?}");
            assert_eq!(left(late, &format!("{answer}qr1")), 3, "keys after it are keys");
            let in_time = Answered { in_time: true, ..late };
            assert_eq!(left(in_time, answer), keys(answer).len(), "nothing is waited for");
        }
        assert_eq!(left(late, "r1q"), 3);
        assert!(left(late, "\u{1b}]xq") >= 2, "no answer");
    }

    #[test]
    fn a_late_answer_is_heard() {
        let none = Answered { background: None, graphics: false, in_time: false };
        let mut late = LateAnswers::new(none);
        let both = "\u{1b}]11;rgb:ffff/ffff/ffff\u{1b}\\\u{1b}_Gi=4193;OK\u{1b}\\";
        let told: Vec<LateKey> = keys(both)
            .iter()
            .map(|key| late.take(key))
            .filter(|key| *key != LateKey::Part)
            .collect();
        let light = Answered { background: Some(Background::Light), ..none };
        assert_eq!(
            told,
            [LateKey::Told(light), LateKey::Told(Answered { graphics: true, ..none })]
        );
        // It does not know pictures: an answer, and nothing in it.
        let mut late = LateAnswers::new(none);
        let all: Vec<LateKey> =
            keys("\u{1b}_Gi=4193;ENOTSUP\u{1b}\\").iter().map(|key| late.take(key)).collect();
        assert!(all.iter().all(|key| *key == LateKey::Part), "{all:?}");
    }

    #[test]
    fn terminals_that_print_the_question_are_not_asked() {
        for term in ["dumb", "", "linux", "vt100", "eterm-color"] {
            assert!(!can_be_asked(term), "{term}");
        }
        for term in ["xterm-256color", "tmux-256color", "screen", "xterm-kitty"] {
            assert!(can_be_asked(term), "{term}");
        }
    }
}
