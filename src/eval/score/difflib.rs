//! The similarity of two texts as Python's `difflib.SequenceMatcher` has it.

use std::collections::HashMap;

/// Texts from this length on leave frequent characters out of the search.
const AUTOJUNK: usize = 200;

struct Matcher<'a> {
    a: &'a [char],
    b: &'a [char],
    /// Where each character is in `b`, in order; without the popular ones.
    places: HashMap<char, Vec<usize>>,
}

/// A block that both have: its place in `a`, in `b`, and its length.
type Block = (usize, usize, usize);

impl<'a> Matcher<'a> {
    fn new(a: &'a [char], b: &'a [char]) -> Self {
        let mut places: HashMap<char, Vec<usize>> = HashMap::new();
        b.iter().enumerate().for_each(|(at, &c)| places.entry(c).or_default().push(at));
        if b.len() >= AUTOJUNK {
            let most = b.len() / 100 + 1;
            places.retain(|_, at| at.len() <= most);
        }
        Self { a, b, places }
    }

    /// The longest block inside these ranges; of equal ones the earliest in `a`, then in `b`.
    fn longest(&self, (from_a, to_a): (usize, usize), (from_b, to_b): (usize, usize)) -> Block {
        let (mut i, mut j, mut size) = (from_a, from_b, 0);
        let mut before: HashMap<usize, usize> = HashMap::new();
        for at in from_a..to_a {
            let mut now = HashMap::new();
            for &place in self.places.get(&self.a[at]).map_or(&[][..], Vec::as_slice) {
                if place < from_b {
                    continue;
                }
                if place >= to_b {
                    break;
                }
                let length = place.checked_sub(1).and_then(|p| before.get(&p)).unwrap_or(&0) + 1;
                now.insert(place, length);
                if length > size {
                    (i, j, size) = (at + 1 - length, place + 1 - length, length);
                }
            }
            before = now;
        }
        // Popular characters were not searched for, but they lengthen a block.
        while i > from_a && j > from_b && self.a[i - 1] == self.b[j - 1] {
            (i, j, size) = (i - 1, j - 1, size + 1);
        }
        while i + size < to_a && j + size < to_b && self.a[i + size] == self.b[j + size] {
            size += 1;
        }
        (i, j, size)
    }
}

/// 2 · matching characters / characters of both; 1 for two empty texts.
pub(super) fn ratio(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.is_empty() && b.is_empty() {
        return 1.0;
    }
    let matcher = Matcher::new(&a, &b);
    let mut ranges = vec![((0, a.len()), (0, b.len()))];
    let mut same = 0;
    while let Some((in_a, in_b)) = ranges.pop() {
        let (i, j, size) = matcher.longest(in_a, in_b);
        if size == 0 {
            continue;
        }
        same += size;
        if in_a.0 < i && in_b.0 < j {
            ranges.push(((in_a.0, i), (in_b.0, j)));
        }
        if i + size < in_a.1 && j + size < in_b.1 {
            ranges.push(((i + size, in_a.1), (j + size, in_b.1)));
        }
    }
    2.0 * same as f64 / (a.len() + b.len()) as f64
}
