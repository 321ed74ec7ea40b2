//! The purge ledger, as one instance knows it.
//!
//! Redis holds its head (`id:seq:floor`) and the purged targets, scored by their number. A stored response
//! carries the head's `id` and `seq` from before it was fetched ([`LedgerMark`]). It is purged if a later
//! entry of the ledger matches it, and also if that cannot be known any more: another `id` means that the
//! ledger was lost; a `seq` below `floor`, that entries were dropped to keep the ledger short; and if the
//! entry of its last purge is missing, the ledger has lost its entries.

use super::Target;
use super::globs::Globs;
use crate::cache::entry::LedgerMark;
use crate::config::glob;
use std::collections::HashMap;

/// The head of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The identity of the ledger, and the number of its last purge.
    pub mark: LedgerMark,
    /// Anything older may have been purged by an entry that was dropped.
    pub floor: u64,
}

impl Head {
    /// Reads `id:seq:floor`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (id, seq, floor) = (parts.next()?, parts.next()?, parts.next()?);
        let mark = LedgerMark { id: id.to_owned(), seq: seq.parse().ok()? };
        Some(Self { mark, floor: floor.parse().ok()? })
    }
}

/// Whether a stored response was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purged {
    /// It was not.
    No,
    /// It counts as stale.
    Soft,
    /// It counts as gone.
    Hard,
}

/// What is judged by a ledger: a stored response, or a value.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The mark of the ledger from before it was fetched.
    pub mark: &'a LedgerMark,
    /// `scheme://authority/path?query`, or the key of a value.
    pub url: &'a str,
    /// Its tags.
    pub tags: &'a [String],
}

/// The entries of the ledger that an instance has read.
#[derive(Debug, Default)]
pub struct Ledger {
    known: LedgerMark,
    exact: HashMap<String, Numbers>,
    patterns: HashMap<String, Numbers>,
    prefixes: HashMap<String, Numbers>,
    keys: Globs<Numbers>,
    /// Whether any entry purges a URL with every query.
    any_query: bool,
    /// Anything older may have been purged by an entry that is not known here, because Redis lost it or it was dropped from
    /// the ledger.
    lost: u64,
    /// The number of entries read since dropped entries were last forgotten here.
    read: usize,
}

/// After this many entries read, entries that were dropped from the ledger are forgotten here, too.
const FORGET_EVERY: usize = 1000;

/// The numbers of the last soft and the last hard purge of a target.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    soft: u64,
    hard: u64,
}

impl Ledger {
    /// Returns the number from which the ledger must be read before an entry with `mark` can be judged against
    /// `head`; `None` if nothing is missing.
    #[must_use]
    pub fn missing(&self, head: &Head, mark: &LedgerMark) -> Option<u64> {
        if mark.id != head.mark.id || mark.seq >= head.mark.seq {
            return None;
        }
        let known = if self.known.id == head.mark.id { self.known.seq } else { 0 };
        (known < head.mark.seq).then_some(known)
    }

    /// Adds the `entries` that were read, each with its number, of the ledger with this `head`.
    pub fn learn(&mut self, head: &Head, entries: Vec<(String, u64)>) {
        if self.known.id != head.mark.id {
            *self = Self { known: LedgerMark { id: head.mark.id.clone(), seq: 0 }, ..Self::default() };
        }
        self.known.seq = self.known.seq.max(head.mark.seq);
        // The entry of the last purge is always among those read, unless Redis has evicted the entries.
        if entries.iter().all(|&(_, number)| number < head.mark.seq) {
            self.lost = head.mark.seq;
        }
        self.read += entries.len();
        for (member, number) in entries {
            self.known.seq = self.known.seq.max(number);
            self.note(&member, number);
        }
        self.forget(head.floor);
    }

    /// Forgets targets that were dropped from the ledger: whatever they purged is older than its floor.
    fn forget(&mut self, floor: u64) {
        if self.read < FORGET_EVERY || floor <= self.lost {
            return;
        }
        (self.read, self.lost) = (0, floor);
        let counts = |numbers: &Numbers| numbers.soft.max(numbers.hard) > floor;
        for targets in [&mut self.exact, &mut self.patterns, &mut self.prefixes] {
            targets.retain(|_, numbers| counts(numbers));
        }
        self.keys.retain(counts);
    }

