//! From a checked experiment to finished stages and what a report reads.
//!
//! Rooms, from the ground up; each uses only those above it here:
//!
//! | room | subject |
//! |---|---|
//! | [`kind`] | the kinds of stages |
//! | [`keep`] | what a run leaves behind: the store, checksums, events, failures, machines |
//! | [`stages`] | what each kind of stage does, one file each: its settings, versions, cost, work |
//! | [`plan`] | an experiment as a graph of stages; where each stands, and why |
//! | [`estimate`] | what the rest will cost |
//! | [`execute`] | stages run, each under a lock and an energy meter; what the user sees meanwhile |
//! | [`gather`] | from scores to records, study and report |
//!
//! But for what a stage does, nothing here knows of tensors: that is behind [`execute::Worker`].

pub mod estimate;
pub mod execute;
pub mod gather;
pub mod keep;
pub mod kind;
pub mod plan;
pub mod stages;
