//! Evaluation: scores, tasks, texts and the command line.

mod scores;
