//! Processes that run until they are told to end.

use std::process::Command;

use crate::failure::Result;
use crate::process::Group;
use crate::redis::Server;

/// A process that is started, may end, and can be started again.
pub(super) trait Service {
    /// Returns its name, for messages.
    fn name(&self) -> &'static str;
    /// Starts it, or starts it again after it has ended.
    fn start(&mut self) -> Result<()>;
    /// Describes how it ended, if it has.
    fn ended(&mut self) -> Option<String>;
}

/// A program with a known command line.
pub(super) struct Program<F> {
    name: &'static str,
    command: F,
    group: Option<Group>,
}

impl<F: Fn() -> Command> Program<F> {
    /// Makes a program that is not started yet.
    pub(super) fn new(name: &'static str, command: F) -> Self {
        Self { name, command, group: None }
    }
}

impl<F: Fn() -> Command> Service for Program<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self) -> Result<()> {
        self.group = Some(Group::spawn(&mut (self.command)())?);
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        self.group.as_mut()?.how_it_ended()
    }
}

impl Service for Server {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn start(&mut self) -> Result<()> {
        self.start_again()
    }

    fn ended(&mut self) -> Option<String> {
        self.how_it_ended()
    }
}
