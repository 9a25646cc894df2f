//! The language of the toy model inside the program: it recalls facts stated as plain sentences.

pub mod generator;
