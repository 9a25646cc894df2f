//! GPU code without a GPU: the kernels on the simulator, whole models on it, the CUDA driver that
//! runs on a CPU, and the compiled kernels.

mod codes;
mod decoder;
mod driver;
mod fatbin;
mod first_day;
mod program;
mod prompts;
mod quantised;
mod refusals;
mod sim;
mod simulator;
mod steps;
mod whole_prompts;
