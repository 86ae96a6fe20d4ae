//! What is trained: all parameters or low-rank adapters, in one flat buffer, and the adapter
//! files that PEFT reads. Knows nothing of data or losses.

pub mod flat;
pub mod lora;
pub mod peft;
pub mod targets;
