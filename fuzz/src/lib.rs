//! The functions that cargo-fuzz runs: see `CONTRIBUTING.md` of the project.

pub mod targets;
