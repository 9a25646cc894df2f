//! The samples that masks lost most in.

use crate::eval::run::{CONTROL, DENSE, Record};

/// One sample that a mask did worse in than dense.
#[derive(Debug, Clone, PartialEq)]
pub struct Worst {
    /// Suite and task.
    pub task: String,
    /// Number of the sample or chunk, and its length.
    pub place: (usize, usize),
    /// The mask.
    pub mask: String,
    /// What the answer must hold; empty for texts.
    pub references: Vec<String>,
    /// The dense answer; for texts nothing.
    pub dense: String,
    /// The mask's answer; for texts its mean KLD in words.
    pub own: String,
    /// What was lost: points of 1, or nats.
    pub lost: f64,
}

/// The most that a list holds of each mask's answers, and of its chunks.
const MOST: usize = 5;

/// The worst samples of every mask, worst first; of equal ones the earlier.
pub fn worst(records: &[Record]) -> Vec<Worst> {
    let mut answers: Vec<Worst> = Vec::new();
    let mut chunks: Vec<Worst> = Vec::new();
    // The chunks of the stability suite have tables of their own.
    for record in records.iter().filter(|record| record.suite != Record::STABILITY) {
        let place = (record.index, record.ctx);
        let dense = record.answers.first();
        for own in record.answers.iter().skip(2) {
            let dense = dense.expect("answers begin with dense");
            if own.score < dense.score {
                answers.push(Worst {
                    task: record.task.clone(),
                    place,
                    mask: own.mask.clone(),
                    references: record.references.clone(),
                    dense: dense.text.clone(),
                    own: own.text.clone(),
                    lost: dense.score - own.score,
                });
            }
        }
        for own in record.losses.iter().filter(|own| own.mask != CONTROL && own.mask != DENSE) {
            let mean = own.kld.iter().map(|&kld| f64::from(kld)).sum::<f64>()
                / own.kld.len().max(1) as f64;
            chunks.push(Worst {
                task: record.task.clone(),
                place,
                mask: own.mask.clone(),
                references: Vec::new(),
                dense: String::new(),
                own: format!("mean KLD {mean:.5} nats"),
                lost: mean,
            });
        }
    }
    for list in [&mut answers, &mut chunks] {
        list.sort_by(|a, b| b.lost.total_cmp(&a.lost));
        let mut seen: Vec<String> = Vec::new();
        list.retain(|one| {
            seen.push(one.mask.clone());
            seen.iter().filter(|mask| **mask == one.mask).count() <= MOST
        });
    }
    answers.extend(chunks);
    answers
}
