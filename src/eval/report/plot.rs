//! The frontier: what masks lose against the bytes that they store.

use std::fmt::Write;

use crate::eval::run::{DENSE, Figures, Record};
use crate::printable::without_markup;

/// One mask's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FrontierPlace {
    pub(super) name: String,
    /// Bytes for a dense cache's 1.
    pub(super) bytes: f64,
    /// What is drawn upwards.
    pub(super) value: f64,
}

/// Mean KLD of every mask over all texts of the longest length, and its mean score over informative
/// recall tasks of the longest length: each with its title, where there are any.
pub(super) fn places(figures: &Figures) -> Vec<(&'static str, Vec<FrontierPlace>)> {
    let share = |name: &str| {
        let mask = figures.run.masks.iter().find(|mask| mask.name == name);
        mask.map_or(1.0, |mask| mask.bytes_share)
    };
    // The stability suite reads other chunks of the texts.
    let read =
        || figures.rows.iter().filter(|row| row.kl.is_some() && row.suite != Record::STABILITY);
    let longest = read().map(|row| row.ctx).max();
    let names = || {
        let masks = figures.run.masks.iter().map(|mask| mask.name.as_str());
        std::iter::once(DENSE).chain(masks)
    };
    let mut all = Vec::new();
    let kld = names().filter_map(|name| {
        let klds: Vec<f64> = read()
            .filter(|row| row.mask == name && Some(row.ctx) == longest)
            .filter_map(|row| Some(row.kl.as_ref()?.kld.mean))
            .collect();
        let value = klds.iter().sum::<f64>() / klds.len() as f64;
        (!klds.is_empty()).then(|| FrontierPlace {
            name: name.to_owned(),
            bytes: share(name),
            value,
        })
    });
    all.push(("mean KLD in nats, mean over texts", kld.collect::<Vec<_>>()));
    let longest = figures.averages.iter().map(|average| average.ctx).max();
    let scores = figures.averages.iter().filter(|one| Some(one.ctx) == longest).filter_map(|one| {
        Some(FrontierPlace { name: one.mask.clone(), bytes: share(&one.mask), value: one.score? })
    });
    all.push(("mean score in per cent, informative tasks", scores.collect()));
    all.retain(|(_, places)| places.len() > 1);
    all
}

const SIZE: (f64, f64) = (640.0, 300.0);
/// Room for the axis and its numbers: left, top, right, bottom.
const EDGE: [f64; 4] = [64.0, 12.0, 150.0, 40.0];

/// The lowest and highest number of the axis. KLDs begin at 0; scores that lie close together are
/// drawn from just under the lowest, since from 0 they could not be told apart.
fn range(places: &[FrontierPlace]) -> (f64, f64) {
    let values = || places.iter().map(|place| place.value);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    match most - least {
        _ if most <= 0.0 => (0.0, 1.0),
        spread if least > most / 2.0 => {
            let room = (0.15 * spread).max(0.01 * most);
            (least - room, most + room)
        }
        _ => (0.0, most * 1.08),
    }
}

/// A label beside its dot: where its text begins (or ends), its base line, and its left and right
/// edge.
struct Label {
    x: f64,
    y: f64,
    is_left: bool,
    edges: [f64; 2],
}

/// Height of a line of labels, and the width of a letter at most.
const LINE: f64 = 12.0;
const LETTER: f64 = 6.4;

/// Radius of a dot.
const DOT: f64 = 4.0;

/// A free place for the label of a dot: the nearest on its right or left that covers neither a label,
/// a dot nor the frame; where there is none, the right.
fn label(taken: &[Label], dots: &[(f64, f64)], name: &str, (px, py): (f64, f64)) -> Label {
    let width = LETTER * name.chars().count() as f64;
    let at = |is_left: bool, shift: f64| {
        let x = if is_left { px - 7.0 } else { px + 7.0 };
        let edges = if is_left { [x - width, x] } else { [x, x + width] };
        Label { x, y: py + 4.0 + shift, is_left, edges }
    };
    let is_free = |one: &Label| {
        one.edges[0] > EDGE[0]
            && one.edges[1] < SIZE.0
            && one.y > LINE
            && one.y < SIZE.1 - EDGE[3] - 2.0
            && taken.iter().all(|other| {
                (other.y - one.y).abs() >= LINE
                    || other.edges[1] < one.edges[0]
                    || one.edges[1] < other.edges[0]
            })
            && dots.iter().all(|&(x, y)| {
                x + DOT < one.edges[0]
                    || x - DOT > one.edges[1]
                    || y + DOT < one.y - LINE + 2.0
                    || y - DOT > one.y + 2.0
            })
    };
    let shifts = (0..16).flat_map(|step| [-LINE * f64::from(step), LINE * f64::from(step)]);
    let mut all = shifts.flat_map(|shift| [at(false, shift), at(true, shift)]);
    all.find(is_free).unwrap_or_else(|| at(false, 0.0))
}

