//! Globs: `*` matches any number of bytes, `?` exactly one, everything else itself.

/// Returns whether `pattern` matches the whole of `text`, in which `*` and `?` are ordinary bytes.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    walk(pattern.as_bytes(), text.as_bytes(), |expected, found| expected == b'?' || expected == found)
}

/// Returns whether `pattern` surely matches everything that the pattern `other` matches.
///
/// Never wrongly true; false in a few cases that are hard to detect, such as `*?` over `?*`.
pub(super) fn covers(pattern: &str, other: &str) -> bool {
    walk(pattern.as_bytes(), other.as_bytes(), |expected, found| {
        // Only a `*` can match whatever the other pattern's `*` stands for.
        found != b'*' && (expected == b'?' || expected == found)
    })
}

/// Matches with a single backtracking point, the last `*`, without recursion.
fn walk(pattern: &[u8], text: &[u8], one: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                p += 1;
                star = Some((p, t));
            }
            (Some(&expected), _) if one(expected, text[t]) => (p, t) = (p + 1, t + 1),
            (_, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_glob_matches_the_whole_text() {
        for (pattern, text) in [
            ("/a", "/a"),
            ("/a/*", "/a/"),
            ("/a/*", "/a/b/c"),
            ("*.jpg", "/x.jpg.jpg"),
            ("/?", "/*"),
            ("*", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("/a", "/ab"), ("/a/*", "/a"), ("*.jpg", "/x.jpeg"), ("/?", "/"), ("", "/")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_glob_covers_a_narrower_one() {
        for (wide, narrow) in
            [("*", "/a/*"), ("/a/*", "/a/*"), ("/a/*", "/a/b?c*"), ("/?", "/b"), ("/*", "/"), ("/*x", "/a*x")]
        {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("/a/*", "/a*"), ("/?", "/*"), ("/b", "/?"), ("/a?", "/a*"), ("/a", "/b")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn what_a_covered_glob_matches_the_covering_one_matches(
            wide in "[ab?*]{0,6}", narrow in "[ab?*]{0,6}", text in "[ab]{0,6}",
        ) {
            prop_assert!(!(covers(&wide, &narrow) && matches(&narrow, &text)) || matches(&wide, &text));
        }
    }
}
