//! Tutelage turns one experiment file into teacher and student runs and a report.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests spoil files and draw random tensors"))]

pub mod cli;
pub mod data;
pub mod device;
pub mod distill;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod files;
pub mod generate;
pub mod hub;
pub mod models;
pub mod orchestrate;
pub mod train;
pub mod tuning;
