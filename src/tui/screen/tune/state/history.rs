//! Undo and redo.

use std::collections::VecDeque;

use crate::tui::screen::tune::state::draft::Draft;

/// Largest number of steps that can be undone.
pub const STEPS: usize = 500;

/// Drafts before and after the current one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    past: VecDeque<Draft>,
    future: Vec<Draft>,
}

impl History {
    /// Remembers a draft that was just replaced, and clears the drafts to redo.
    pub fn push(&mut self, before: Draft) {
        self.future.clear();
        if self.past.len() == STEPS {
            self.past.pop_front();
        }
        self.past.push_back(before);
    }

    /// The draft before `now`, or (`forward`) the one that was undone last, if there is one.
    pub fn travel(&mut self, now: &Draft, forward: bool) -> Option<Draft> {
        if forward {
            let after = self.future.pop()?;
            self.past.push_back(now.clone());
            Some(after)
        } else {
            let before = self.past.pop_back()?;
            self.future.push(now.clone());
            Some(before)
        }
    }

    /// Number of steps back and steps forward.
    pub fn len(&self) -> (usize, usize) {
        (self.past.len(), self.future.len())
    }
}
