//! The environment in which end-to-end tests find what was built for them.

use std::path::PathBuf;
use std::process::Command;

use crate::build::host_program;
use crate::workspace::{Workspace, named};

/// The variables, with absolute paths, since each test program runs in the directory of its package.
pub(super) struct TestEnvironment {
    variables: Vec<(&'static str, PathBuf)>,
}

impl TestEnvironment {
    /// Makes the environment of the programs of this workspace and this Redis.
    pub(super) fn new(workspace: &Workspace, redis_server: Option<PathBuf>) -> Self {
        let mut variables =
            vec![("SPINDRIFT_HOST_BIN", host_program(workspace)), ("SPINDRIFT_APP_DIR", workspace.path(""))];
        variables.extend(redis_server.map(|program| ("SPINDRIFT_REDIS_SERVER", program)));
        variables.extend(named("SPIN_BIN").map(|program| ("SPIN_BIN", program)));
        Self { variables }
    }

    /// Passes the variables to a command.
    pub(super) fn export(&self, command: &mut Command) {
        command.envs(self.variables.iter().cloned());
    }
}