    fn note(&mut self, member: &str, number: u64) {
        let Some((head, text)) = member.split_at_checked(2) else { return };
        let (kind, soft) = (&head[..1], &head[1..] == "s");
        let numbers = match kind {
            "g" => self.patterns.entry(text.to_owned()).or_default(),
            "x" => self.prefixes.entry(text.to_owned()).or_default(),
            "k" => self.keys.entry(text),
            _ => {
                self.any_query |= kind == "q";
                self.exact.entry(format!("{kind}{text}")).or_default()
            }
        };
        let slot = if soft { &mut numbers.soft } else { &mut numbers.hard };
        *slot = number.max(*slot);
    }

    /// Judges `subject` against `head`, once nothing is [`Ledger::missing`].
    #[must_use]
    pub fn judge(&self, head: &Head, subject: Subject<'_>) -> Purged {
        let mark = subject.mark;
        if mark.id != head.mark.id || mark.seq < head.floor.max(self.lost) {
            return Purged::Hard;
        }
        if mark.seq >= head.mark.seq {
            return Purged::No;
        }
        let tags = subject.tags.iter().filter_map(|tag| self.exact.get(&format!("t{tag}")));
        let path = self.exact.get(&format!("p{}", path_of(subject.url)));
        let url = self.exact.get(&format!("u{}", without_scheme(subject.url)));
        let queries = self.any_query.then(|| self.of_any_query(subject.url)).into_iter().flatten();
        let patterns = self.patterns.iter().filter(|(pattern, _)| pattern_matches(pattern, subject.url));
        let prefixes = self.prefixes.iter().filter(|(prefix, _)| prefix_matches(prefix, subject.url));
        let keys = self.keys.matching(subject.url, |numbers| numbers.since(mark.seq) != Purged::No);
        tags.chain(path)
            .chain(url)
            .chain(keys)
            .chain(queries)
            .chain(patterns.chain(prefixes).map(|(_, numbers)| numbers))
            .map(|numbers| numbers.since(mark.seq))
            .max()
            .unwrap_or(Purged::No)
    }
}

impl Ledger {
    /// Returns the purges of `url` with every query, on its host or on all.
    fn of_any_query(&self, url: &str) -> impl Iterator<Item = &Numbers> {
        let bare = without_scheme(url).split('?').next().unwrap_or_default();
        [format!("q{bare}"), format!("q{}", path_of(bare))].into_iter().filter_map(|key| self.exact.get(&key))
    }
}

impl Numbers {
    const fn since(self, seq: u64) -> Purged {
        if self.hard > seq {
            Purged::Hard
        } else if self.soft > seq {
            Purged::Soft
        } else {
            Purged::No
        }
    }
}

/// Returns the ledger entry of a target: its kind, `h` for hard or `s` for soft, its text. `None` for a URL:
/// a hard purge drops its own key; for a soft one there is [`soft_url`].
#[must_use]
pub fn member(target: &Target, soft: bool) -> Option<String> {
    let (kind, text) = match target {
        Target::Url(_) => return None,
        Target::Path(path) => ('p', path),
        Target::Tag(tag) => ('t', tag),
        Target::Pattern(pattern) => ('g', pattern),
        Target::Prefix(prefix) => ('x', prefix),
    };
    Some(format!("{kind}{}{text}", if soft { 's' } else { 'h' }))
}

/// Returns the ledger entry for a glob over the keys of values.
#[must_use]
pub fn key_pattern(pattern: &str) -> String {
    format!("kh{pattern}")
}

/// Returns the ledger entry for a soft purge of a URL, under http and https alike.
#[must_use]
pub fn soft_url(url: &str) -> String {
    format!("us{}", without_scheme(url))
}

/// Returns the ledger entry that purges a URL, or a path on every host, with every query.
#[must_use]
pub fn any_query(url: &str, soft: bool) -> String {
    let bare = without_scheme(url).split('?').next().unwrap_or_default();
    format!("q{}{bare}", if soft { 's' } else { 'h' })
}

