//! The experiment file: what it may say, what it means, what is wrong with it.

pub mod settings;
