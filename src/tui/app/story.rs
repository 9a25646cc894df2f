//! The first minute on the demo: a short story over the screens. One line says what is being looked
//! at, and a key goes on. Everything that it says of answers is read from the run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::decode::comparison::Mode;
use crate::decode::worker::{EngineOrder as Order, Prompt};
use crate::numbers::count;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::pairs::{ComparedSide, voice};
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::Role;
use crate::tui::paint::{clear, put};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::edit;
use crate::tui::screen::tune::state::Set;

/// Tokens a second that can be read along.
const READING: u32 = 8;

/// What the mask that is too sharp keeps, in tenths of a percent of the channels.
const TOO_SHARP: u16 = 10;

/// The question that the story is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiz {
    /// The question.
    pub question: String,
    /// The value that answers it.
    pub value: String,
}

impl Quiz {
    /// Whether the prompt is the one that asks.
    pub fn is_of(&self, prompt: &Prompt) -> bool {
        matches!(prompt, Prompt::Facts { text } if text.contains(self.question.trim()))
    }
}

impl DemoStory {
    /// Whether it is about this prompt.
    pub fn is_of(&self, prompt: &Prompt) -> bool {
        self.quiz.is_of(prompt)
    }
}

/// What the story shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chapter {
    /// A whole and a small cache answer.
    Answer,
    /// A smaller one answers wrongly.
    TooSharp,
    /// What the mask is.
    Map,
    /// Where it is changed.
    Tune,
}

impl Chapter {
    const ALL: [Self; 4] = [Self::Answer, Self::TooSharp, Self::Map, Self::Tune];

    /// The screen that it is told on.
    fn screen(self) -> Screen {
        match self {
            Self::Answer | Self::TooSharp => Screen::Ab,
            Self::Map => Screen::Map,
            Self::Tune => Screen::Tune,
        }
    }
}

/// Whether the story is told here and now, so that its keys are before those of the screen. On other
/// screens one line says where it goes on, and under a list nothing is told.
pub fn is_here(state: &State) -> bool {
    let here = |story: &DemoStory| story.chapter.screen() == state.screen;
    state.overlay.is_none()
        && !state.context().takes_text()
        && state.story.as_ref().is_some_and(here)
}

/// Whether the mask at work is the story's own, so that nothing of the user's is unsaved.
pub fn sets_mask(state: &State) -> bool {
    state.story.as_ref().is_some_and(|story| story.chapter == Chapter::TooSharp)
}

/// A story that is being told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoStory {
    quiz: Quiz,
    chapter: Chapter,
}

/// Begins the story; the run that follows is the first one of it.
pub fn begin(state: &mut State) -> Vec<Effect> {
    let is_told = state.model.as_ref().is_some_and(|model| !model.info.solo) && !state.replay;
    let asked = |quiz: &Quiz| is_told && quiz.is_of(&state.plan.prompt);
    let Some(quiz) = state.quiz.clone().filter(asked) else {
        let model = state.key(Command::ChangeModel);
        let sentence = match state.model.as_ref().is_some_and(|model| model.info.solo) {
            _ if state.replay => steer::no_model("tell the story with"),
            true => "the story compares with a dense side: start without --solo".to_owned(),
            false => format!(
                "the story is told of the demo and its own prompt: {model}, then demo, loads both"
            ),
        };
        state.tell(sentence, false);
        return Vec::new();
    };
    state.story = Some(DemoStory { quiz, chapter: Chapter::Answer });
    state.screen = Chapter::Answer.screen();
    let mut effects =
        vec![steer::hold(state, Some(READING)), Effect::Engine(Order::Feed(Mode::Free))];
    effects.extend(state.rerun());
    effects
}

/// The next chapter, or the end.
pub fn go_on(state: &mut State) -> Vec<Effect> {
    let Some(story) = &mut state.story else { return Vec::new() };
    let next = Chapter::ALL.into_iter().skip_while(|chapter| *chapter != story.chapter).nth(1);
    let Some(next) = next else { return end(state) };
    story.chapter = next;
    state.screen = next.screen();
    match next {
        Chapter::Answer => Vec::new(),
        Chapter::TooSharp => {
            let mut effects = edit::set(state, Set::Keep(TOO_SHARP));
            effects.extend(state.rerun());
            effects
        }
        Chapter::Map => {
            let mut effects = mask_as_it_was(state);
            effects.extend(state.rerun());
            effects
        }
        Chapter::Tune => Vec::new(),
    }
}

/// Ends the story wherever it is. Decode stays at reading speed until the user changes that: at full
/// speed the demo's context would be full a second later, and no question could follow.
pub fn end(state: &mut State) -> Vec<Effect> {
    let Some(story) = state.story.take() else { return Vec::new() };
    let mut effects = match story.chapter {
        Chapter::TooSharp => mask_as_it_was(state),
        _ => Vec::new(),
    };
    effects.push(Effect::Engine(Order::Feed(Mode::Forced)));
    if state.pace.is_some() {
        steer::tell_pace(state);
    }
    effects
}

fn mask_as_it_was(state: &mut State) -> Vec<Effect> {
    let Some(tuning) = &state.screens.tune else { return Vec::new() };
    let draft = tuning.draft_of_saved();
    edit::change(state, draft)
}

/// The value that a side has answered with; `None` before it is complete.
fn answered(state: &State, side: ComparedSide) -> Option<String> {
    let tokens = state.run.pairs.all().iter().filter_map(|pair| voice(pair, side));
    let text: String = tokens.take(64).map(|voice| voice.text.as_str()).collect();
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let digits = text.get(from..)?;
    let len = digits.find(|c: char| !c.is_ascii_digit())?;
    digits.get(..len).map(str::to_owned)
}

