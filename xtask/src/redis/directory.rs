//! The temporary directory of a private Redis. A command that was killed leaves it behind; the next one removes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::free_port;
use crate::failure::{Context, Result};

/// The prefix of its name.
const PREFIX: &str = "spindrift-redis-";

/// The file in it that its process keeps locked: the system gives up the lock when the process ends, however it ends.
const LOCK: &str = "lock";

/// A temporary directory that is removed on drop.
pub(super) struct Directory {
    path: PathBuf,
    /// Where files cannot be locked, there is none, and nobody takes the directory for an orphan.
    _lock: Option<File>,
}

impl Directory {
    pub(super) fn create() -> Result<Self> {
        let all = std::env::temp_dir();
        remove_orphans(&all);
        let path = all.join(format!("{PREFIX}{}-{}", std::process::id(), free_port()?));
        fs::create_dir(&path).cannot(format_args!("create {}", path.display()))?;
        let lock = lock(&path).ok();
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the end of the server's log, to follow a message.
    pub(super) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.path.join("redis.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n  ");
        if last.is_empty() { last } else { format!("; its last log lines:\n  {last}") }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The file gets its name only once it is locked, so that nobody finds it unlocked before.
fn lock(directory: &Path) -> io::Result<File> {
    let unnamed = directory.join("unlocked");
    let file = File::create(&unnamed)?;
    file.lock()?;
    fs::rename(unnamed, directory.join(LOCK))?;
    Ok(file)
}

fn remove_orphans(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_ours && is_orphan(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_orphan(directory: &Path) -> bool {
    File::open(directory.join(LOCK)).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_left_is_removed_and_nothing_else() {
        let name = |kind| std::env::temp_dir().join(format!("{PREFIX}{kind}-{}", std::process::id()));
        let (orphan, unknown) = (name("orphan"), name("unknown"));
        for directory in [&orphan, &unknown] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("redis.log"), "").unwrap();
        }
        // A lock ends with its process, or with its file as here.
        drop(lock(&orphan).unwrap());
        let first = Directory::create().unwrap();
        let second = Directory::create().unwrap();
        let exist = [&orphan, &unknown, &first.path, &second.path].map(|path| path.exists());
        fs::remove_dir_all(&unknown).unwrap();
        assert_eq!(exist, [false, true, true, true]);
        let path = first.path.clone();
        drop(first);
        assert!(!path.exists());
    }
}
