//! Commands with something typed behind their word.

use super::{Does, Entry};
use crate::mask::select::{ALIGNMENTS, Budget};
use crate::mask::{Rule, Width};
use crate::numbers::{self, count};
use crate::tui::app::place::Place;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::export::ExportFormat;
use crate::tui::screen::tune::by_hand::EditedPart;
use crate::tui::screen::tune::state::{Set, split_name};

/// Commands that take a number, a name or a path: `keep 30`.
const TYPED: &[(&str, &str, &str)] = &[
    ("keep ", "PERCENT", "keep this share of the channels, as keep 30"),
    ("bytes ", "PERCENT", "widths by sensitivity within this share of the bytes"),
    ("fit ", "SIZE@CONTEXT", "keep what so many bytes hold, as fit 1.5GiB@32k"),
    ("rule ", "NAME", "select by a rule, as rule think"),
    ("blend ", "NAME PERCENT", "mix a second rule in by rank, as blend think 25"),
    ("align ", "N", "kept counts in multiples of 1, 2, 4, 8, 16 or 32"),
    ("split ", "global|exact", "how the budget is spread over heads"),
    ("floor ", "N", "every head keeps at least so many channels"),
    ("sink ", "TOKENS", "never prune the first tokens"),
    ("recent ", "TOKENS", "never prune the last tokens"),
    ("chunk ", "TOKENS", "tokens that leave the recent window at once"),
    ("width ", "ch|k|v|layer BITS", "bits of a part around the cursor"),
    ("context ", "TOKENS", "forecast memory at this context, as context 32k"),
    ("open ", "FILE", "decode with a mask or plan: a file, a name such as k8v4, or none"),
    ("diff ", "FILE", "show on the map what a mask or plan keeps otherwise"),
    ("save-as ", "FILE", "save what is set; save! replaces a file that is there"),
    ("model ", "NAME|FOLDER|FILE", "load another model; the one at work stays until it is there"),
    ("seek ", "TOKEN|PERCENT%", "go there in a recording, as seek 120 or seek 50%"),
    ("speed ", "TIMES", "play a recording so many times as fast, as speed 0.5"),
    ("l", "LAYER hHEAD cCHANNEL", "go there, as l14 h3"),
];

/// Entries that put a typed command into the palette, as long as nothing is typed behind its word:
/// a value that is not understood must not be thrown away.
pub(super) fn typed_words(typed: &str) -> impl Iterator<Item = Entry> {
    TYPED.iter().filter(move |(word, ..)| !typed.starts_with(word)).map(|&(word, rest, about)| {
        Entry {
            title: format!("{word}{rest}"),
            about: about.to_owned(),
            keys: String::new(),
            does: Does::Type(word),
        }
    })
}

