//! Which keys the rows see and how they are scored. All rows are computed together, over the prefix
//! and then over the *rest*: the tails of all blocks and the rows themselves.
//!
//! Almost every key of a long prefix is in the middle of every row, or of none. So the columns of
//! the scores fall into few runs, and only short runs differ between rows and need a mask.

use std::ops::Range;

use crate::learn::engine::rows::{Pass, Rows};

/// How the keys of a run are scored.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Score {
    /// With every channel: in no row's middle.
    Whole,
    /// With factors: in every row's middle.
    Factored,
    /// 1 where the key is in the row's middle, `[rows, run]`.
    Mixed(Vec<u8>),
}

/// Consecutive keys that are scored alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnRun {
    pub(super) keys: Range<usize>,
    pub(super) score: Score,
}

/// The columns of the scores.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    /// The prefix, all of which every row sees.
    pub(super) prefix: Vec<ColumnRun>,
    /// The rest, numbered from 0: tails, then rows.
    pub(super) rest: ColumnRun,
    /// 0 where a row sees a key of the rest, minus infinity where it does not, `[rows, rest]`.
    pub(super) visible: Vec<f32>,
}

/// One row: its block, its position in the block, and its middle.
struct Row {
    block: usize,
    index: usize,
    middle: Range<usize>,
}

impl Columns {
    pub(super) fn new(pass: Pass<'_>) -> Self {
        let rows = each_row(pass);
        let len = pass.rows.prefix.tokens();
        let inside = |row: &Row| row.middle.start.min(len)..row.middle.end.min(len);
        let start = pass.window.sink.min(len);
        let ends = || rows.iter().map(|row| inside(row).end);
        let (least, most) = (ends().min().unwrap_or(start), ends().max().unwrap_or(start));
        let mixed = rows
            .iter()
            .flat_map(|row| (least..most).map(|key| u8::from(inside(row).contains(&key))))
            .collect();
        let runs = [
            ColumnRun { keys: 0..start, score: Score::Whole },
            ColumnRun { keys: start..least, score: Score::Factored },
            ColumnRun { keys: least..most, score: Score::Mixed(mixed) },
            ColumnRun { keys: most..len, score: Score::Whole },
        ];
        let prefix = runs.into_iter().filter(|run| !run.keys.is_empty()).collect();
        let (rest, visible) = rest(pass.rows, &rows);
        Self { prefix, rest, visible }
    }
}

fn each_row(pass: Pass<'_>) -> Vec<Row> {
    let sink = pass.window.sink;
    let of_block = |(block, content): (usize, &_)| {
        let before = pass.rows.before(content);
        (0..content.tokens.len())
            .map(move |index| Row {
                block,
                index,
                middle: sink..sink + pass.middle(before + index),
            })
            .collect::<Vec<_>>()
    };
    pass.rows.blocks.iter().enumerate().flat_map(of_block).collect()
}

