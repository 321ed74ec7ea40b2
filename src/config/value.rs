//! Small parsers for the values of single keys, with messages that say what was expected and found.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// Units of time with their milliseconds, longest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size with their bytes.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

/// Parses a whole number with a unit: `250ms`, `30s`, `5m`, `1h` or `30d`.
///
/// `None` for anything else, including a sign, a fraction, a blank, or more than 2^64 ms.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    scaled(text, &TIME_UNITS).map(Duration::from_millis)
}

/// Parses a whole number of bytes with a unit: `512B`, `64KiB`, `32MiB`, `1GiB`, or the decimal `KB`, `MB`,
/// `GB`.
///
/// `None` for anything else and for more than 2^64 bytes.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    scaled(text, &SIZE_UNITS)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Formats a duration as in the configuration, in the longest unit that divides it.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit = TIME_UNITS.iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(u128::from(*factor)));
    unit.map_or_else(|| "0s".to_owned(), |(name, factor)| format!("{}{name}", millis / u128::from(*factor)))
}

/// Reads a duration within `bounds`.
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&DeValue<'_>) -> Result<Duration, String> {
    move |value| {
        let parsed = value.as_str().and_then(parse_duration);
        let Some(duration) = parsed else {
            return Err(expected("a duration like \"30s\", \"5m\" or \"1h\"", value));
        };
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        let (low, high) = (format_duration(*bounds.start()), format_duration(*bounds.end()));
        Err(expected(&format!("a duration from \"{low}\" to \"{high}\""), value))
    }
}

/// Reads a duration within `bounds` that counts in whole seconds, as in the fields of responses: a fraction would be lost.
pub(super) fn seconds(bounds: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, String> {
    move |value| match duration(bounds.clone())(value)? {
        time if time.subsec_nanos() > 0 => Err(expected("whole seconds, like \"30s\"", value)),
        time => Ok(time),
    }
}

/// Reads a size in bytes within `bounds`.
pub(super) fn size(bounds: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Result<u64, String> {
    move |value| match value.as_str().and_then(parse_size) {
        Some(size) if bounds.contains(&size) => Ok(size),
        Some(_) => Err(expected(&format!("from {} to {} bytes", bounds.start(), bounds.end()), value)),
        None => Err(expected("a size like \"512KiB\" or \"32MiB\"", value)),
    }
}

/// Reads `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| expected("true or false", value))
}

/// Reads a whole number within `bounds`.
pub(super) fn integer(bounds: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Result<u64, String> {
    move |value| {
        value
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok())
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                expected(&format!("a whole number from {} to {}", bounds.start(), bounds.end()), value)
            })
    }
}

/// Reads a string that `parse` accepts; `what` names what is expected.
pub(super) fn string<T>(
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| value.as_str().and_then(&parse).ok_or_else(|| expected(what, value))
}

/// Reads any string; `what` names what is expected.
pub(super) fn text<'v>(what: &str, value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| expected(what, value))
}

/// Reads one of a fixed set of words.
pub(super) fn one_of<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let chosen = value.as_str().and_then(|text| choices.iter().find(|(word, _)| *word == text));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            expected(&words.join(" or "), value)
        })
    }
}

/// "expected X, found Y".
pub(super) fn expected(what: &str, found: &DeValue<'_>) -> String {
    format!("expected {what}, found {}", describe(found))
}

/// Describes a value for people: briefly, and without credentials.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => shown(text),
        DeValue::Integer(number) => format!("the number {}", cut(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", cut(&number.to_string())),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => format!("the date {value}"),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Quotes text from outside: escaped, cut to a readable length, and without possible credentials,
/// which are everything before an `@` if that contains a `:`.
pub(super) fn shown(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@').filter(|(before, _)| before.contains(':')) else {
        return format!("{:?}", cut(text));
    };
    let scheme = before.find("://").map_or("", |end| &before[..end + 3]);
    format!("{:?}", cut(&format!("{scheme}***@{after}")))
}

fn cut(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "5", "s", "5 m", "5 minutes", "-5s", "+5s", "1.5h", "1h30m", "99999999999999999999s", "5M"]
        {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_a_whole_number_and_a_unit() {
        assert_eq!(parse_size("32MiB"), Some(32 << 20));
        assert_eq!(parse_size("10MB"), Some(10_000_000));
        assert_eq!(parse_size("1B"), Some(1));
        for text in ["", "32", "32 MiB", "32mib", "MiB", "-1B", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_has_no_credentials_and_is_short() {
        assert_eq!(shown("redis://:hunter2@h/0"), "\"redis://***@h/0\"");
        assert_eq!(shown("redis://u:p@ss@h"), "\"redis://***@h\"");
        assert_eq!(shown("u:p@h//x"), "\"***@h//x\"");
        assert_eq!(shown("http:/u:p/w@h"), "\"***@h\"");
        assert_eq!(shown("/@user"), "\"/@user\"");
        assert!(shown(&"x".repeat(1000)).len() < 80);
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
    }

    proptest! {
        #[test]
        fn a_formatted_duration_parses_to_itself(millis in 0u64..=u64::MAX) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
