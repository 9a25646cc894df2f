//! Learning masks: data, gradient, optimiser, training, and the commands `learn`, `score` and
//! `bench learn`.

mod bench;
mod cli;
mod data;
mod device;
mod gradient;
mod optim;
mod score;
mod sensitivity;
mod train;
mod worker;