/// A plot of places as SVG.
pub(super) fn svg(title: &str, places: &[FrontierPlace]) -> String {
    let (least, most) = range(places);
    let x = |share: f64| EDGE[0] + share.min(1.0) * (SIZE.0 - EDGE[0] - EDGE[2]);
    let part = |value: f64| (value - least) / (most - least);
    let y = |value: f64| SIZE.1 - EDGE[3] - part(value) * (SIZE.1 - EDGE[1] - EDGE[3]);
    let mut out = format!(
        "<svg class=\"plot\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\" width=\"{}\">",
        without_markup(title),
        SIZE.0,
        SIZE.1,
        SIZE.0
    );
    let (left, bottom) = (EDGE[0], SIZE.1 - EDGE[3]);
    let _ = write!(out, "<path class=\"axis\" d=\"M{left} {}V{bottom}H{}\"/>", EDGE[1], x(1.0));
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0} %</text>",
            x(share),
            bottom + 16.0,
            100.0 * share
        );
        let value = least + share * (most - least);
        let number = if most < 1.0 { format!("{value:.4}") } else { format!("{value:.1}") };
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>",
            left - 6.0,
            y(value) + 4.0
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">bytes of the middle for a dense cache's 100 %</text>",
        x(0.5),
        SIZE.1 - 6.0
    );
    let dots: Vec<(f64, f64)> =
        places.iter().map(|place| (x(place.bytes), y(place.value))).collect();
    let mut labels: Vec<Label> = Vec::new();
    for (place, &(px, py)) in places.iter().zip(&dots) {
        let label = label(&labels, &dots, &place.name, (px, py));
        let anchor = if label.is_left { " text-anchor=\"end\"" } else { "" };
        if (label.y - py).abs() > 2.0 * LINE {
            let _ = write!(
                out,
                "<path class=\"axis\" d=\"M{px:.1} {py:.1}L{:.1} {:.1}\"/>",
                label.x,
                label.y - 4.0
            );
        }
        let _ = write!(
            out,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"{DOT}\"/><text x=\"{:.1}\" y=\"{:.1}\"{anchor}>{}</text>",
            label.x,
            label.y,
            without_markup(&place.name)
        );
        labels.push(label);
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, bytes: f64, value: f64) -> FrontierPlace {
        FrontierPlace { name: name.to_owned(), bytes, value }
    }

    #[test]
    fn labels_of_places_close_together_do_not_cover_one_another() {
        let places: Vec<FrontierPlace> =
            (0..9).map(|at| place(&"n".repeat(16), 0.1 * f64::from(at), 78.0)).collect();
        let dots: Vec<(f64, f64)> =
            places.iter().map(|one| (64.0 + 420.0 * one.bytes, 60.0)).collect();
        let mut labels: Vec<Label> = Vec::new();
        for (one, &dot) in places.iter().zip(&dots) {
            labels.push(label(&labels, &dots, &one.name, dot));
        }
        for (at, one) in labels.iter().enumerate() {
            for other in &labels[..at] {
                let apart = other.edges[1] < one.edges[0] || one.edges[1] < other.edges[0];
                assert!(apart || (one.y - other.y).abs() >= LINE);
            }
            for &(x, y) in &dots {
                let apart = x < one.edges[0] || one.edges[1] < x;
                assert!(apart || y < one.y - LINE || one.y < y, "({x}, {y}) under a label");
            }
        }
    }

    #[test]
    fn the_axis_begins_at_zero_unless_all_values_lie_close_together() {
        assert_eq!(range(&[place("a", 1.0, 0.0), place("b", 0.5, 2.0)]), (0.0, 2.16));
        assert_eq!(range(&[place("a", 1.0, 0.0)]), (0.0, 1.0));
        let (least, most) = range(&[place("a", 1.0, 80.0), place("b", 0.5, 70.0)]);
        assert_eq!((least, most), (68.5, 81.5));
        let (least, most) = range(&[place("a", 1.0, 80.0)]);
        assert!(least < 80.0 && most > 80.0);
    }
}