/// Returns whether a pattern matches a URL, under http or https: behind a proxy that terminates
/// TLS, users see another scheme than Spindrift does.
fn pattern_matches(pattern: &str, url: &str) -> bool {
    ["http", "https"]
        .iter()
        .any(|scheme| glob::matches(pattern, &format!("{scheme}://{}", without_scheme(url))))
}

fn prefix_matches(prefix: &str, url: &str) -> bool {
    if prefix.starts_with('/') {
        path_of(url).starts_with(prefix)
    } else {
        without_scheme(url).starts_with(without_scheme(prefix))
    }
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

fn path_of(url: &str) -> &str {
    let rest = without_scheme(url);
    rest.find('/').map_or("/", |at| &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(seq: u64) -> LedgerMark {
        LedgerMark { id: "a1".to_owned(), seq }
    }

    fn head(seq: u64) -> Head {
        Head { mark: mark(seq), floor: 0 }
    }

    fn judged(target: &Target, soft: bool, url: &str, tags: &[&str]) -> Purged {
        let mut ledger = Ledger::default();
        ledger.learn(&head(5), vec![(member(target, soft).unwrap(), 5)]);
        let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
        ledger.judge(&head(5), Subject { mark: &mark(4), url, tags: &tags })
    }

    #[test]
    fn tags_are_compared_whole() {
        let purge = Target::Tag("a".to_owned());
        assert_eq!(judged(&purge, false, "http://h/", &["a"]), Purged::Hard);
        for other in ["ab", "a/b", "A", "", "a*", "a,b"] {
            assert_eq!(judged(&purge, false, "http://h/", &[other]), Purged::No, "{other}");
        }
    }

    #[test]
    fn patterns_and_prefixes_cover_both_schemes() {
        let pattern = |text: &str| Target::Pattern(text.to_owned());
        let prefix = |text: &str| Target::Prefix(text.to_owned());
        let hit = |target, url| judged(&target, false, url, &[]) == Purged::Hard;
        assert!(hit(pattern("https://h/img/*"), "http://h/img/1.png"));
        assert!(hit(pattern("*.png"), "http://h/img/1.png"));
        assert!(!hit(pattern("http://h/img/?"), "http://h/img/12"));
        assert!(hit(prefix("http://h/a"), "https://h/ab?c"));
        assert!(hit(prefix("/a"), "http://any/abc"));
        assert!(!hit(prefix("/a"), "http://any/b/a"));
        assert!(!hit(prefix("/a*"), "http://any/abc"));
        assert!(hit(prefix("/a*"), "http://any/a*c"));
        assert!(hit(prefix("/a?x"), "http://any/a?xy"));
        assert!(!hit(prefix("/a?x"), "http://any/abxy"));
    }

    #[test]
    fn a_path_means_every_host_and_counts_whole() {
        let path = Target::Path("/a?b".to_owned());
        assert_eq!(judged(&path, false, "http://one/a?b", &[]), Purged::Hard);
        assert_eq!(judged(&path, true, "https://two/a?b", &[]), Purged::Soft);
        assert_eq!(judged(&path, false, "http://one/a", &[]), Purged::No);
        assert_eq!(judged(&path, false, "http://one/a?bc", &[]), Purged::No);
    }

    #[test]
    fn a_url_may_be_purged_with_every_query_and_nothing_beside_it() {
        let judged = |member: String, url| {
            let mut ledger = Ledger::default();
            ledger.learn(&head(5), vec![(member, 5)]);
            ledger.judge(&head(5), Subject { mark: &mark(4), url, tags: &[] })
        };
        for (purged, url, is) in [
            ("http://h/a?x", "https://h/a", Purged::Hard),
            ("http://h/a", "http://h/a?y=1", Purged::Hard),
            ("http://h/a", "http://h/a/b?y", Purged::No),
            ("http://h/a", "http://other/a", Purged::No),
            ("http://h", "http://h/?x", Purged::No),
            ("/a?x", "http://any/a?y", Purged::Hard),
            ("/a", "http://any/b?/a", Purged::No),
        ] {
            assert_eq!(judged(any_query(purged, false), url), is, "{purged} {url}");
        }
        assert_eq!(judged(any_query("http://h/a", true), "http://h/a?y"), Purged::Soft);
    }

    #[test]
    fn only_purges_after_the_fetch_began_count() {
        let mut ledger = Ledger::default();
        ledger.learn(&head(5), vec![("tha".to_owned(), 3), ("thb".to_owned(), 5)]);
        let tags = ["a".to_owned()];
        let at = |seq| ledger.judge(&head(5), Subject { mark: &mark(seq), url: "http://h/", tags: &tags });
        assert_eq!((at(2), at(3), at(5)), (Purged::Hard, Purged::No, Purged::No));
    }

    #[test]
    fn what_a_lost_or_shortened_ledger_cannot_prove_is_purged() {
        let ledger = Ledger::default();
        let subject = |mark| Subject { mark, url: "http://h/", tags: &[] };
        let other = LedgerMark { id: "b2".to_owned(), seq: 9 };
        assert_eq!(ledger.judge(&head(5), subject(&other)), Purged::Hard);
        let short = Head { mark: mark(5), floor: 3 };
        assert_eq!(ledger.judge(&short, subject(&mark(2))), Purged::Hard);
    }

    #[test]
    fn what_lost_entries_may_have_purged_is_purged() {
        let mut ledger = Ledger::default();
        ledger.learn(&head(5), vec![]);
        let at = |ledger: &Ledger, seq, now| {
            ledger.judge(&head(now), Subject { mark: &mark(seq), url: "http://h/", tags: &[] })
        };
        assert_eq!((at(&ledger, 4, 5), at(&ledger, 5, 5)), (Purged::Hard, Purged::No));
        ledger.learn(&head(6), vec![("tha".to_owned(), 6)]);
        assert_eq!((at(&ledger, 4, 6), at(&ledger, 5, 6)), (Purged::Hard, Purged::No));
    }

    #[test]
    fn entries_that_were_lost_without_their_head_are_noticed() {
        let mut ledger = Ledger::default();
        ledger.learn(&head(5), vec![("tha".to_owned(), 3)]);
        let judged = |ledger: &Ledger, seq| {
            ledger.judge(&head(5), Subject { mark: &mark(seq), url: "http://h/", tags: &[] })
        };
        assert_eq!((judged(&ledger, 4), judged(&ledger, 5)), (Purged::Hard, Purged::No));
        let mut empty = Ledger::default();
        empty.learn(&head(5), vec![]);
        assert_eq!(judged(&empty, 4), Purged::Hard);
    }

    #[test]
    fn targets_that_left_the_ledger_are_forgotten() {
        let mut ledger = Ledger::default();
        for seq in 1..=50_000u32 {
            let kind = ["th", "gh", "xh", "kh"][seq as usize % 4];
            let (seq, member) = (u64::from(seq), format!("{kind}{seq}*"));
            let head = Head { mark: mark(seq), floor: seq.saturating_sub(10_000) };
            ledger.learn(&head, vec![(member, seq)]);
        }
        let known = [&ledger.exact, &ledger.patterns, &ledger.prefixes].map(HashMap::len);
        assert!(known.iter().all(|known| (2_500..2_800).contains(known)), "{known:?}");
        let tags = ["40008*".to_owned(), "40004*".to_owned()];
        let at = |floor, seq, url| {
            let head = Head { mark: mark(50_000), floor };
            ledger.judge(&head, Subject { mark: &mark(seq), url, tags: &tags })
        };
        assert_eq!((at(40_000, 40_007, ""), at(40_000, 40_008, "")), (Purged::Hard, Purged::No));
        assert_eq!((at(40_000, 40_010, "40011"), at(40_000, 40_011, "40011")), (Purged::Hard, Purged::No));
        assert_eq!(at(0, 4, ""), Purged::Hard, "a head that was read before makes nothing good");
    }

    #[test]
    fn only_what_is_new_is_read() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.missing(&head(0), &mark(0)), None);
        assert_eq!(ledger.missing(&head(5), &mark(4)), Some(0));
        assert_eq!(ledger.missing(&head(5), &mark(5)), None);
        ledger.learn(&head(5), vec![("tha".to_owned(), 5)]);
        assert_eq!(ledger.missing(&head(5), &mark(4)), None);
        assert_eq!(ledger.missing(&head(7), &mark(4)), Some(5));
    }
}