fn rest(content: &Rows<'_>, rows: &[Row]) -> (ColumnRun, Vec<f32>) {
    // Block and position of every key. A row does not see keys after its own position.
    let tails = content.blocks.iter().enumerate().flat_map(|(block, own)| {
        let first = content.prefix.tokens();
        (first..first + own.tail.tokens()).map(move |position| (block, position))
    });
    let position = |row: &Row| content.before(&content.blocks[row.block]) + row.index;
    let keys: Vec<(usize, usize)> =
        tails.chain(rows.iter().map(|row| (row.block, position(row)))).collect();
    let (mut middle, mut visible) =
        (Vec::with_capacity(rows.len() * keys.len()), Vec::with_capacity(rows.len() * keys.len()));
    for row in rows {
        for &(block, at) in &keys {
            let sees = block == row.block && at <= position(row);
            visible.push(if sees { 0.0 } else { f32::NEG_INFINITY });
            middle.push(u8::from(sees && row.middle.contains(&at)));
        }
    }
    let score = if middle.contains(&1) { Score::Mixed(middle) } else { Score::Whole };
    (ColumnRun { keys: 0..keys.len(), score }, visible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::engine::rows::Block;
    use crate::learn::engine::{CachedContext, Factors};
    use crate::mask::{Shape, Window};
    use crate::model::rope::Angles;

    /// The columns by definition: for each row and key of the layout, hidden, whole or factored.
    fn plain(pass: Pass<'_>) -> Vec<Vec<Option<bool>>> {
        let prefix = pass.rows.prefix.tokens();
        let mut all = Vec::new();
        for (own, block) in pass.rows.blocks.iter().enumerate() {
            for index in 0..block.tokens.len() {
                let at = prefix + block.tail.tokens() + index;
                let middle = |position: usize| {
                    (pass.window.sink..pass.window.sink + pass.middle(at)).contains(&position)
                };
                let mut row: Vec<Option<bool>> =
                    (0..prefix).map(|position| Some(middle(position))).collect();
                for (other, block) in pass.rows.blocks.iter().enumerate() {
                    row.extend(
                        (0..block.tail.tokens())
                            .map(|j| (other == own).then(|| middle(prefix + j))),
                    );
                }
                for (other, block) in pass.rows.blocks.iter().enumerate() {
                    let position = |j: usize| prefix + block.tail.tokens() + j;
                    row.extend(
                        (0..block.tokens.len())
                            .map(|j| (other == own && j <= index).then(|| middle(position(j)))),
                    );
                }
                all.push(row);
            }
        }
        all
    }

    fn found(columns: &Columns, count: usize) -> Vec<Vec<Option<bool>>> {
        let entry = |run: &ColumnRun, row: usize, key: usize| match &run.score {
            Score::Whole => false,
            Score::Factored => true,
            Score::Mixed(mask) => mask[row * run.keys.len() + key] == 1,
        };
        let rest = columns.rest.keys.len();
        let row = |row: usize| {
            let prefix = columns
                .prefix
                .iter()
                .flat_map(|run| (0..run.keys.len()).map(move |key| Some(entry(run, row, key))));
            let hidden = |key: usize| columns.visible[row * rest + key] < 0.0;
            let rest = (0..rest).map(|key| (!hidden(key)).then(|| entry(&columns.rest, row, key)));
            prefix.chain(rest).collect()
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn runs_and_masks_say_of_every_row_and_key_what_the_window_says() {
        let soft =
            Factors::soft(Shape { layers: 1, kv_heads: 1, head_dim: 2 }, vec![0.5; 2]).unwrap();
        let tails = [CachedContext::of(3), CachedContext::of(0), CachedContext::of(7)];
        let tokens = [1, 2, 3, 4, 5];
        let mut kinds = [0; 3];
        for prefix in [1, 9, 30] {
            let prefix = CachedContext::of(prefix);
            let blocks = tails
                .iter()
                .zip([5, 1, 2])
                .map(|(tail, count)| Block { tail, tokens: &tokens[..count] })
                .collect();
            let rows = Rows { prefix: &prefix, blocks, angles: Angles::default(), count: 8 };
            for sink in [0, 1, 4, 12, 50] {
                for recent in [0, 1, 3, 8, 40] {
                    for chunk in [1, 2, 5] {
                        let whole = Factors::whole(soft.shape());
                        for factors in [&soft, &whole] {
                            let pass = Pass {
                                rows: &rows,
                                window: Window { sink, recent, chunk },
                                factors,
                            };
                            let columns = Columns::new(pass);
                            assert_eq!(
                                found(&columns, 8),
                                plain(pass),
                                "{:?}, prefix of {}",
                                pass.window,
                                prefix.tokens()
                            );
                            let ends: Vec<usize> = columns
                                .prefix
                                .iter()
                                .flat_map(|run| [run.keys.start, run.keys.end])
                                .collect();
                            assert!(
                                ends[1..ends.len() - 1].chunks(2).all(|pair| pair[0] == pair[1]),
                                "runs join: {ends:?}"
                            );
                            for run in &columns.prefix {
                                kinds[match run.score {
                                    Score::Whole => 0,
                                    Score::Factored => 1,
                                    Score::Mixed(_) => 2,
                                }] += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(kinds.iter().all(|&count| count > 10), "{kinds:?}");
    }
}
