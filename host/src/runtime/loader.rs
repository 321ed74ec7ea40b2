//! From the files of a component and its middleware to code that the engine runs.
//!
//! Compiling takes seconds, so the result is kept in a `.cwasm` file next to the wasm file. It is used
//! again only for the same wasm, the same engine and if the file is undamaged; otherwise it is made anew.

use super::compose::{Part, compose};
use crate::error::Error;
use crate::manifest::Middleware;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

const HASH: usize = blake3::OUT_LEN;

/// How often the initial memory of a component is tried to be made; each attempt waits some 200 ms for its pages.
const IMAGE_ATTEMPTS: u32 = 5;

/// The files of which a component is made, and how they belong together.
pub(crate) struct Source<'a> {
    /// The component's id, for messages.
    pub(crate) id: &'a str,
    /// The directory to which the paths of middleware are relative.
    pub(crate) root: &'a Path,
    /// The component's wasm file.
    pub(crate) file: PathBuf,
    /// The middleware through which requests pass before it, the outermost first.
    pub(crate) middleware: &'a [Middleware],
}

/// Loads a component, composing and compiling it if that was not done before.
///
/// # Errors
/// A file cannot be read, is not a component, or not the middleware that it should be; the system refuses
/// the memory with which its instances begin.
pub(crate) fn load(engine: &Engine, source: &Source<'_>) -> Result<Component, Error> {
    let component = source.compile(engine)?;
    // Otherwise the first request would do it, and fail where a second attempt succeeds: Linux refuses to
    // seal a memory file while anything else in the kernel holds one of its pages, for instance to move it.
    let image = attempts(IMAGE_ATTEMPTS, || component.initialize_copy_on_write_image());
    image.map_err(|e| source.error(format!("the initial memory of its instances: {e:#}")))?;
    Ok(component)
}

/// Calls `make` until it succeeds, at most `most` times; then its last error is the answer.
fn attempts<T, E>(most: u32, mut make: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    (1..most).find_map(|_| make().ok()).map_or_else(make, Ok)
}

impl Source<'_> {
    fn error(&self, problem: String) -> Error {
        Error::component(self.id, problem)
    }

    fn read(&self, file: &Path) -> Result<Vec<u8>, Error> {
        fs::read(file).map_err(|e| self.error(format!("source {}: {e}", file.display())))
    }

    /// Returns the code, from the cache file if it is there and fits.
    fn compile(&self, engine: &Engine) -> Result<Component, Error> {
        let wasm = self.compose()?;
        let key = cache_key(engine, &wasm);
        let cache = self.cache();
        if let Some(component) = read_cache(engine, &cache, &key) {
            return Ok(component);
        }
        // So that several hosts that start at once, as tests do, compile it only once.
        let _turn = turn(&cache);
        if let Some(component) = read_cache(engine, &cache, &key) {
            return Ok(component);
        }
        let wrong = |e| self.error(format!("{}: {e:#}", self.file.display()));
        let compiled = engine.precompile_component(&wasm);
        let compiled = compiled.map_err(|e| wrong(e.context("expected a component")))?;
        // If the directory cannot be written to, every start takes longer, and nothing else.
        _ = write_cache(&cache, &key, &compiled);
        deserialize(engine, &compiled).map_err(wrong)
    }

    /// Composes the component with its middleware. That takes milliseconds, while compiling takes seconds.
    fn compose(&self) -> Result<Vec<u8>, Error> {
        let wasm = self.read(&self.file)?;
        if self.middleware.is_empty() {
            return Ok(wasm);
        }
        let before = self.middleware.iter().map(|it| self.read(&self.root.join(&it.source)));
        let before: Vec<Vec<u8>> = before.collect::<Result<_, _>>()?;
        let parts = self.middleware.iter().zip(&before);
        let parts = parts.map(|(it, wasm)| Part { name: &it.name, wasm, inherits: &it.inherits });
        compose(&wasm, &parts.collect::<Vec<_>>()).map_err(|problem| self.error(problem))
    }

    /// Returns the cache file, next to the component's file, with a different name for each chain of middleware.
    fn cache(&self) -> PathBuf {
        if self.middleware.is_empty() {
            return self.file.with_extension("cwasm");
        }
        let mut names = blake3::Hasher::new();
        for it in self.middleware {
            names.update(format!("{:?}", (&it.source, &it.inherits)).as_bytes());
        }
        self.file.with_extension(format!("{}.cwasm", &names.finalize().to_hex()[..8]))
    }
}

/// Identifies the wasm together with everything in the engine that affects the compiled code.
fn cache_key(engine: &Engine, wasm: &[u8]) -> blake3::Hash {
    struct Feed(blake3::Hasher);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut feed);
    feed.0.update(wasm);
    feed.0.finalize()
}

