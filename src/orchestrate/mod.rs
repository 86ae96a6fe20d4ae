//! From a checked experiment to finished stages: plan, execute, store, collect.
//!
//! | step | file |
//! |---|---|
//! | a checked experiment becomes a graph of stages | [`plan`], [`stage`], [`job`] |
//! | what is done, stale and why | [`standing`] |
//! | what another machine computed | [`recorded`] |
//! | what the rest will cost | [`estimate`], [`schedule`] |
//! | stages run, each under a lock and an energy meter | [`execute`], [`failure`] |
//! | what a stage does | [`worker`], [`model`], [`prepare`], [`training`], [`capture`], [`generate`], [`score`] |
//! | what they leave behind | [`store`], [`manifest`], [`event`], [`environment`] |
//! | what the user sees meanwhile | [`progress`] |
//! | from scores to records and report | [`collect`] |
//!
//! But for what a stage does, nothing here knows of tensors: that is behind [`execute::Worker`].

pub mod capture;
pub mod collect;
pub mod environment;
pub mod estimate;
pub mod event;
pub mod execute;
pub mod failure;
pub mod generate;
pub mod generation;
pub mod hub;
pub mod job;
pub mod manifest;
pub mod model;
pub mod plan;
pub mod power;
pub mod prepare;
pub mod progress;
pub mod readiness;
pub mod recorded;
pub mod report;
pub mod rows;
pub mod schedule;
pub mod score;
#[cfg(test)]
mod small;
pub mod sources;
pub mod stage;
pub mod standing;
pub mod stop;
pub mod store;
pub mod trained;
pub mod training;
pub mod worker;