/// What a command of this list takes, where something is typed behind its word that it does not
/// take; `None` for other texts.
pub fn expected(state: &State, typed: &str) -> Option<String> {
    let typed = typed.trim();
    let shape = state.model.as_ref().map(|model| model.shape());
    let (word, rest) = typed.split_once(char::is_whitespace).unwrap_or((typed, ""));
    let takes = match word {
        "keep" => "0 to 100, in per cent".to_owned(),
        "bytes" => "0.1 to 100, in per cent".to_owned(),
        "fit" => "a size with a unit, and a context: 1.5GiB@32k".to_owned(),
        "rule" | "blend" => {
            let sources = state.screens.tune.as_ref()?.sources();
            let known = Rule::ALL.into_iter().filter(|&rule| sources.has(rule));
            let names: Vec<&str> = known.map(|rule| rule.name).collect();
            let share = if word == "blend" { ", and 0 to 100" } else { "" };
            format!("one of {}{share}", names.join(", "))
        }
        "align" => "1, 2, 4, 8, 16 or 32".to_owned(),
        "split" => "global or exact".to_owned(),
        "floor" => format!("0 to {} channels", shape?.head_dim),
        "sink" => "a number of tokens, 0 or more".to_owned(),
        "recent" | "chunk" | "context" => "a number of tokens, 1 or more: 512, 32k".to_owned(),
        "width" => "ch, k, v or layer, and 16, 8, 4, 2 or 0 bits".to_owned(),
        "seek" => "a token from 1 on, or 0% to 100%".to_owned(),
        "speed" => "0.01 to 1000".to_owned(),
        _ => {
            let is_place = |word: &str| {
                let (axis, number) = word.split_at_checked(1)?;
                let is_axis = matches!(axis, "l" | "h" | "c") && !number.is_empty();
                (is_axis && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(())
            };
            is_place(word)?;
            let shape = shape?;
            return Some(format!(
                "{typed}: expected l0 to l{}, h0 to h{}, c0 to c{}",
                shape.layers - 1,
                shape.kv_heads - 1,
                shape.head_dim - 1
            ));
        }
    };
    (!rest.trim().is_empty()).then(|| format!("{word} {}: expected {takes}", rest.trim()))
}

/// What a command with a number or a path means: `l14 h3 c86`, `context 32768`, `export svg
/// out.svg`.
pub(super) fn parsed(state: &State, typed: &str) -> Option<Entry> {
    let mut words = typed.split_whitespace();
    let first = words.next()?;
    let (does, about) = match first {
        "context" => {
            let tokens = numbers::parse_tokens(words.next()?).filter(|&tokens| tokens > 0)?;
            (Does::Context(tokens), "forecast memory at this context".to_owned())
        }
        "save!" => {
            let path = typed.split_once(char::is_whitespace)?.1.trim();
            (Does::Save(path.into()), format!("replace {path}"))
        }
        "seek" | "speed" => {
            let (order, about) = steer::parse(first, words.next()?)?;
            (Does::Replay(order), about)
        }
        "fit" => {
            let (set, about) = fit(state, typed.split_once(char::is_whitespace)?.1)?;
            (Does::Tune(set), about)
        }
        "width" => {
            let part = words.next()?;
            let part = EditedPart::ALL.into_iter().find(|known| known.name() == part)?;
            let width = Width::of_bits(words.next()?.parse().ok()?).ok()?;
            state.model.as_ref()?;
            let about = match part {
                EditedPart::Channel => format!("{width} bits for the channel at hand"),
                EditedPart::K => format!("{width} bits for all K channels of the head at hand"),
                EditedPart::V => format!("{width} bits for V of the head at hand"),
                EditedPart::Layer => format!("{width} bits for everything in the layer at hand"),
            };
            (Does::Width(part, width), about)
        }
        "keep" | "bytes" | "align" | "split" | "floor" | "rule" | "blend" | "sink" | "recent"
        | "chunk" => {
            let (set, about) = setting(state, first, words.next()?, words.next())?;
            (Does::Tune(set), about)
        }
        "export" | "export!" => {
            let rest = typed.split_once(char::is_whitespace)?.1.trim();
            let format = words.next().and_then(ExportFormat::from_name);
            let (format, path) = match format {
                Some(format) => (format, rest.split_once(char::is_whitespace)?.1.trim()),
                // The ending of a file says the format.
                None => (ExportFormat::of_file(rest)?, rest),
            };
            let (replaces, verb) = match first {
                "export!" => (true, "replace"),
                _ => (false, "write"),
            };
            (Does::Export(format, Some(path.into()), replaces), format!("{verb} {path}"))
        }
        _ => {
            let place = place(state, typed)?;
            (Does::Place(place), format!("go to layer {}, KV head {}", place.layer, place.head))
        }
    };
    Some(Entry { title: typed.to_owned(), about, keys: String::new(), does })
}

/// The bytes that a mask shall fit: `1.5GiB`, `800 MB`, `1.5GiB@32k`.
fn fit(state: &State, typed: &str) -> Option<(Set, String)> {
    state.screens.tune.as_ref()?;
    let (size, context) =
        typed.split_once('@').map_or((typed, None), |(size, context)| (size, Some(context)));
    let bytes = numbers::parse_size(size.trim())?;
    let tokens = context
        .map_or(Some(state.target_context), |context| numbers::parse_tokens(context.trim()))?;
    let about = format!("keep what {} hold at {} tokens", numbers::bytes(bytes), count(tokens));
    Some((Set::Fit(bytes, tokens), about))
}

/// Another setting of the mask: `keep 30`, `rule think`, `blend think 25`.
fn setting(state: &State, what: &str, value: &str, more: Option<&str>) -> Option<(Set, String)> {
    let shape = state.model.as_ref()?.shape();
    let sources = state.screens.tune.as_ref()?.sources();
    let number = || value.parse::<usize>().ok();
    let tokens = || numbers::parse_tokens(value);
    let rule = || Rule::ALL.into_iter().find(|rule| rule.name == value && sources.has(*rule));
    let (set, about) = match what {
        "keep" => {
            let percent: f64 = value
                .trim_end_matches('%')
                .parse()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))?;
            (
                Set::Keep((percent * 10.0).round() as u16),
                format!("keep {percent} % of the channels"),
            )
        }
        "bytes" => {
            let percent: f64 = value
                .trim_end_matches('%')
                .parse()
                .ok()
                .filter(|percent| (0.1..=100.0).contains(percent))?;
            (
                Set::Bytes((percent * 10.0).round() as u16),
                format!("widths by sensitivity within {percent} % of the bytes"),
            )
        }
        "align" => {
            let align = number().filter(|align| ALIGNMENTS.contains(align))?;
            (Set::Align(align), format!("kept counts in multiples of {align}"))
        }
        "split" => {
            let split = [Budget::Global, Budget::Exact]
                .into_iter()
                .find(|&split| split_name(split) == value)?;
            (Set::Split(split), format!("spread the budget: {value}"))
        }
        "floor" => {
            let floor = number().filter(|&floor| floor <= shape.head_dim)?;
            (Set::Floor(floor), format!("every head keeps at least {floor} channels"))
        }
        "rule" => (Set::Rule(rule()?), format!("select by {value}")),
        "blend" => {
            let weight = more
                .map_or(Some(50), |more| more.trim_end_matches('%').parse().ok())
                .filter(|&weight| weight <= 100)?;
            (Set::Blend(rule()?, weight), format!("mix {weight} % of {value} in, by rank"))
        }
        "sink" => {
            let sink = tokens()?;
            (Set::Sink(sink), format!("never prune the first {} tokens", count(sink)))
        }
        "recent" => {
            let recent = tokens().filter(|&recent| recent > 0)?;
            (Set::Recent(recent), format!("never prune the last {} tokens", count(recent)))
        }
        "chunk" => {
            let chunk = tokens().filter(|&chunk| chunk > 0)?;
            (Set::Chunk(chunk), format!("{} tokens leave the recent window at once", count(chunk)))
        }
        _ => return None,
    };
    Some((set, about))
}

fn place(state: &State, typed: &str) -> Option<Place> {
    let shape = state.model.as_ref()?.shape();
    let mut place = state.at;
    for word in typed.split_whitespace() {
        let mut letters = word.chars();
        let axis = letters.next()?.to_ascii_lowercase();
        let number: usize = letters.as_str().parse().ok()?;
        match axis {
            'l' if number < shape.layers => place.layer = number,
            'h' if number < shape.kv_heads => place.head = number,
            'c' if number < shape.head_dim => place.channel = number,
            _ => return None,
        }
    }
    (!typed.is_empty()).then_some(place)
}
