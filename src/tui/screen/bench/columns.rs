//! The columns of the table, and which of them have room: those that have none are on further pages.

use crate::spread::P999;

/// A column of the table: title, width, and how soon it goes to another page where there is no room;
/// 0 never goes.
pub(super) struct Column {
    pub title: &'static str,
    pub width: usize,
    goes: u8,
}

/// Number of columns.
pub(super) const COUNT: usize = 13;
/// The name of a row, which every page begins with.
pub(super) const NAME: usize = 0;
/// How it was made.
pub(super) const RULE: usize = 1;
/// The first column that is measured.
pub(super) const FIGURES: usize = 5;
/// The tail of the KLD.
pub(super) const TAIL: usize = 8;
/// The first column that may have nothing to show.
const OPTIONAL: usize = 10;
/// In the order of the cells of a row.
pub(super) const COLUMNS: [Column; COUNT] = [
    Column { title: "name", width: 16, goes: 0 },
    Column { title: "rule", width: 20, goes: 10 },
    Column { title: "bytes", width: 10, goes: 0 },
    Column { title: "K", width: 9, goes: 9 },
    Column { title: "V", width: 9, goes: 9 },
    Column { title: "KLD", width: 8, goes: 0 },
    Column { title: "±", width: 8, goes: 4 },
    Column { title: "median", width: 8, goes: 7 },
    Column { title: P999, width: 8, goes: 6 },
    Column { title: "same top", width: 8, goes: 1 },
    Column { title: "recall", width: 8, goes: 8 },
    Column { title: "× dense", width: 10, goes: 3 },
    Column { title: "Δ KLD", width: 9, goes: 2 },
];

/// The titles of all columns.
pub fn titles() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|column| column.title)
}

/// The columns of every page, by their index. `has` tells whether an optional column has anything to
/// show. The first page has the most important ones that fit, each further one the next of the rest.
pub(super) fn pages(width: usize, has: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..COUNT).filter(|&at| at < OPTIONAL || has(at)).collect();
    let wide = |chosen: &[usize]| chosen.iter().map(|&at| COLUMNS[at].width + 2).sum::<usize>() + 2;
    let mut first = all.clone();
    while wide(&first) > width {
        let goes = first.iter().map(|&at| COLUMNS[at].goes).max().unwrap_or(0);
        if goes == 0 {
            break;
        }
        first.retain(|&at| COLUMNS[at].goes != goes);
    }
    let rest = all.into_iter().filter(|at| !first.contains(at)).collect::<Vec<_>>();
    let mut pages = vec![first];
    for at in rest {
        let last = pages.last_mut().filter(|page| {
            page[1..].iter().all(|other| COLUMNS[*other].goes > 0)
                && wide(page) + COLUMNS[at].width + 2 <= width
        });
        match last {
            Some(page) => page.push(at),
            None => pages.push(vec![NAME, at]),
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_on_exactly_one_page_and_every_page_fits() {
        for width in [58, 78, 118, 198, 400] {
            for has_all in [false, true] {
                let pages = pages(width, |_| has_all);
                let mut seen: Vec<usize> =
                    pages.iter().flat_map(|page| page[1..].to_vec()).collect();
                seen.sort_unstable();
                let most = if has_all { COUNT } else { OPTIONAL };
                assert_eq!(seen, (1..most).collect::<Vec<_>>(), "{width}");
                for page in &pages {
                    let wide: usize = page.iter().map(|&at| COLUMNS[at].width + 2).sum();
                    assert!(page[0] == NAME && wide + 2 <= width, "{width}: {page:?}");
                }
            }
        }
    }
}