/// Reads a cache file: the key, the hash of the code, the code.
fn read_cache(engine: &Engine, cache: &Path, key: &blake3::Hash) -> Option<Component> {
    let file = fs::read(cache).ok()?;
    let code = cached_code(&file, key)?;
    deserialize(engine, code).ok()
}

fn cached_code<'a>(file: &'a [u8], key: &blake3::Hash) -> Option<&'a [u8]> {
    let (found_key, rest) = file.split_first_chunk::<HASH>()?;
    let (found_hash, code) = rest.split_first_chunk::<HASH>()?;
    (*key == *found_key && blake3::hash(code) == *found_hash).then_some(code)
}

/// Waits until nobody else writes this cache file; `None` if that cannot be known.
fn turn(cache: &Path) -> Option<File> {
    let lock = File::create(cache.with_extension("cwasm.lock")).ok()?;
    lock.lock().ok().map(|()| lock)
}

/// Writes under another name first, so that a reader sees the old file or the new one, never a part.
fn write_cache(cache: &Path, key: &blake3::Hash, code: &[u8]) -> std::io::Result<()> {
    let part = cache.with_extension(format!("cwasm.{}.part", std::process::id()));
    let file = [key.as_bytes(), blake3::hash(code).as_bytes(), code].concat();
    fs::write(&part, file)
        .and_then(|()| fs::rename(&part, cache))
        .inspect_err(|_| drop(fs::remove_file(&part)))
}

#[expect(unsafe_code, reason = "loading code that was compiled before is unsafe by nature")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` must come unchanged from `precompile_component`. Here it either just came from
    // there, or from a file that this module wrote with a hash that was compared again on reading, so that any damage
    // is found; code of another version, target or configuration is refused by the engine itself.
    // What remains is a file forged on purpose: whoever can write next to the wasm file is trusted like
    // whoever builds it. That is a build directory, which contains programs of the same user anyway.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("spindrift-loader-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn source<'a>(id: &'a str, file: &Path) -> Source<'a> {
        Source { id, root: Path::new("."), file: file.to_owned(), middleware: &[] }
    }

    #[test]
    fn what_fails_is_tried_again_so_often_and_no_more() {
        for (succeeds_at, most, expected) in [(1, 1, Ok(1)), (3, 3, Ok(3)), (4, 3, Err(3)), (2, 5, Ok(2))] {
            let mut calls = 0;
            let found = attempts(most, || {
                calls += 1;
                if calls >= succeeds_at { Ok(calls) } else { Err(calls) }
            });
            assert_eq!(found, expected, "{succeeds_at} {most}");
        }
    }

    #[test]
    fn a_damaged_or_foreign_cache_is_not_used() {
        let key = blake3::hash(b"key");
        let file = [key.as_bytes(), blake3::hash(b"code").as_bytes(), b"code".as_slice()].concat();
        assert_eq!(cached_code(&file, &key), Some(b"code".as_slice()));
        assert_eq!(cached_code(&file, &blake3::hash(b"other")), None);
        assert_eq!(cached_code(&file[..file.len() - 1], &key), None);
        assert_eq!(cached_code(&file[..40], &key), None);
        let mut damaged = file;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(cached_code(&damaged, &key), None);
    }

    #[test]
    fn a_second_load_comes_from_the_cache_and_a_broken_one_is_repaired() {
        let engine = crate::runtime::engine::engine().unwrap();
        let directory = directory("repair");
        let (wasm, cache) = (directory.join("c.wasm"), directory.join("c.cwasm"));
        fs::write(&wasm, EMPTY_COMPONENT).unwrap();
        let load = || load(&engine, &source("c", &wasm));
        load().unwrap();
        let good = fs::read(&cache).unwrap();
        assert!(read_cache(&engine, &cache, &cache_key(&engine, EMPTY_COMPONENT)).is_some());
        fs::write(&cache, &good[..good.len() / 2]).unwrap();
        load().unwrap();
        assert!(fs::read(&cache).unwrap() == good);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_is_not_a_component_is_said_with_its_name() {
        let engine = crate::runtime::engine::engine().unwrap();
        let directory = directory("wrong");
        let wasm = directory.join("c.wasm");
        let load = || load(&engine, &source("gateway", &wasm));
        let message = load().unwrap_err().to_string();
        assert!(message.contains("gateway") && message.contains("c.wasm"), "{message}");
        fs::write(&wasm, b"not wasm").unwrap();
        assert!(load().unwrap_err().to_string().contains("expected a component"));
        fs::remove_dir_all(&directory).unwrap();
    }
}
