//! State of the head screen: the picture of its attention.

use crate::decode::attended::{AskedRange, Attended};

/// What the head screen shows besides the head at hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadLook {
    is_open: bool,
    /// Whether it is of the newest steps, wherever the cursor of A/B is.
    of_newest: bool,
    /// What the engine was asked last.
    asked: Option<AskedRange>,
    /// Its answers, the newest step first.
    rows: Vec<Attended>,
    /// Why there are none.
    refused: Option<String>,
}

impl HeadLook {
    /// Opens the picture; where it is open already, the newest steps are asked for.
    pub fn open(&mut self) {
        self.of_newest = self.is_open;
        self.is_open = true;
        self.forget();
    }

    /// Closes the picture.
    pub fn close(&mut self) {
        self.is_open = false;
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether it is of the newest steps, wherever the cursor of A/B is.
    pub fn is_of_newest(&self) -> bool {
        self.of_newest
    }

    /// What the engine was asked.
    pub fn asked(&self) -> Option<AskedRange> {
        self.asked
    }

    /// The steps so far, the newest first.
    pub fn rows(&self) -> &[Attended] {
        &self.rows
    }

    /// Why there is no picture.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Whether the engine has to be asked for this. New tokens alone are no reason: the picture
    /// stands still until it is asked for again, except where it began with few steps.
    pub fn ask(&mut self, wanted: AskedRange) -> bool {
        /// New steps that are worth another picture while it is not full.
        const WORTH: usize = 8;
        let steps = |asked: AskedRange| asked.steps.1 + 1 - asked.steps.0;
        let stands = self.asked.is_some_and(|asked| {
            let is_same = (asked.layer, asked.head) == (wanted.layer, wanted.head);
            let is_whole = self.rows.len() == steps(asked) || self.refused.is_some();
            is_same && (!is_whole || steps(wanted) < steps(asked) + WORTH)
        });
        if !self.is_open || stands {
            return false;
        }
        self.asked = Some(wanted);
        self.rows.clear();
        self.refused = None;
        true
    }

    /// Takes one more step.
    pub fn take(&mut self, row: Attended) {
        let belongs = self.asked.is_some_and(|asked| {
            let (from, to) = asked.steps;
            (asked.layer, asked.head) == (row.asked.layer, row.asked.head)
                && (from..=to).contains(&row.asked.n)
        });
        let is_new = self.rows.last().is_none_or(|last| row.asked.n < last.asked.n);
        if belongs && is_new {
            self.rows.push(row);
        }
    }

    /// Notes why there is no picture.
    pub fn refuse(&mut self, sentence: String) {
        self.refused = Some(sentence);
    }

    /// Forgets what was asked: the mask or the text is another.
    pub fn forget(&mut self) {
        (self.asked, self.refused) = (None, None);
        self.rows.clear();
    }
}
