//! Tutelage turns one experiment file into teacher and student runs and a report.

pub mod data;
pub mod experiment;
