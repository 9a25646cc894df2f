//! Arguments that several commands share, and the objects made from them.

mod cache;
mod device;
mod force;
mod mode;
mod model;
mod prompt;
mod sampling;
mod session;

pub use cache::{
    CacheArgs, GivenPlan, PlanChoice, check_device, fitting, read_mask, read_plan, short_names,
    stem,
};
pub use device::{DeviceChoice, without_cuda};
pub use force::ForceArg;
pub use mode::ModeArg;
pub use model::{ModelArgs, random_only, warn_of_files};
pub use prompt::{OnePromptArgs, PromptArgs, read_text};
pub use sampling::SamplingArgs;
pub use session::{Ready, SessionArgs};
