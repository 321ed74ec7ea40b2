//! The files that a component may read: copied once at the start, as in Spin, and mounted at `/`.

use crate::error::Error;
use crate::manifest::{Component, FilesMount};
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The prefix of a workspace's name; the id of its process follows.
const PREFIX: &str = "spindrift-host-";

/// The error for files anywhere else.
const OUTSIDE: &str = "expected files inside the directory of the manifest";

/// The error for paths that lead out of their directory.
const CLIMBS: &str = "expected a path without `..`";

/// The error for a pattern that begins with `/`.
const ABSOLUTE: &str = "expected a path relative to the manifest, found an absolute one; only a `source` with a `destination` may be absolute";

/// A temporary directory of this process, removed when dropped.
#[derive(Debug)]
pub(crate) struct Workspace {
    path: PathBuf,
}

impl Workspace {
    /// Makes an empty temporary directory.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn new() -> Result<Self, Error> {
        remove_orphans();
        let name = format!("{PREFIX}{}-{:016x}", std::process::id(), RandomState::new().hash_one(0));
        let path = std::env::temp_dir().join(name);
        // For this user alone, as in Spin: the files may come from a directory that others cannot read.
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| Error::io(format!("making {}", path.display()), e))?;
        Ok(Self { path })
    }

    /// Copies the files of a component; returns `None` if it has no files.
    ///
    /// # Errors
    /// A path that does not exist, leads out of the app's directory, or cannot be copied.
    pub(crate) fn mount(
        &self,
        id: &str,
        component: &Component,
        root: &Path,
    ) -> Result<Option<PathBuf>, Error> {
        if component.files.is_empty() {
            return Ok(None);
        }
        let copy = Copy::new(id, component, root, self.path.join(directory_name(id)))?;
        for mount in &component.files {
            match mount {
                FilesMount::Pattern(pattern) => copy.pattern(pattern)?,
                FilesMount::Placement(it) => copy.placement(&it.source, &it.destination)?,
            }
        }
        Ok(Some(copy.target))
    }
}

/// Returns a file name for an id: that of a trigger, which may be a part of it, can be any text.
fn directory_name(id: &str) -> String {
    id.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// Removes the directories of processes that were killed. On systems that do not show their processes,
/// none is known to be an orphan.
fn remove_orphans() {
    let processes = Path::new("/proc");
    if !processes.join("self").exists() {
        return;
    }
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|it| it.strip_prefix(PREFIX)?.split_once('-')).map(|it| it.0);
        if process.is_some_and(|id| id.parse::<u32>().is_ok() && !processes.join(id).exists()) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.path);
    }
}

struct Copy<'a> {
    id: &'a str,
    /// The directory of the manifest, absolute and without symbolic links.
    root: PathBuf,
    target: PathBuf,
    exclude: Vec<glob::Pattern>,
}

impl<'a> Copy<'a> {
    fn new(id: &'a str, component: &Component, root: &Path, target: PathBuf) -> Result<Self, Error> {
        let wrong = |e: &dyn std::fmt::Display, what: &str| Error::component(id, format!("{what}: {e}"));
        let exclude =
            component.exclude_files.iter().map(|it| glob::Pattern::new(it).map_err(|e| wrong(&e, it)));
        let exclude = exclude.collect::<Result<_, _>>()?;
        let root = root.canonicalize().map_err(|e| wrong(&e, "directory of the manifest"))?;
        fs::create_dir_all(&target).map_err(|e| Error::io(format!("making {}", target.display()), e))?;
        Ok(Self { id, root, target, exclude })
    }

    fn error(&self, what: &str, problem: impl std::fmt::Display) -> Error {
        Error::component(self.id, format!("files: {what:?}: {problem}"))
    }

