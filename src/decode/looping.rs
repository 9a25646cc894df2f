//! Text that repeats itself: the one definition of it.

/// Longest n-gram that counts as a loop when it repeats.
const LONGEST: usize = 64;
/// Fewest copies of it.
const COPIES: usize = 3;
/// Fewest tokens that the copies cover, so that a row of dashes in a table is none.
const LEAST: usize = 24;

/// A text that ends in copies of an n-gram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looping {
    /// Tokens of the n-gram.
    pub period: usize,
    /// Tokens at the end of the text that repeat with this period; the last copy may not be whole.
    pub tokens: usize,
}

impl Looping {
    /// How many of the last `steps` tokens only repeat what stands before them: the first copy of
    /// the n-gram repeats nothing.
    pub fn repeats(&self, steps: usize) -> usize {
        self.tokens.saturating_sub(self.period).min(steps)
    }
}

/// How many of the last `steps` tokens of a text only repeat what stands before them: 0 where the
/// text ends in no loop.
pub fn repeated(text: &[u32], steps: usize) -> usize {
    looping(text).map_or(0, |found| found.repeats(steps))
}

/// The loop that a text ends in: the shortest n-gram of at most 64 tokens of which at least three
/// copies, and at least 24 tokens, stand at the end without anything between them.
pub fn looping(text: &[u32]) -> Option<Looping> {
    (1..=LONGEST).find_map(|period| {
        let later = text.get(period..)?;
        let same = later.iter().rev().zip(text[..later.len()].iter().rev());
        let tokens = period + same.take_while(|(later, earlier)| later == earlier).count();
        (tokens >= (COPIES * period).max(LEAST)).then_some(Looping { period, tokens })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: &[(&[u32], usize)]) -> Vec<u32> {
        parts.iter().flat_map(|(ngram, copies)| ngram.repeat(*copies)).collect()
    }

    #[test]
    fn copies_at_the_end_are_a_loop_and_anywhere_else_none() {
        let nine: Vec<u32> = (10..19).collect();
        let loops = text(&[(&[1, 2, 3], 1), (&nine, 3)]);
        assert_eq!(looping(&loops), Some(Looping { period: 9, tokens: 27 }));
        assert_eq!(
            looping(&text(&[(&nine, 3), (&[1], 1)])),
            None,
            "it went on with something else"
        );
        assert_eq!(looping(&text(&[(&[1, 2], 1), (&nine, 2)])), None, "two copies are a refrain");
        // The last copy need not be whole, and what comes before may fit too.
        let cut = text(&[(&[5, 18], 1), (&nine, 3), (&[10, 11], 1)]);
        assert_eq!(looping(&cut), Some(Looping { period: 9, tokens: 30 }));
    }

    #[test]
    fn steps_of_a_loop_are_those_that_repeat_something() {
        let nine: Vec<u32> = (10..19).collect();
        let loops = text(&[(&[1, 2, 3], 1), (&nine, 4)]);
        assert_eq!(repeated(&loops, 64), 27, "the first copy is no repetition");
        assert_eq!(repeated(&loops, 20), 20);
        assert_eq!(repeated(&text(&[(&[1, 2, 3], 1), (&nine, 2)]), 64), 0);
    }

    #[test]
    fn the_shortest_period_is_told_and_short_runs_are_none() {
        assert_eq!(looping(&text(&[(&[7], 23)])), None);
        assert_eq!(looping(&text(&[(&[7], 24)])), Some(Looping { period: 1, tokens: 24 }));
        assert_eq!(looping(&text(&[(&[1, 2], 12)])), Some(Looping { period: 2, tokens: 24 }));
        let longest: Vec<u32> = (0..64).collect();
        assert_eq!(looping(&longest.repeat(3)).map(|found| found.period), Some(64));
        let longer: Vec<u32> = (0..65).collect();
        assert_eq!(looping(&longer.repeat(4)), None);
        assert_eq!(looping(&[]), None);
        assert_eq!(looping(&(0..500).collect::<Vec<u32>>()), None);
    }
}
