//! What was set before, and what was taken back.

use std::collections::VecDeque;

use crate::tui::screen::tune::state::draft::Draft;

/// Most steps that can be taken back.
pub const STEPS: usize = 500;

/// Drafts before and after the one at hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    past: VecDeque<Draft>,
    future: Vec<Draft>,
}

impl History {
    /// Remembers a draft that was just replaced; what had been taken back is gone.
    pub fn push(&mut self, before: Draft) {
        self.future.clear();
        if self.past.len() == STEPS {
            self.past.pop_front();
        }
        self.past.push_back(before);
    }

    /// The draft before `now`, or (`forward`) the one that was taken back last, if there is one.
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

    /// Steps back and steps forward.
    pub fn len(&self) -> (usize, usize) {
        (self.past.len(), self.future.len())
    }
}