    fn pattern(&self, pattern: &str) -> Result<(), Error> {
        if pattern.split('/').next_back().is_some_and(|last| matches!(last, "." | "..")) {
            return Err(self.error(pattern, "expected files; write **/* for all files below a directory"));
        }
        self.check(pattern, pattern)?;
        if Path::new(pattern).is_absolute() {
            return Err(self.error(pattern, ABSOLUTE));
        }
        let path = self.root.join(pattern);
        if path.is_dir() {
            // Spin places the files of such a directory below its own name once more.
            self.glob(pattern, &path.join("**/*"), &self.root, &self.target.join(pattern))
        } else if path.is_file() {
            self.one(pattern, &path, &self.target.join(pattern))
        } else if pattern.contains(['*', '?', '[']) {
            self.glob(pattern, &path, &self.root, &self.target)
        } else {
            Err(self
                .error(pattern, "expected a file, a directory or a pattern, found nothing with that name"))
        }
    }

    fn placement(&self, source: &str, destination: &str) -> Result<(), Error> {
        self.check(source, source)?;
        self.check(source, destination)?;
        let path = self.root.join(source);
        let target = self.target.join(destination.trim_start_matches('/'));
        if path.is_dir() {
            self.glob(source, &path.join("**/*"), &path, &target)
        } else if path.is_file() {
            self.one(source, &path, &target)
        } else {
            Err(self.error(source, "expected a file or directory, found nothing with that name"))
        }
    }

    fn glob(&self, what: &str, pattern: &Path, prefix: &Path, target: &Path) -> Result<(), Error> {
        let pattern = pattern.to_str().ok_or_else(|| self.error(what, "expected UTF-8"))?;
        // The component sees the directory even if nothing goes into it.
        fs::create_dir_all(target)
            .map_err(|e| self.error(what, format!("making {}: {e}", target.display())))?;
        for path in glob::glob(pattern).map_err(|e| self.error(what, e))? {
            let path = path.map_err(|e| self.error(what, e))?;
            let inside = path.strip_prefix(&self.root).map_err(|_| self.error(what, OUTSIDE))?;
            if path.is_file() && !self.exclude.iter().any(|it| it.matches_path(inside)) {
                let relative = path.strip_prefix(prefix).map_err(|_| self.error(what, OUTSIDE))?;
                self.one(what, &path, &target.join(relative))?;
            }
        }
        Ok(())
    }

    fn one(&self, what: &str, source: &Path, target: &Path) -> Result<(), Error> {
        if !source.starts_with(&self.root) {
            return Err(self.error(what, OUTSIDE));
        }
        let parent = target.parent().unwrap_or(&self.target);
        fs::create_dir_all(parent)
            .and_then(|()| fs::copy(source, target))
            .map(drop)
            .map_err(|e| self.error(what, format!("copying to {}: {e}", target.display())))
    }

