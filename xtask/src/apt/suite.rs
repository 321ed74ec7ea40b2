//! Debian's package manager as a source of files. It uses a list of suites and a state of its own, so that the
//! machine's configuration is not changed. Mirror and key come from that configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Context, Result, fail};
use crate::process;

/// A package archive, as the machine's configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

impl Mirror {
    /// Returns the mirror from which this machine gets its own release.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").cannot("read /etc/os-release")?;
        let codename = codename(&release);
        let sources = source_files();
        let found = sources.iter().find_map(|(name, text)| mirror_in(name, text, codename));
        found.map_or_else(
            || fail("expected a Debian archive in /etc/apt/sources.list or /etc/apt/sources.list.d, found none"),
            Ok,
        )
    }

    /// Returns a line for sources.list.
    fn line(&self, suite: &str) -> String {
        let options = self.signed_by.as_ref().map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
        format!("deb {options}{} {suite} main\n", self.uri)
    }
}

fn source_files() -> Vec<(String, String)> {
    let listed =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = listed.collect();
    paths.sort();
    paths.insert(0, PathBuf::from("/etc/apt/sources.list"));
    let read = |path: PathBuf| Some((path.to_string_lossy().into_owned(), fs::read_to_string(path).ok()?));
    paths.into_iter().filter_map(read).collect()
}

/// Returns the `VERSION_CODENAME` of os-release.
fn codename(os_release: &str) -> &str {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    value.unwrap_or("stable").trim().trim_matches('"')
}

/// Returns the archive of exactly the suite `codename` with the component main, in either format of apt.
fn mirror_in(name: &str, text: &str, codename: &str) -> Option<Mirror> {
    if name.ends_with(".sources") {
        return text.split("\n\n").find_map(|stanza| mirror_in_stanza(stanza, codename));
    }
    text.lines().find_map(|line| mirror_in_line(line, codename))
}

fn mirror_in_line(line: &str, codename: &str) -> Option<Mirror> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let wanted = suite == codename && words.any(|component| component == "main");
    wanted.then(|| Mirror { uri: uri.to_owned(), signed_by: key.map(str::to_owned) })
}

fn mirror_in_stanza(stanza: &str, codename: &str) -> Option<Mirror> {
    let field = |name: &str| {
        let mut values =
            stanza.lines().filter_map(|line| line.split_once(':')).filter(|(key, _)| *key == name);
        values.next().map(|(_, value)| value.trim())
    };
    let has =
        |name: &str, word: &str| field(name).is_some_and(|value| value.split_whitespace().any(|w| w == word));
    let wanted = has("Types", "deb") && has("Suites", codename) && has("Components", "main");
    let uri = field("URIs")?.split_whitespace().next()?;
    let key = field("Signed-By").filter(|value| value.starts_with('/'));
    wanted.then(|| Mirror { uri: uri.to_owned(), signed_by: key.map(str::to_owned) })
}

/// One suite of a mirror, with its lists and downloads in one directory.
pub(crate) struct Suite {
    directory: PathBuf,
    name: &'static str,
}

impl Suite {
    /// Fetches the suite's list of packages, and verifies its signature.
    pub(crate) fn fetch(mirror: &Mirror, name: &'static str, directory: &Path) -> Result<Self> {
        let suite = Self { directory: directory.join(name), name };
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(suite.directory.join(part)).cannot("create a directory for apt")?;
        }
        let list = suite.directory.join("sources.list");
        fs::write(&list, mirror.line(name)).cannot("write a list for apt")?;
        process::text(suite.apt("apt-get").arg("update"), "apt-get update")?;
        Ok(suite)
    }

    /// Makes an apt command that sees only this suite.
    fn apt(&self, program: &str) -> Command {
        let mut command = process::command(program);
        let path = |relative: &str| self.directory.join(relative).display().to_string();
        let options = [
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State={}", path("state")),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", path("cache")),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // apt's unprivileged user could not write into our directory.
            "APT::Sandbox::User=root".to_owned(),
        ];
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command.current_dir(&self.directory).env("LC_ALL", "C");
        command
    }

    /// Returns the suite's versions of a package, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let table = process::text(self.apt("apt-cache").args(["madison", package]), "apt-cache madison")?;
        Ok(versions_in(&table, package))
    }

    /// Downloads exactly this version and unpacks it, without installing anything.
    pub(crate) fn unpack(&self, package: &str, version: &str, into: &Path) -> Result<()> {
        let wanted = format!("{package}={version}");
        process::text(self.apt("apt-get").args(["download", &wanted]), "apt-get download")?;
        let entries = fs::read_dir(&self.directory).cannot("list the downloads")?;
        let prefix = format!("{package}_");
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(&prefix) && name.ends_with(".deb")
        };
        let Some(file) = entries.flatten().map(|entry| entry.path()).find(is_ours) else {
            return fail(format!("expected a file of {wanted} from apt-get download, found none"));
        };
        process::text(process::command("dpkg-deb").arg("-x").arg(file).arg(into), "dpkg-deb -x").map(|_| ())
    }

    /// Returns its name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// Parses lines like ` rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://...`.
fn versions_in(table: &str, package: &str) -> Vec<String> {
    let rows = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let ours = rows.filter(|row| row.len() > 1 && row[0] == package);
    ours.map(|row| row[1].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mirror_in_a_deb822_file() {
        let text = "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
                    Types: deb\n# a note\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main contrib\nSigned-By: /keys/debian.gpg\n";
        let mirror = mirror_in("debian.sources", text, "bookworm").unwrap();
        assert_eq!(
            mirror.line("sid"),
            "deb [signed-by=/keys/debian.gpg] http://mirror.example/debian sid main\n"
        );
    }

    #[test]
    fn finds_the_mirror_in_one_line() {
        let text = "# deb http://old.example/debian bookworm main\ndeb https://tools.example/apt stable main\n\
                    deb [arch=amd64 signed-by=/keys/a.gpg] http://mirror.example/debian bookworm main non-free\n";
        let mirror = mirror_in("/etc/apt/sources.list", text, "bookworm").unwrap();
        assert_eq!(mirror.uri, "http://mirror.example/debian");
        assert_eq!(mirror.signed_by.as_deref(), Some("/keys/a.gpg"));
        assert_eq!(mirror_in("x.list", text, "trixie"), None);
    }

    #[test]
    fn reads_the_codename_and_the_versions() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n"), "bookworm");
        let table = "  rust-src | 1.96.1+dfsg1-2~bpo13+1 | a b Packages\n wasi-libc | 0.0~git2 | c\n";
        assert_eq!(versions_in(table, "rust-src"), ["1.96.1+dfsg1-2~bpo13+1"]);
    }
}
