//! The programs that the tests need, from the environment or from where a build puts them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const HOW: &str = "`cargo xtask test` installs and builds all that the end-to-end tests need; \
                   SPINDRIFT_SKIP_E2E=1 leaves them out";

/// What runs the components.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    /// `spindrift-host`.
    Embedded(PathBuf),
    /// A real `spin`, which cannot listen on a port that the system chooses.
    Spin(PathBuf),
}

/// Where the manifests and the components are: the root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = named("SPINDRIFT_APP_DIR").unwrap_or_else(built);
        root.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: {HOW}", root.display()))
    })
}

/// The host of this run.
pub(crate) fn host() -> Host {
    skip_if_asked();
    let (host, program) = match named("SPIN_BIN") {
        Some(spin) => (Host::Spin(spin.clone()), spin),
        None => {
            let built = || workspace().join("target/debug/spindrift-host");
            let program = named("SPINDRIFT_HOST_BIN").unwrap_or_else(built);
            (Host::Embedded(program.clone()), program)
        }
    };
    assert!(runs(&program), "expected a host at {}, found none: {HOW}", program.display());
    host
}

/// The Redis server of this run.
pub(crate) fn redis_server() -> PathBuf {
    skip_if_asked();
    let candidates = ["redis-server", "valkey-server"].map(PathBuf::from);
    let found = named("SPINDRIFT_REDIS_SERVER").into_iter().chain(candidates).find(|it| runs(it));
    found.unwrap_or_else(|| {
        panic!(
            "expected redis-server or valkey-server on PATH or in SPINDRIFT_REDIS_SERVER, found none: {HOW}"
        )
    })
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn runs(program: &Path) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A running test cannot be skipped, so the first one ends the process, and writes the reason past the test's
/// captured output.
fn skip_if_asked() {
    if std::env::var_os("SPINDRIFT_SKIP_E2E").is_some_and(|value| value == "1") {
        _ = std::io::stderr().write_all(b"\nskipped: SPINDRIFT_SKIP_E2E=1 is set\n");
        std::process::exit(0);
    }
}
