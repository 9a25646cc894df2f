//! Lists that are typed into: the palette, the help, and find.

mod typed;

use tui_input::InputRequest;

use crate::mask::Width;
use crate::tui::app::action::{Command, Effect, ReplayOrder};
use crate::tui::app::files;
use crate::tui::app::find;
use crate::tui::app::find::Query;
use crate::tui::app::glossary;
use crate::tui::app::keys::{KeyContext, KeyRow};
use crate::tui::app::path_prompt::{Candidate, PathFor, PathPrompt};
use crate::tui::app::place::Place;
use crate::tui::app::state::{List, Overlay, State};
use crate::tui::app::steer;
use crate::tui::app::table::{Metric, Scale};
use crate::tui::app::{settings, suffered};
use crate::tui::color::{Colormap, Palette};
use crate::tui::export::{ExportFormat, take};
use crate::tui::screen::tune::by_hand::EditedPart;
use crate::tui::screen::tune::edit;
use crate::tui::screen::tune::state::Set;

pub use typed::expected;
use typed::{parsed, typed_words};

/// One line of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What the user types for it.
    pub title: String,
    /// What it does.
    pub about: String,
    /// Its keys.
    pub keys: String,
    /// What happens when it is chosen.
    pub does: Does,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq)]
pub enum Does {
    /// A command of the key table, in its context.
    Command(KeyContext, Command),
    /// Show a generated token on A/B.
    Token(usize),
    /// Go to a place.
    Place(Place),
    /// Change the map's colours.
    Colormap(Colormap),
    /// Use a theme.
    Theme(String),
    /// Show a metric.
    Metric(Metric),
    /// Use a scale.
    Scale(Scale),
    /// Write the screen's data or picture, to a path or under a default name; and whether a file
    /// that is there is replaced.
    Export(ExportFormat, Option<std::path::PathBuf>, bool),
    /// Set the context of the memory forecast.
    Context(usize),
    /// Change one setting of the mask.
    Tune(Set),
    /// Set one width for a part of the plan at hand.
    Width(EditedPart, Width),
    /// Save the mask or plan as it is set, over a file that is there.
    Save(std::path::PathBuf),
    /// Nothing: a word and its meaning.
    Nothing,
    /// Put this into the palette, so that the rest is typed.
    Type(&'static str),
    /// Steer the playback of a recording.
    Replay(ReplayOrder),
    /// Take a path, or go into a folder.
    Path(PathFor, Candidate),
}

/// The entries of the open list that match what is typed, best first.
pub fn entries(state: &State) -> Vec<Entry> {
    match &state.overlay {
        Some(Overlay::Help(list)) if is_glossary(list.input.value()) => glossary_rows().collect(),
        Some(Overlay::Help(list)) => matching(list.input.value(), help(state)),
        Some(Overlay::Palette(list)) => {
            let typed = list.input.value().trim();
            let own = parsed(state, typed);
            // What such a command takes stands there instead of what is only like it.
            if own.is_none() && expected(state, typed).is_some() {
                return Vec::new();
            }
            let all =
                commands(state).into_iter().chain(words(state)).chain(typed_words(typed)).collect();
            own.into_iter().chain(matching(typed, all)).collect()
        }
        Some(Overlay::Find(list)) => found(state, list.input.value()),
        Some(Overlay::Settings(list)) => matching(list.input.value(), settings::entries(state)),
        Some(Overlay::Suffered(list)) => matching(list.input.value(), suffered::entries(state)),
        Some(Overlay::Path(prompt)) => paths(state, prompt),
        Some(Overlay::Question(_)) | None => Vec::new(),
    }
}

/// What is typed as a path, and what it can become.
fn paths(state: &State, prompt: &PathPrompt) -> Vec<Entry> {
    let all = prompt.typed().into_iter().chain(prompt.candidates(&state.recent));
    let entry = |one: Candidate| Entry {
        title: one.text.clone(),
        about: one.about.clone(),
        keys: String::new(),
        does: Does::Path(prompt.purpose, one),
    };
    all.map(entry).collect()
}

fn of_row(row: &KeyRow) -> Entry {
    let keys: Vec<String> = row.shown().collect();
    Entry {
        title: row.command.name().to_owned(),
        about: row.about.to_owned(),
        keys: keys.join(" "),
        does: Does::Command(row.context, row.command),
    }
}

/// The words on the screens and what they mean.
fn glossary_rows() -> impl Iterator<Item = Entry> {
    glossary::words().into_iter().map(|(title, about)| Entry {
        title,
        about,
        keys: String::new(),
        does: Does::Nothing,
    })
}

/// Whether what is searched for in the help is all of its words.
fn is_glossary(typed: &str) -> bool {
    let typed = typed.trim().to_lowercase();
    typed.len() >= 4 && "glossary".starts_with(&typed)
}

/// The keys that work now, then the words on the screens, then the keys of other screens.
fn help(state: &State) -> Vec<Entry> {
    let works = |row: &&KeyRow| !state.replay || row.works_in_recording();
    let of = |context: KeyContext| {
        state.keys.rows().iter().filter(move |row| row.context == context).filter(works)
    };
    let here = [state.context_below(), KeyContext::Global];
    let others = KeyContext::all().filter(|context| !here.contains(context));
    let here = here.into_iter().flat_map(of).map(of_row).collect::<Vec<_>>();
    here.into_iter().chain(glossary_rows()).chain(others.flat_map(of).map(of_row)).collect()
}

fn commands(state: &State) -> Vec<Entry> {
    let works = |row: &&KeyRow| !state.replay || row.works_in_recording();
    state.keys.of(state.context_below()).filter(works).map(of_row).collect()
}

/// Commands of two words.
fn words(state: &State) -> Vec<Entry> {
    let entry = |title: String, about: &str, does: Does| Entry {
        title,
        about: about.to_owned(),
        keys: String::new(),
        does,
    };
    let mut all = Vec::new();
    for map in Colormap::ALL {
        all.push(entry(format!("theme {}", map.name()), "colours of the map", Does::Colormap(map)));
    }
    for name in &state.themes {
        all.push(entry(
            format!("theme {name}"),
            "colours of everything",
            Does::Theme(name.clone()),
        ));
    }
    let has = |metric: &Metric| state.model.as_ref().is_some_and(|model| model.has(*metric));
    for metric in Metric::ALL.into_iter().filter(has) {
        let name = state.model.as_ref().map_or(metric.name(), |model| model.name_of(metric));
        let unit = if name == metric.name() { metric.unit() } else { "bits of each K channel" };
        all.push(entry(format!("metric {name}"), unit, Does::Metric(metric)));
    }
    for scale in Scale::ALL {
        all.push(entry(format!("scale {}", scale.name()), "scale of the map", Does::Scale(scale)));
    }
    for format in ExportFormat::ALL {
        all.push(entry(
            format!("export {}", format.name()),
            format.about(),
            Does::Export(format, None, false),
        ));
    }
    all
}

fn found(state: &State, typed: &str) -> Vec<Entry> {
    let Some(model) = &state.model else { return Vec::new() };
    let Some(query) = Query::parse(typed) else { return Vec::new() };
    let head_dim = model.shape().head_dim;
    let entry = |(layer, head): (usize, usize)| Entry {
        title: format!("l{layer} h{head}"),
        about: format!("keeps {} of {head_dim}", model.kept(layer, head)),
        keys: String::new(),
        does: Does::Place(Place { layer, head, channel: state.at.channel }),
    };
    query.heads(model, state.screens.tune.as_ref()).into_iter().map(entry).collect()
}

/// Entries whose title, keys or description contain every typed word in part, better ones first.
fn matching(typed: &str, entries: Vec<Entry>) -> Vec<Entry> {
    let typed = typed.to_lowercase();
    let words: Vec<&str> = typed.split_whitespace().collect();
    let mut scored: Vec<(usize, Entry)> = (entries.into_iter())
        .filter_map(|entry| {
            let (title, about) = (entry.title.to_lowercase(), entry.about.to_lowercase());
            let score = |word: &&str| {
                let is_key = entry.keys.split(' ').any(|key| key.to_lowercase() == **word);
                match (title.find(*word), about.contains(*word)) {
                    _ if is_key => Some(0),
                    (Some(0), _) => Some(0),
                    (Some(_), _) => Some(1),
                    (None, true) => Some(2),
                    (None, false) => is_subsequence(word, &title).then_some(3),
                }
            };
            let total = words.iter().map(score).sum::<Option<usize>>()?;
            Some((total, entry))
        })
        .collect();
    scored.sort_by_key(|(score, _)| *score);
    scored.into_iter().map(|(_, entry)| entry).collect()
}

fn is_subsequence(word: &str, text: &str) -> bool {
    let mut letters = text.chars();
    word.chars().all(|wanted| letters.any(|letter| letter == wanted))
}

/// What came of a command in a list.
pub enum Chosen {
    /// The list took it; these effects remain.
    Done(Vec<Effect>),
    /// An entry was chosen that stands for this command, to be run where the list was.
    Command(Command),
}

impl Chosen {
    /// The list took the command, and nothing remains.
    const NOTHING: Self = Self::Done(Vec::new());
}

/// A command while a list is open.
pub fn run_in_list(state: &mut State, command: Command) -> Chosen {
    if let Some(Overlay::Path(prompt)) = &mut state.overlay {
        let request = match command {
            Command::First => Some(InputRequest::GoToStart),
            Command::Last => Some(InputRequest::GoToEnd),
            _ => None,
        };
        if let Some(request) = request {
            prompt.is_offered = false;
            prompt.list.input.handle(request);
            return Chosen::NOTHING;
        }
    }
    let count = entries(state).len();
    let Some(list) = state.list_mut() else { return Chosen::NOTHING };
    let last = count.saturating_sub(1);
    match command {
        Command::Up => list.selected = list.selected.min(last).saturating_sub(1),
        Command::Down => list.selected = (list.selected + 1).min(last),
        Command::First => list.selected = 0,
        Command::Last => list.selected = last,
        Command::HalfUp => list.selected = list.selected.min(last).saturating_sub(10),
        Command::HalfDown => list.selected = (list.selected + 10).min(last),
        Command::Back => state.overlay = None,
        Command::Open => return choose(state),
        Command::Complete => {
            if let Some(Overlay::Path(prompt)) = &mut state.overlay {
                prompt.complete(&state.recent);
            }
        }
        _ => {}
    }
    Chosen::NOTHING
}

/// Why a list has no entry, in a sentence.
pub fn why_empty(state: &State, overlay: &Overlay, typed: &str) -> String {
    let takes = match overlay {
        Overlay::Palette(_) => expected(state, typed),
        _ => None,
    };
    match overlay {
        _ if takes.is_some() => takes.unwrap_or_default(),
        Overlay::Find(_) if typed.is_empty() => "which heads?".to_owned(),
        Overlay::Find(_) if Query::parse(typed).is_none() => format!("`{typed}` is not understood"),
        Overlay::Suffered(_) if typed.is_empty() => suffered::nothing(state).to_owned(),
        _ => format!("nothing fits `{typed}`"),
    }
}

/// Runs the selected entry and closes the list.
fn choose(state: &mut State) -> Chosen {
    let entries = entries(state);
    let below = state.context_below();
    let Some(overlay) = state.overlay.take() else { return Chosen::NOTHING };
    let (Overlay::Help(List { input, selected })
    | Overlay::Palette(List { input, selected })
    | Overlay::Find(List { input, selected })
    | Overlay::Suffered(List { input, selected })
    | Overlay::Settings(List { input, selected })
    | Overlay::Path(PathPrompt { list: List { input, selected }, .. })) = &overlay
    else {
        return Chosen::NOTHING;
    };
    let chosen = entries.get((*selected).min(entries.len().saturating_sub(1))).cloned();
    if matches!(overlay, Overlay::Find(_)) && Query::parse(input.value()).is_some() {
        state.screens.map.find = input.value().trim().to_owned();
    }
    let Some(entry) = chosen else {
        let typed = input.value().to_owned();
        let sentence = why_empty(state, &overlay, &typed);
        if matches!(overlay, Overlay::Palette(_)) && expected(state, &typed).is_some() {
            // What was typed stays, to be corrected.
            state.overlay = Some(overlay);
        }
        state.tell(sentence, false);
        return Chosen::NOTHING;
    };
    if let Does::Command(context, command) = entry.does
        && context != below
        && context != KeyContext::Global
    {
        let sentence = format!("`{}` counts on the {} screen", command.name(), context.name());
        state.tell(sentence, false);
        return Chosen::NOTHING;
    }
    let is_found = matches!(overlay, Overlay::Find(_));
    perform(state, entry.does, is_found)
}

fn perform(state: &mut State, does: Does, is_found: bool) -> Chosen {
    match does {
        Does::Command(_, command) => return Chosen::Command(command),
        Does::Place(place) => {
            let before = state.at;
            state.at = place;
            if is_found {
                find::tell(state);
            }
            return Chosen::Done(state.watch(before));
        }
        Does::Token(n) => suffered::show(state, n),
        Does::Colormap(map) => state.theme = state.theme.with_colormap(map),
        Does::Theme(name) => match Palette::built_in(&name) {
            Some(palette) => state.use_palette(palette),
            None => return Chosen::Done(vec![Effect::Theme(name)]),
        },
        Does::Metric(metric) => (state.metric, state.diff) = (metric, false),
        Does::Scale(scale) => state.scales[state.metric as usize] = scale,
        Does::Export(format, path, replaces) => {
            return Chosen::Done(take::write(state, format, path, replaces));
        }
        Does::Nothing => {}
        Does::Type(text) => {
            let input = tui_input::Input::from(text.to_owned());
            state.overlay = Some(Overlay::Palette(List { input, selected: 0 }));
        }
        Does::Context(tokens) => state.target_context = tokens,
        Does::Tune(set) => return Chosen::Done(edit::set_and_say(state, set)),
        Does::Width(part, width) => {
            return Chosen::Done(edit::set_width(state, part, width));
        }
        Does::Replay(order) => return Chosen::Done(steer::replay(state, order)),
        Does::Save(path) => return Chosen::Done(edit::save(state, path, true)),
        Does::Path(purpose, one) if one.is_folder => state.type_path(purpose, &one.text),
        Does::Path(purpose, one) => {
            return Chosen::Done(files::take_path(state, purpose, one.text));
        }
    }
    Chosen::NOTHING
}