    /// Checks that a path or pattern does not lead upwards.
    fn check(&self, what: &str, path: &str) -> Result<(), Error> {
        let climbs = Path::new(path).components().any(|part| part == std::path::Component::ParentDir);
        if climbs { Err(self.error(what, CLIMBS)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn mounted(files: &str) -> Result<Vec<String>, String> {
        let app = Workspace::new().unwrap();
        for name in ["a.txt", "dir/b.txt", "dir/deep/c.txt", "dir/skip.log"] {
            let path = app.path.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        fs::create_dir(app.path.join("empty")).unwrap();
        let text = format!(
            "spin_manifest_version = 2\napplication.name = \"a\"\n[[trigger.http]]\nroute = \"/\"\n\
             component = \"c\"\n[component.c]\nsource = \"c.wasm\"\nfiles = {files}\nexclude_files = [\"**/*.log\"]"
        );
        let manifest = Manifest::parse(&text, &app.path.join("spin.toml")).map_err(|e| e.to_string())?;
        let workspace = Workspace::new().unwrap();
        let target = workspace
            .mount("c", &manifest.components["c"], manifest.root())
            .map_err(|e| e.to_string())?
            .unwrap();
        // Files, and directories without any.
        let all = glob::glob(target.join("**/*").to_str().unwrap()).unwrap().map(Result::unwrap);
        let shown = all.filter(|it| it.is_file() || fs::read_dir(it).unwrap().next().is_none());
        Ok(shown.map(|it| it.strip_prefix(&target).unwrap().display().to_string()).collect())
    }

    #[test]
    fn patterns_keep_their_paths_and_placements_change_them() {
        assert_eq!(mounted(r#"["a.txt"]"#).unwrap(), ["a.txt"]);
        assert_eq!(mounted(r#"["dir/**/*"]"#).unwrap(), ["dir/b.txt", "dir/deep/c.txt"]);
        assert_eq!(mounted(r#"["dir/*.txt"]"#).unwrap(), ["dir/b.txt"]);
        let placed = mounted(r#"[{ source = "dir", destination = "/x/y" }]"#).unwrap();
        assert_eq!(placed, ["x/y/b.txt", "x/y/deep/c.txt"]);
        assert_eq!(mounted(r#"[{ source = "a.txt", destination = "/z.txt" }]"#).unwrap(), ["z.txt"]);
    }

    #[test]
    fn a_directory_without_files_is_seen() {
        assert_eq!(mounted(r#"[{ source = "empty", destination = "/x/y" }]"#).unwrap(), ["x/y"]);
    }

    #[test]
    fn what_leads_upwards_or_is_absolute_is_said_even_if_nothing_matches() {
        for files in [
            r#"["../*.none"]"#,
            r#"["dir/../*.none"]"#,
            r#"[{ source = "../none", destination = "/x" }]"#,
            r#"[{ source = "empty", destination = "/../x" }]"#,
        ] {
            assert!(mounted(files).is_err_and(|problem| problem.contains("without `..`")), "{files}");
        }
        for files in [r#"["/none/*"]"#, r#"["/tmp"]"#] {
            assert!(
                mounted(files).is_err_and(|problem| problem.contains("relative to the manifest")),
                "{files}"
            );
        }
    }

    #[test]
    fn no_id_leads_out_of_the_workspace() {
        let app = Workspace::new().unwrap();
        fs::write(app.path.join("a.txt"), "").unwrap();
        let text = "spin_manifest_version = 2\napplication.name = \"a\"\n[[trigger.http]]\nroute = \"/\"\n\
                    component = \"c\"\n[component.c]\nsource = \"c.wasm\"\nfiles = [\"a.txt\"]";
        let manifest = Manifest::parse(text, &app.path.join("spin.toml")).unwrap();
        let workspace = Workspace::new().unwrap();
        for id in ["c-for-../../x-1", "c-for-/x-2", "c-for-a/b-3"] {
            let target = workspace.mount(id, &manifest.components["c"], manifest.root()).unwrap().unwrap();
            assert_eq!(target.parent(), Some(workspace.path.as_path()), "{id}");
            assert!(target.join("a.txt").is_file());
        }
    }

    #[test]
    fn other_users_cannot_read_the_copies() {
        use std::os::unix::fs::PermissionsExt;
        let workspace = Workspace::new().unwrap();
        assert_eq!(fs::metadata(&workspace.path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        // No process has this id: process ids end at 2^22.
        let orphan = std::env::temp_dir().join(format!("{PREFIX}4999999-test"));
        fs::create_dir_all(&orphan).unwrap();
        let workspace = Workspace::new().unwrap();
        assert!(workspace.path.exists() && !orphan.exists());
    }

    #[test]
    fn paths_outside_and_missing_ones_are_refused() {
        for files in
            [r#"["none.txt"]"#, r#"["dir/.."]"#, r#"["../*"]"#, r#"[{ source = "x", destination = "/" }]"#]
        {
            assert!(mounted(files).is_err(), "{files}");
        }
        assert!(mounted(r#"[{ source = "a.txt", destination = "/../../a.txt" }]"#).is_err());
        let outside = std::env::temp_dir().join(format!("spindrift-outside-{}", std::process::id()));
        fs::write(&outside, "").unwrap();
        let absolute = mounted(&format!(r#"[{{ source = {outside:?}, destination = "/a.txt" }}]"#));
        fs::remove_file(&outside).unwrap();
        assert!(absolute.is_err_and(|problem| problem.contains("inside the directory of the manifest")));
    }
}
