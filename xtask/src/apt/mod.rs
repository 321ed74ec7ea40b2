//! Debian's package manager: installing packages, and getting files of other suites.

mod install;
mod suite;

pub(crate) use install::{Rights, install, package};
pub(crate) use suite::{Mirror, Suite};
