//! "Did you mean": the known word that is closest to a mistyped one.

/// Returns the candidate of which `word` is most likely a misspelling, if any is close enough.
pub(super) fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // A third of the letters may differ, but at most three.
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the letters to be inserted, removed, replaced or swapped with their neighbour; `-` and `_` are
/// the same letter.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| -> Vec<char> {
        text.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognised_and_another_word_is_not() {
        let known = ["ttl", "mode", "default_ttl", "stale_if_error", "route"];
        for (typed, meant) in [
            ("tll", Some("ttl")),
            ("TTL", Some("ttl")),
            ("modes", Some("mode")),
            ("default-ttl", Some("default_ttl")),
            ("stale_on_error", Some("stale_if_error")),
            ("routes", Some("route")),
            ("password", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(closest(typed, &known), meant, "{typed}");
        }
    }
}
