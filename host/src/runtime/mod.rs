//! Running components: the engine, compiled code, their files, and what each instance owns.

pub(crate) mod bindings;
pub(crate) mod compose;
pub(crate) mod denied;
pub(crate) mod engine;
pub(crate) mod files;
pub(crate) mod loader;
pub(crate) mod prepared;
pub(crate) mod state;
