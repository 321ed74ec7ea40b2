//! `[values]`: the key-value cache.

use super::policy::above_max;
use super::table::Table;
use super::value::{duration, size};
use crate::value::ValueLimits;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Reads the table.
pub(super) fn read(mut table: Table<'_, '_>) -> ValueLimits {
    let default = ValueLimits::default();
    let longest = Duration::from_secs(1)..=365 * DAY;
    let max_size = table.read("max_size", size(1..=16 << 20)).unwrap_or(default.max_size);
    let max_ttl = table.read("max_ttl", duration(longest.clone())).unwrap_or(default.max_ttl);
    let shortest = Duration::from_millis(1)..=*longest.end();
    let default_ttl = table.read("default_ttl", duration(shortest));
    if let Some(time) = default_ttl.filter(|time| *time > max_ttl) {
        table.fail("default_ttl", above_max(time, "values.max_ttl", max_ttl));
    }
    table.finish(|key| match key {
        "ttl" => Some("each value is set with its own ttl; default_ttl is for values set without one"),
        _ => None,
    });
    ValueLimits { max_size, default_ttl: default_ttl.unwrap_or(default.default_ttl.min(max_ttl)), max_ttl }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<ValueLimits, String> {
        Config::parse(text, "f").map(|config| config.values).map_err(|errors| errors.to_string())
    }

    #[test]
    fn values_have_bounds() {
        assert_eq!(parse(""), Ok(ValueLimits::default()));
        let text = "[values]\nmax_size = \"64KiB\"\ndefault_ttl = \"5m\"\nmax_ttl = \"1d\"";
        let expected =
            ValueLimits { max_size: 64 << 10, default_ttl: Duration::from_secs(300), max_ttl: DAY };
        assert_eq!(parse(text), Ok(expected));
        let short = parse("[values]\nmax_ttl = \"1m\"").unwrap();
        assert_eq!(short.default_ttl, Duration::from_secs(60));
    }

    #[test]
    fn what_is_out_of_bounds_is_said() {
        for (text, expected) in [
            ("max_size = \"17MiB\"", "values.max_size: expected from 1 to 16777216 bytes"),
            ("max_ttl = \"366d\"", "values.max_ttl: expected a duration from"),
            ("default_ttl = \"0s\"", "values.default_ttl: expected a duration from"),
            (
                "max_ttl = \"1h\"\ndefault_ttl = \"2h\"",
                "values.default_ttl: expected at most values.max_ttl, which is \"1h\", found \"2h\"",
            ),
            ("ttl = \"1h\"", "each value is set with its own"),
        ] {
            let error = parse(&format!("[values]\n{text}")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
