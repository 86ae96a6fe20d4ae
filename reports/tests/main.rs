//! Reports of a made-up study, from records to files.

mod golden;
mod report;
mod sets;
mod statistics;
