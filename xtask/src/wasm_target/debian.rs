//! The target built from source: Debian has the library source of released compilers, and the WASI libc.
//!
//! `-Zbuild-std` builds the standard library for one crate; its parts, put where rustup would have put its own,
//! serve every later `cargo build --target wasm32-wasip2` without further flags.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Compiler, MARK, TARGET, contains_file, replace};
use crate::apt::{Mirror, Suite};
use crate::console::{Step, say};
use crate::failure::{Context, Result, fail};
use crate::process;
use crate::workspace::{Workspace, which};

/// The suites with the newest compilers, the most stable first.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// Builds and installs the target; nothing is changed before the last step.
pub(super) fn install(workspace: &Workspace, compiler: &Compiler) -> Result<()> {
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if which(program).is_none() {
            return fail(format!("this needs a Debian-like system: {program} is not on PATH"));
        }
    }
    check_writable(&compiler.rustlib())?;
    let directory = workspace.target("xtask/wasm-target");
    let _ = fs::remove_dir_all(&directory);
    let result = install_from(&directory, compiler);
    let _ = fs::remove_dir_all(&directory);
    result
}

/// Fails before minutes are spent on building: a compiler from a package may belong to the administrator.
fn check_writable(rustlib: &Path) -> Result<()> {
    let new = new_target(rustlib);
    fs::create_dir_all(&new).cannot(format_args!("write to {}", rustlib.display()))?;
    let _ = fs::remove_dir(&new);
    Ok(())
}

/// Returns where the target is put together, beside its final place.
fn new_target(rustlib: &Path) -> PathBuf {
    rustlib.join(format!(".{TARGET}-{}", std::process::id()))
}

fn install_from(directory: &Path, compiler: &Compiler) -> Result<()> {
    let sources = Sources::fetch(directory, &compiler.release)?;
    let built = build(directory, &sources, compiler)?;
    let new = new_target(&compiler.rustlib());
    let _ = fs::remove_dir_all(&new);
    let installed = assemble(&built, &sources, &new)
        .and_then(|()| fs::write(new.join(MARK), &compiler.commit).cannot("write a file beside the target"))
        .and_then(|()| replace(&new, &compiler.rustlib().join(TARGET)));
    let _ = fs::remove_dir_all(&new);
    installed?;
    say("wasm target", format_args!("{TARGET} installed into the compiler's directory"));
    Ok(())
}

/// Two unpacked packages.
struct Sources {
    /// The `library` directory of rust-src.
    library: PathBuf,
    /// The start files and archives of wasi-libc.
    libc: PathBuf,
}

impl Sources {
    fn fetch(directory: &Path, release: &str) -> Result<Self> {
        let mirror = Mirror::of_this_machine()?;
        let mut reasons = Vec::new();
        for suite in SUITES {
            let step =
                Step::start("wasm target", format_args!("sources of Rust {release} from Debian {suite} ..."));
            match Self::fetch_from(&mirror, suite, directory, release) {
                Ok(sources) => {
                    step.done("sources unpacked");
                    return Ok(sources);
                }
                Err(reason) => reasons.push(format!("{suite}: {reason}")),
            }
            process::check_interrupted()?;
        }
        fail(format!("no sources of Rust {release}\n    {}", reasons.join("\n    ")))
    }

    fn fetch_from(mirror: &Mirror, suite: &'static str, directory: &Path, release: &str) -> Result<Self> {
        let suite = Suite::fetch(mirror, suite, directory)?;
        let sources = suite.versions("rust-src")?;
        let Some(version) = sources.iter().find(|version| is_release(version, release)) else {
            return fail(format!("it has rust-src {}", or_none(&sources)));
        };
        let libcs = suite.versions("wasi-libc")?;
        let Some(libc) = libcs.first() else { return fail("it has no wasi-libc") };
        let root = directory.join("root");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).cannot("create a directory")?;
        suite.unpack("rust-src", version, &root)?;
        suite.unpack("wasi-libc", libc, &root)?;
        Self::within(&root, release, suite.name())
    }

    fn within(root: &Path, release: &str, suite: &str) -> Result<Self> {
        let library = root.join(format!("usr/src/rustc-{release}/library"));
        let libc = root.join("usr/lib").join(TARGET);
        for file in [library.join("std/Cargo.toml"), libc.join("libc.a"), libc.join("crt1-command.o")] {
            if !file.is_file() {
                let inside = file.strip_prefix(root).unwrap_or(&file).display().to_string();
                return fail(format!("expected {inside} in the packages of {suite}, found none"));
            }
        }
        Ok(Self { library, libc })
    }
}