/// What a side says of the question, and whether that is right; `None` while it is not known.
fn verdict(state: &State, story: &DemoStory, side: ComparedSide) -> (String, Option<bool>) {
    match answered(state, side) {
        None => ("is answering".to_owned(), None),
        Some(said) if said == story.quiz.value => (format!("says {said}: right"), Some(true)),
        Some(said) => (format!("says {said}: wrong"), Some(false)),
    }
}

/// What B stores of its middle, of K and of V, and what that comes to.
fn stores(state: &State) -> String {
    let Some(model) = &state.model else { return "B stores less".to_owned() };
    let kept = 100.0 * model.mask.kept_ratio();
    let counts = model.mask.kept_counts();
    let with_v = counts.iter().filter(|&&kept| kept > 0).count();
    let (stored, dense) = (state.run.kv.total(), model.bytes_at(state.run.cached).1.total());
    let less = match dense.checked_sub(stored) {
        Some(less) if less > 0 && stored > 0 => {
            format!(", {:.0} % fewer bytes in all", 100.0 * less as f64 / dense as f64)
        }
        _ => String::new(),
    };
    format!(
        "B stores {kept:.0} % of its middle's K channels and V of {with_v} of {} heads{less}",
        counts.len()
    )
}

/// The two sentences of a chapter.
fn sentences(state: &State, story: &DemoStory) -> [String; 2] {
    let Quiz { question, value } = &story.quiz;
    let global = |command| state.key(command);
    match story.chapter {
        Chapter::Answer => {
            let read = state.run.started.as_ref().map(|started| count(started.prompt_tokens));
            let read = read.unwrap_or_else(|| "many".to_owned());
            [
                format!("{question} It is {value}, hidden in {read} tokens."),
                format!("A stores the whole cache. {}.", stores(state)),
            ]
        }
        Chapter::TooSharp => [
            format!("Now {}: too little.", stores(state)),
            "A mask says which channels may go; how many is what you find out here.".to_owned(),
        ],
        Chapter::Map => [
            "The mask, as it was: rows are layers, blocks KV heads, bright is kept.".to_owned(),
            format!(
                "× is a head that keeps nothing of its middle; {} explains what is there.",
                global(Command::Explain)
            ),
        ],
        Chapter::Tune => [
            "Here you choose what is kept while the model talks; KLD says the loss.".to_owned(),
            format!(
                "{} compares masks at equal bytes, {} learns your own, {} explains all words.",
                global(Command::Show(Screen::Bench)),
                global(Command::Show(Screen::Learn)),
                global(Command::Help)
            ),
        ],
    }
}

/// Columns before the sentences.
const INDENT: usize = 5;

/// Rows that the story takes on this screen.
pub fn rows(state: &State) -> u16 {
    state.story.as_ref().map_or(0, |story| lines(state, story).len() as u16)
}

/// The story that is being told, in lines of the screen's width.
fn lines(state: &State, story: &DemoStory) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let width = usize::from(state.size.0);
    let bold = |role: Role| theme.style(role).add_modifier(Modifier::BOLD);
    let number = Chapter::ALL.iter().take_while(|chapter| **chapter != story.chapter).count() + 1;
    let place = format!(" {number}/{} ", Chapter::ALL.len());
    let mut before = Span::styled(place, bold(Role::Accent));
    let blank = || Span::raw(" ".repeat(INDENT));
    let mut lines = Vec::new();
    let home = story.chapter.screen();
    if home != state.screen {
        let key = state.key(Command::Show(home));
        let text = format!("the story goes on in {} ({key})", home.parts().title);
        lines.push(Line::from(vec![before, Span::styled(text, theme.style(Role::Text))]));
        return lines;
    }
    let styles = [bold(Role::Title), theme.style(Role::Text)];
    for (sentence, style) in sentences(state, story).iter().zip(styles) {
        let text = std::iter::once((sentence.as_str(), style));
        for mut line in wrap(text, width.saturating_sub(INDENT), 4_000) {
            line.spans.insert(0, std::mem::replace(&mut before, blank()));
            lines.push(line);
        }
    }
    let mut said = Vec::new();
    if matches!(story.chapter, Chapter::Answer | Chapter::TooSharp) {
        for (name, side) in [("A", ComparedSide::A), ("B", ComparedSide::B)] {
            let (answer, is_right) = verdict(state, story, side);
            let role = match is_right {
                None => Role::Dim,
                Some(true) => Role::Good,
                Some(false) => Role::Bad,
            };
            said.push(Span::styled(format!("{name} {answer}   "), bold(role)));
        }
    }
    let all = [(Command::StoryNext, "goes on"), (Command::StoryEnd, "ends the story")];
    let mut keys = Vec::new();
    // In the last chapter both mean the same.
    for (command, label) in &all[usize::from(number == Chapter::ALL.len())..] {
        let gap = if keys.is_empty() { "" } else { "  " };
        let name = format!("{gap}{}", state.key_in(KeyContext::Story, *command));
        keys.push(Span::styled(name, theme.style(Role::Accent)));
        keys.push(Span::styled(format!(" {label}"), theme.style(Role::Dim)));
    }
    let wide = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<usize>();
    // The keys have a line of their own where both do not fit one.
    if INDENT + wide(&said) + wide(&keys) > width {
        lines.push(std::iter::once(blank()).chain(std::mem::take(&mut said)).collect());
    }
    lines.push(std::iter::once(blank()).chain(said).chain(keys).collect());
    lines
}

/// The rows of the story that is being told.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(story) = &state.story else { return };
    clear(buffer, area, state.theme.bar());
    for (line, y) in lines(state, story).into_iter().zip(0..) {
        put(buffer, area, 0, y, line);
    }
}

#[cfg(test)]
mod tests;
