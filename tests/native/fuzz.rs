//! The fuzz targets on their corpora, and on some variations of these. Given more time, cargo-fuzz finds more.

#[path = "../../fuzz/src/targets/mod.rs"]
#[allow(unreachable_pub, reason = "it is the library of another crate")]
mod targets;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::PathBuf;

/// How many variations of its corpus each target is given.
const VARIATIONS: usize = 300;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(directory().join("corpus").join(name));
    let files = files.unwrap_or_else(|error| panic!("the corpus of {name}: {error}"));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Bytes that have a meaning for one parser or another.
const ODD: &[u8] = b"\0\n\r\",;:=*%&-/.\xff 09aZ";

/// SplitMix64, so that a failure can be reproduced.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Changes `input` a little: a bit, a byte, a piece, or the end of another input.
    fn vary(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len() + 1);
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 => input.insert(at, ODD[self.below(ODD.len())]),
            2 => input.truncate(at),
            3 => drop(input.drain(at..(at + self.below(8)).min(input.len()))),
            4 => {
                let piece = input[at..(at + 1 + self.below(16)).min(input.len())].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, piece.into_iter().cycle().take(64).collect::<Vec<_>>());
            }
            5 => {
                input.truncate(at);
                input.extend_from_slice(&other[self.below(other.len() + 1)..]);
            }
            _ => input.splice(at..at, self.next().to_be_bytes()).for_each(drop),
        }
    }
}

fn run(name: &str, target: targets::Target, input: &[u8]) {
    let failed = catch_unwind(|| target(input)).is_err();
    assert!(!failed, "{name}: {}", input.escape_ascii());
}

#[test]
fn no_parser_panics_on_its_corpus_or_on_variations_of_it() {
    for (number, (name, target)) in targets::ALL.iter().enumerate() {
        let seeds = corpus(name);
        let mut random = Random(number as u64);
        seeds.iter().for_each(|seed| run(name, *target, seed));
        for _ in 0..VARIATIONS {
            let mut input = seeds[random.below(seeds.len())].clone();
            let other = &seeds[random.below(seeds.len())];
            for _ in 0..=random.below(4) {
                random.vary(&mut input, other);
            }
            input.truncate(4096);
            run(name, *target, &input);
        }
    }
}

#[test]
fn every_target_has_a_program_a_corpus_and_its_line_in_the_manifest() {
    let named: BTreeSet<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named.len(), targets::ALL.len());
    let stems = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(directory().join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(stems("fuzz_targets"), named);
    assert_eq!(stems("corpus"), named);
    let manifest = std::fs::read_to_string(directory().join("Cargo.toml")).unwrap();
    for name in &named {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(!corpus(name).is_empty(), "{name}");
    }
}
