//! Searching heads: `dropped`, `full`, `edited`, `locked`, `kept<32`, `kept>16`, `kept=8`, `l3`,
//! `h1`. Several words must all match.

use crate::tui::app::action::Command;
use crate::tui::app::model::ModelView;
use crate::tui::app::place::Place;
use crate::tui::app::state::{Holds, State};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::Tuning;

/// The conditions that a head must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    Dropped,
    Full,
    Edited,
    Locked,
    Below(usize),
    Above(usize),
    Exactly(usize),
    Layer(usize),
    Head(usize),
}

impl Query {
    /// Parses a query; `None` where a word is not a search term.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok();
        let term = |word: &str| {
            // The beginning of a word will do; a letter and a number are a place.
            let begins = |whole: &str| word.len() > 1 && whole.starts_with(word);
            Some(match word {
                _ if begins("dropped") => Term::Dropped,
                _ if begins("full") => Term::Full,
                _ if begins("edited") => Term::Edited,
                _ if begins("locked") => Term::Locked,
                _ => {
                    let kept = word.strip_prefix("kept");
                    let after = |sign: char| kept.and_then(|rest| number(rest.strip_prefix(sign)?));
                    let places = || {
                        let layer = word.strip_prefix('l').and_then(number).map(Term::Layer);
                        layer.or_else(|| word.strip_prefix('h').and_then(number).map(Term::Head))
                    };
                    let below = after('<').map(Term::Below);
                    below
                        .or(after('>').map(Term::Above))
                        .or(after('=').map(Term::Exactly))
                        .or_else(places)?
                }
            })
        };
        let terms: Vec<Term> =
            text.to_lowercase().split_whitespace().map(term).collect::<Option<_>>()?;
        (!terms.is_empty()).then_some(Self { terms })
    }

    /// The heads that match, in order of layer and head.
    pub fn heads(&self, model: &ModelView, tuning: Option<&Tuning>) -> Vec<(usize, usize)> {
        let shape = model.shape();
        let draft = tuning.map(|tuning| tuning.draft());
        let fits = |layer: usize, head: usize| {
            let kept = model.kept(layer, head);
            self.terms.iter().all(|term| match *term {
                Term::Dropped => kept == 0,
                Term::Full => kept == shape.head_dim,
                Term::Edited => draft.is_some_and(|draft| draft.pinned(shape, layer, head) > 0),
                Term::Locked => draft.is_some_and(|draft| draft.is_locked(shape, layer, head)),
                Term::Below(count) => kept < count,
                Term::Above(count) => kept > count,
                Term::Exactly(count) => kept == count,
                Term::Layer(wanted) => layer == wanted,
                Term::Head(wanted) => head == wanted,
            })
        };
        let all =
            (0..shape.layers).flat_map(|layer| (0..shape.kv_heads).map(move |head| (layer, head)));
        all.filter(|&(layer, head)| fits(layer, head)).collect()
    }
}

/// Goes to the next (1) or previous (-1) head that matches the last query.
pub fn next(state: &mut State, direction: isize) {
    let Some(query) = Query::parse(&state.screens.map.find) else {
        let find = state.key_on(Screen::Map, Command::Find);
        return state.tell(format!("nothing to find yet: {find} asks what"), false);
    };
    let Some(model) = &state.model else { return };
    let heads = query.heads(model, state.screens.tune.as_ref());
    let at = (state.at.layer, state.at.head);
    let found = match direction {
        1 => heads.iter().find(|&&head| head > at).or(heads.first()),
        _ => heads.iter().rev().find(|&&head| head < at).or(heads.last()),
    };
    match found {
        Some(&(layer, head)) => {
            state.at = Place { layer, head, channel: state.at.channel };
            tell(state);
        }
        None => {
            let sentence = format!("no head fits `{}`", state.screens.map.find);
            state.tell(sentence, false);
        }
    }
}

/// Says which of the heads that match the last query is at hand, for as long as it is. The message
/// stands where the line about the cursor does, so it says what that head keeps.
pub fn tell(state: &mut State) {
    let (Some(query), Some(model)) = (Query::parse(&state.screens.map.find), &state.model) else {
        return;
    };
    let heads = query.heads(model, state.screens.tune.as_ref());
    let (layer, head) = (state.at.layer, state.at.head);
    let Some(at) = heads.iter().position(|&other| other == (layer, head)) else { return };
    let (kept, dim) = (model.kept(layer, head), model.shape().head_dim);
    let sentence = format!(
        "{} of {} heads with `{}`: L{layer} h{head} keeps {kept} of {dim}",
        at + 1,
        heads.len(),
        state.screens.map.find
    );
    state.tell_while(Holds::At(state.at), sentence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_word_finds_what_the_word_finds() {
        for (typed, whole) in
            [("drop", "dropped"), ("fu", "full"), ("edit", "edited"), ("lock", "locked")]
        {
            assert!(Query::parse(whole).is_some());
            assert_eq!(Query::parse(typed), Query::parse(whole), "{typed}");
        }
        for wrong in ["d", "l", "dropping", "fullest", "kept"] {
            assert_eq!(Query::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Query::parse("l3"), Some(Query { terms: vec![Term::Layer(3)] }));
    }
}
