//! All tests that run the program or need more than one module.

mod distill;
