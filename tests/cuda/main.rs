//! What runs on a GPU, without one: the kernels on the simulator, whole models over it, the driver
//! on a processor, and the compiled kernels.

mod decoder;
mod driver;
mod fatbin;
mod sim;
mod simulator;
