//! A collection of many globs, indexed by their literal beginning, so that a text is compared with few of them.

use crate::config::glob;
use std::collections::{BTreeSet, HashMap};

/// Globs, each with a value.
#[derive(Debug)]
pub(super) struct Globs<T> {
    /// The globs by the text before their first wildcard.
    by_beginning: HashMap<String, Vec<(String, T)>>,
    /// The lengths of these beginnings, in bytes: few different ones, however many globs.
    lengths: BTreeSet<usize>,
}

impl<T> Default for Globs<T> {
    fn default() -> Self {
        Self { by_beginning: HashMap::new(), lengths: BTreeSet::new() }
    }
}

impl<T: Default> Globs<T> {
    /// Returns the value of `pattern`, adding it if necessary.
    pub(super) fn entry(&mut self, pattern: &str) -> &mut T {
        let beginning = &pattern[..pattern.find(['*', '?']).unwrap_or(pattern.len())];
        self.lengths.insert(beginning.len());
        let globs = self.by_beginning.entry(beginning.to_owned()).or_default();
        let at = globs.iter().position(|(glob, _)| glob == pattern).unwrap_or_else(|| {
            globs.push((pattern.to_owned(), T::default()));
            globs.len() - 1
        });
        &mut globs[at].1
    }

    /// Keeps only the globs for whose value `keep` is true.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.by_beginning.retain(|_, globs| {
            globs.retain(|(_, known)| keep(known));
            !globs.is_empty()
        });
        self.lengths = self.by_beginning.keys().map(String::len).collect();
    }

    /// Returns the values of the globs that match `text` and whose value is `wanted`.
    pub(super) fn matching<'a>(
        &'a self,
        text: &'a str,
        wanted: impl Fn(&T) -> bool + 'a,
    ) -> impl Iterator<Item = &'a T> + 'a {
        let beginnings = self.lengths.range(..=text.len()).filter_map(|length| text.get(..*length));
        let globs = beginnings.filter_map(|beginning| self.by_beginning.get(beginning)).flatten();
        globs.filter(move |(glob, known)| wanted(known) && glob::matches(glob, text)).map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_glob_is_kept_once() {
        let mut globs = Globs::<u32>::default();
        for _ in 0..3 {
            *globs.entry("user:*") += 1;
        }
        *globs.entry("user:?") = 9;
        assert_eq!(globs.matching("user:12", |_| true).collect::<Vec<_>>(), [&3]);
        assert_eq!(globs.matching("user:1", |known| *known > 3).collect::<Vec<_>>(), [&9]);
        globs.retain(|known| *known > 3);
        assert_eq!(globs.matching("user:1", |_| true).collect::<Vec<_>>(), [&9]);
        globs.retain(|_| false);
        assert!(globs.by_beginning.is_empty() && globs.lengths.is_empty());
    }

    proptest! {
        #[test]
        fn those_and_only_those_are_found_that_match(
            patterns in proptest::collection::vec("[aé:?*]{0,5}", 0..12), text in "[aé:]{0,6}",
        ) {
            let mut globs = Globs::<String>::default();
            for pattern in &patterns {
                globs.entry(pattern).clone_from(pattern);
            }
            let mut found: Vec<&String> = globs.matching(&text, |_| true).collect();
            let mut expected: Vec<&String> = patterns.iter().filter(|it| glob::matches(it, &text)).collect();
            expected.sort();
            expected.dedup();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
