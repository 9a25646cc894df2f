//! The kernels that read coded blocks as they are stored: nothing is decoded to memory first.
//!
//! Scores and values are both sums of products of codes and weights, `sum_j code[j][lane] *
//! weight[j]`. For scores `j` is a channel, its weight is the query times the channel's scale, and
//! lanes are tokens; for values `j` is a token, its weight is the softmax weight times the token's
//! scale, and lanes are channels. The minima add one number per query head. So one algorithm over
//! [`CodeLanes`], which each instruction set provides, makes both. [`rows`] is for caches that code
//! token by token.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod block;
mod fold;
mod lanes;
mod plain;
mod portable;
pub(in crate::attention) mod rows;
mod steps;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vnni;

pub(in crate::attention) use block::{arrange_queries, block_scores, block_values};
pub(in crate::attention) use lanes::CodeLanes;
