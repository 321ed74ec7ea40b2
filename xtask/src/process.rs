//! Child processes that never outlive this one.
//!
//! Every child leads a process group of its own, so that ending it ends what it started, and (on Linux)
//! asks the kernel for SIGTERM when this process dies, so that even `kill -9` leaves nothing behind.
//! All groups are in one list; a signal, or the end of the command, ends them newest first.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::{Context, Failure, Result, fail};

/// The first argument that makes this binary a launcher, see [`launch`].
pub(crate) const LAUNCH: &str = "__launch";

/// How long a group may take to end after SIGTERM: longer than the five seconds for which the embedded host lets requests
/// finish, such as event streams. If it were killed before, it would leave its copies of files behind.
const GRACE: Duration = Duration::from_secs(7);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns whether Ctrl-C was pressed (or SIGTERM or SIGHUP received).
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Fails with [`Failure::Interrupted`] after a signal.
pub(crate) fn check_interrupted() -> Result<()> {
    if interrupted() { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Sleeps, unless interrupted by a signal.
pub(crate) fn sleep(duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        check_interrupted()?;
        thread::sleep(left.min(Duration::from_millis(50)));
    }
    check_interrupted()
}

/// Ends all groups at a signal from now on; at a second one at once, without grace.
pub(crate) fn end_groups_on_signals() -> Result<()> {
    let listened = if ignores_hangups() { &[SIGINT, SIGTERM][..] } else { &[SIGINT, SIGTERM, SIGHUP] };
    let mut signals = signal_hook::iterator::Signals::new(listened).cannot("listen for Ctrl-C")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                kill_all(Signal::KILL);
                std::process::exit(130);
            }
            thread::spawn(end_groups);
        }
    });
    Ok(())
}

/// Returns whether SIGHUP is ignored, which `nohup` asks for: then it must stay so.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// Ends every group that still runs, newest first, because newer ones use older ones.
pub(crate) fn end_groups() {
    INTERRUPTED.store(true, Ordering::SeqCst);
    while let Some(leader) = newest() {
        let _ = rustix::process::kill_process_group(leader, Signal::TERM);
        if !wait_unlisted(leader, GRACE) {
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
            wait_unlisted(leader, Duration::from_secs(1));
            unlist(leader);
        }
    }
}

/// A separate function: in the head of a loop, the list would stay locked throughout the body.
fn newest() -> Option<Pid> {
    groups().last().copied()
}

fn kill_all(signal: Signal) {
    for leader in groups().iter() {
        let _ = rustix::process::kill_process_group(*leader, signal);
    }
}

/// Waits until the owner of a group takes it off the list, which it does when the leader has ended.
fn wait_unlisted(leader: Pid, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while groups().contains(&leader) {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

fn unlist(leader: Pid) {
    groups().retain(|listed| *listed != leader);
}

/// Makes a command that will lead its own group and end with this process.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = if cfg!(target_os = "linux") {
        // Under this name the launcher is found even after cargo has replaced the file.
        let mut launcher = Command::new("/proc/self/exe");
        launcher.arg(LAUNCH).arg(std::process::id().to_string()).arg(program);
        launcher
    } else {
        Command::new(program)
    };
    command.process_group(0).stdin(Stdio::null());
    command
}

/// The launcher's half of [`command`]: requests a signal at the parent's death, which survives `exec`, then becomes
/// the program. The standard library has no safe way to do so between `fork` and `exec`.
pub(crate) fn launch(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> ! {
    let parent = arguments.next().and_then(|pid| pid.to_str()?.parse::<i32>().ok());
    let program = arguments.next().unwrap_or_default();
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    // The parent may have died before the line above.
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != parent {
        std::process::exit(143);
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("cannot run {}: {error}", program.display());
    std::process::exit(127)
}

/// A running child, the leader of its group.
pub(crate) struct Group {
    child: Child,
    leader: Pid,
}

impl Group {
    /// Starts `command`, made by [`command()`].
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        // The list stays locked during the spawn, so that a signal either finds the child or prevents it.
        let mut listed = groups();
        check_interrupted()?;
        let child = command.spawn().cannot("start a process")?;
        let leader = Pid::from_child(&child);
        listed.push(leader);
        Ok(Self { child, leader })
    }

    /// Returns whether it has ended.
    pub(crate) fn ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(rustix::process::waitid(WaitId::Pid(self.leader), options), Ok(None))
    }

    /// Describes how it ended, if it has.
    pub(crate) fn how_it_ended(&mut self) -> Option<String> {
        let ended = self.ended();
        ended.then(|| self.wait().map_or_else(|error| error.to_string(), describe))
    }

    /// Waits for the leader, then ends the rest of its group: its id becomes free only when the leader is reaped.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(self.leader), options) {}
        let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
        let status = self.child.wait().cannot("wait for a process");
        unlist(self.leader);
        status
    }

    /// Ends it and what it has started.
    pub(crate) fn end(&mut self) {
        let _ = rustix::process::kill_process_group(self.leader, Signal::TERM);
        let end = Instant::now() + GRACE;
        while !self.ended() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
        let _ = self.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if groups().contains(&self.leader) {
            self.end();
        }
    }
}

/// Runs a command to its end, with its output on the terminal; an unsuccessful status is a failure.
pub(crate) fn run(command: &mut Command, doing: &str) -> Result<()> {
    let status = Group::spawn(command)?.wait()?;
    check_interrupted()?;
    if status.success() { Ok(()) } else { fail(format!("{doing} failed ({})", describe(status))) }
}

/// Runs a command to its end or the limit, and returns its output.
pub(crate) fn capture(command: &mut Command, limit: Duration) -> Result<Output> {
    let mut group = Group::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stdout = read_aside(group.child.stdout.take());
    let stderr = read_aside(group.child.stderr.take());
    let end = Instant::now() + limit;
    while !group.ended() {
        if Instant::now() > end {
            group.end();
            return fail(format!("not finished after {} s", limit.as_secs()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let status = group.wait()?;
    check_interrupted()?;
    Ok(Output {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

fn read_aside(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Returns the output of a successful command.
pub(crate) fn text(command: &mut Command, doing: &str) -> Result<String> {
    let output = capture(command, Duration::from_secs(300)).map_err(|failure| match failure {
        Failure::Said(text) => Failure::Said(format!("{doing}: {text}")),
        Failure::Interrupted => Failure::Interrupted,
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return fail(format!("{doing} failed ({}): {}", describe(output.status), said.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Describes an exit status.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_with_its_leader_and_takes_its_children_along() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & echo $!"]).process_group(0).stdin(Stdio::null());
        let output = capture(&mut shell, Duration::from_secs(10)).unwrap();
        let orphan: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let gone =
            || rustix::process::test_kill_process(Pid::from_raw(orphan).unwrap()).is_err() || zombie(orphan);
        assert!((0..200).any(|_| gone() || {
            thread::sleep(Duration::from_millis(10));
            false
        }));
    }

    fn zombie(pid: i32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let mut sleep = Command::new("sleep");
        sleep.arg("60").process_group(0);
        let failure = capture(&mut sleep, Duration::from_millis(50)).unwrap_err();
        assert!(failure.to_string().contains("not finished after"));
    }
}
