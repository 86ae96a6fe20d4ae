//! Tutelage turns one experiment file into teacher and student runs and a report.

pub mod device;
pub mod distill;
pub mod experiment;
pub mod files;
pub mod models;
