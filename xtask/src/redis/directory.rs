//! The temporary directory of a private Redis. A command that was killed leaves it behind; the next one removes it.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};

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
        // The standard library seeds its hash maps at random.
        let random = RandomState::new().hash_one(0);
        let path = all.join(format!("{PREFIX}{}-{random:016x}", std::process::id()));
        fs::create_dir(&path).cannot(format_args!("create {}", path.display()))?;
        let lock = lock(&path).ok();
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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
    let lock = directory.join(LOCK);
    // Anybody may put a directory of this name there, and opening a FIFO waits for whoever writes to it.
    fs::symlink_metadata(&lock).is_ok_and(|it| it.is_file())
        && File::open(lock).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_killed_command_left_is_removed_and_nothing_else() {
        let name = |kind| std::env::temp_dir().join(format!("{PREFIX}{kind}-{}", std::process::id()));
        let (orphan, unknown) = (name("orphan"), name("unknown"));
        for directory in [&orphan, &unknown] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("redis.log"), "").unwrap();
        }
        // A lock ends with its process. To close its file would not be enough here: a process that another test is just
        // starting may have a copy of it.
        lock(&orphan).unwrap().unlock().unwrap();
        let first = Directory::create().unwrap();
        let second = Directory::create().unwrap();
        let exist = [&orphan, &unknown, &first.path, &second.path].map(|path| path.exists());
        fs::remove_dir_all(&unknown).unwrap();
        assert_eq!(exist, [false, true, true, true]);
        let path = first.path.clone();
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_that_is_no_file_is_not_opened() {
        let directory = std::env::temp_dir().join(format!("spindrift-fifo-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        assert!(Command::new("mkfifo").arg(directory.join(LOCK)).status().unwrap().success());
        let (sender, answer) = channel();
        let asked = directory.clone();
        thread::spawn(move || sender.send(is_orphan(&asked)));
        let answer = answer.recv_timeout(Duration::from_secs(60));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(answer, Ok(false), "it must not wait for somebody to write");
    }
}
