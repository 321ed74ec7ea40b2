//! HTTP-date (RFC 9110 §5.6.7), in its three forms.
//!
//! ```text
//! IMF-fixdate   Sun, 06 Nov 1994 08:49:37 GMT
//! rfc850-date   Sunday, 06-Nov-94 08:49:37 GMT
//! asctime-date  Sun Nov  6 08:49:37 1994
//! ```
//! "Although all date formats are specified to be case-sensitive, a cache recipient SHOULD match the field value
//! case-insensitively" (RFC 9111 §4.2). Beyond that the parser is strict: what deviates from the grammar is no date, and a
//! zone other than GMT "SHOULD" make it invalid (§4.2). The day name must be a valid one, but need not fit the date.

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Parses a date to seconds since the Unix epoch; `None` for what is no date, and for dates before the epoch.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (day_name, rest) = text.split_at_checked(text.find([',', ' '])?)?;
    match rest.strip_prefix(", ") {
        Some(rest) if day_name.len() == 3 && is_day(day_name) => imf_fixdate(rest),
        Some(rest) if DAYS.contains(&day_name) => rfc850(rest),
        Some(_) => None,
        None if day_name.len() == 3 && is_day(day_name) => asctime(rest.strip_prefix(' ')?),
        None => None,
    }
}

fn is_day(short: &str) -> bool {
    DAYS.iter().any(|day| day.starts_with(short))
}

/// `06 nov 1994 08:49:37 gmt`
fn imf_fixdate(text: &str) -> Option<u64> {
    let [day, month, year, time] = split(text.strip_suffix(" gmt")?, ' ')?;
    seconds(number(year, 4)?, month, number(day, 2)?, time)
}

/// `06-nov-94 08:49:37 gmt`. The year has two digits; since nothing is older than the epoch, 70 to 99 belong to the
/// last century.
fn rfc850(text: &str) -> Option<u64> {
    let [date, time] = split(text.strip_suffix(" gmt")?, ' ')?;
    let [day, month, year] = split(date, '-')?;
    let year = number(year, 2)?;
    seconds(if year < 70 { 2000 + year } else { 1900 + year }, month, number(day, 2)?, time)
}

/// `nov  6 08:49:37 1994`, or with a two-digit day.
fn asctime(text: &str) -> Option<u64> {
    let (month, rest) = text.split_at_checked(3)?;
    let (day, rest) = rest.strip_prefix(' ')?.split_at_checked(2)?;
    let day = day.strip_prefix(' ').map_or_else(|| number(day, 2), |digit| number(digit, 1))?;
    let [time, year] = split(rest.strip_prefix(' ')?, ' ')?;
    seconds(number(year, 4)?, month, day, time)
}

/// Splits into exactly `N` parts.
fn split<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    let mut parts = text.split(separator);
    let mut found = [""; N];
    for part in &mut found {
        *part = parts.next()?;
    }
    parts.next().is_none().then_some(found)
}

/// A number of exactly `digits` digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    let valid = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten()
}

fn seconds(year: u64, month: &str, day: u64, time: &str) -> Option<u64> {
    let month = MONTHS.iter().position(|name| *name == month)?;
    let [hour, minute, second] = split(time, ':')?;
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    // 60 is a leap second.
    let valid = (1..=days_in(year, month)).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let days = days_before(year)?.checked_sub(days_before(1970)?)?
        + (0..month).map(|m| days_in(year, m)).sum::<u64>();
    valid.then(|| ((days + day - 1) * 24 + hour) * 3600 + minute * 60 + second)
}

/// Days from year 1 to the beginning of `year`.
const fn days_before(year: u64) -> Option<u64> {
    match year.checked_sub(1) {
        Some(whole) => Some(whole * 365 + whole / 4 - whole / 100 + whole / 400),
        None => None,
    }
}

/// `month` counts from 0.
const fn days_in(year: u64, month: usize) -> u64 {
    match month {
        1 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_point_in_all_three_forms_and_any_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 nov 1994 08:49:37 gMT",
            "sun nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
        assert_eq!(parse("Thu Aug 18 02:01:18 2050"), parse("Thu, 18 Aug 2050 02:01:18 GMT"));
        assert_eq!(parse("Thursday, 18-Aug-50 02:01:18 GMT"), parse("Thu, 18 Aug 2050 02:01:18 GMT"));
    }

    #[test]
    fn what_is_not_quite_a_date_is_none() {
        for text in [
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 2050 02:01:18 GMT+1",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thursday, 18 Aug 2050 02:01:18 GMT",
            "Xyz, 18 Aug 2050 02:01:18 GMT",
            "Thu, 31 Feb 2050 02:01:18 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 18 Aug 1950 02:01:18 GMT",
            "Thu Aug 8 02:01:18 2050",
            "Thu Aug 08 02:01:18 2050 GMT",
            "Thu, 18 Aug 0000 02:01:18 GMT",
            "0",
            "-1",
            "",
            ",",
            "é, 18 Aug 2050",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn leap_days_and_leap_seconds() {
        assert!(parse("Tue, 29 Feb 2000 00:00:00 GMT").is_some());
        assert!(parse("Mon, 29 Feb 2100 00:00:00 GMT").is_none());
        assert_eq!(parse("Sat, 31 Dec 2016 23:59:60 GMT"), parse("Sun, 01 Jan 2017 00:00:00 GMT"));
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0u64..253_402_300_800) {
            let written = crate::time::Timestamp::from_millis(seconds * 1000).to_http_date();
            prop_assert_eq!(parse(&written), Some(seconds));
        }

        #[test]
        fn nothing_panics(text in "\\PC*", day in 0u8..40, year in 0u32..12_000, month in "[A-Za-z]{3}") {
            let _ = parse(&text);
            let _ = parse(&format!("Sun, {day:02} {month} {year:04} 08:49:37 GMT"));
            let _ = parse(&format!("Sun {month} {day:2} 08:49:37 {year:04}"));
        }
    }
}