/// Returns whether the Debian version `1.95.0+dfsg1-2` is the compiler's `1.95.0`. Another library would not fit it.
fn is_release(version: &str, release: &str) -> bool {
    version.strip_prefix(release).is_some_and(|rest| rest.starts_with(['+', '-']))
}

fn or_none(versions: &[String]) -> String {
    if versions.is_empty() { "in no version".to_owned() } else { versions.join(", ") }
}

/// Builds the standard library for an empty crate, and returns where its parts are.
fn build(directory: &Path, sources: &Sources, compiler: &Compiler) -> Result<PathBuf> {
    let step = Step::start("wasm target", "building the standard library, about a minute ...");
    let package = directory.join("empty");
    fs::create_dir_all(package.join("src")).cannot("create a package")?;
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(package.join("Cargo.toml"), manifest).cannot("write a manifest")?;
    fs::write(package.join("src/lib.rs"), "").cannot("write an empty library")?;
    process::text(&mut build_command(&package, sources, compiler), "building the standard library")?;
    step.done("standard library built");
    Ok(package.join("target").join(TARGET).join("release/deps"))
}

fn build_command(package: &Path, sources: &Sources, compiler: &Compiler) -> Command {
    // Panic messages of components name library files: give these the names of the official build.
    let remap = format!("{}=/rustc/{}/library", sources.library.display(), compiler.commit);
    let mut cargo = process::command(crate::workspace::cargo());
    cargo.current_dir(package).args([
        "build",
        "--release",
        "--target",
        TARGET,
        "-Zbuild-std=std,panic_abort",
    ]);
    cargo.env("CARGO_TARGET_DIR", package.join("target"));
    cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", &sources.library);
    // Without bitcode, LTO of a component fails. The separator allows spaces in paths.
    let flags = ["-Cembed-bitcode=yes", "--remap-path-prefix", &remap].join("\u{1f}");
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags);
    cargo
}

/// Arranges the parts as the compiler expects them.
fn assemble(built: &Path, sources: &Sources, new: &Path) -> Result<()> {
    let lib = new.join("lib");
    copy(built, &lib, |name| name.ends_with(".rlib") && !name.starts_with("libempty-"))?;
    copy(&sources.libc, &lib.join("self-contained"), |name| {
        name.ends_with(".a") || (name.starts_with("crt1") && name.ends_with(".o"))
    })?;
    if contains_file(&lib, |name| name.starts_with("libstd-")) {
        return Ok(());
    }
    fail("expected libstd in what was built, found none")
}

fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(to).cannot(format_args!("create {}", to.display()))?;
    for entry in fs::read_dir(from).cannot(format_args!("list {}", from.display()))?.flatten() {
        let name = entry.file_name();
        if wanted(&name.to_string_lossy()) {
            let file = to.join(&name);
            fs::copy(entry.path(), &file).cannot(format_args!("write {}", file.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_cannot_be_written_to_is_said_before_building() {
        let directory = std::env::temp_dir().join(format!("spindrift-xtask-rustlib-{}", std::process::id()));
        check_writable(&directory).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(&directory).unwrap();
        // Nobody can write there, not even root.
        if Path::new("/proc/self").exists() {
            let failure = check_writable(Path::new("/proc")).unwrap_err().to_string();
            assert!(failure.starts_with("cannot write to /proc"), "{failure}");
        }
    }

    #[test]
    fn only_the_same_release_fits() {
        assert!(is_release("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_release("1.95.0-1", "1.95.0"));
        assert!(!is_release("1.95.01+dfsg1-1", "1.95.0"));
        assert!(!is_release("1.95.0~beta.1+dfsg1-1", "1.95.0"));
        assert!(!is_release("1.96.0+dfsg1-1", "1.95.0"));
    }
}
