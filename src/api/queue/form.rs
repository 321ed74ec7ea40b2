//! Checking the members of requests.

use super::super::call::Call;
use crate::env::Env;
use crate::job::{BadData, Data, MAX_DATA};
use crate::problem::Problem;
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::ops::RangeInclusive;
use std::time::Duration;

/// 400 for an invalid request.
pub(super) fn bad(problem: &impl ToString) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, problem.to_string())
}

/// Checks a number of seconds, possibly with a fraction, against bounds; rounds up to a millisecond.
pub(super) fn seconds(
    name: &str,
    value: Option<f64>,
    bounds: &RangeInclusive<Duration>,
) -> Result<Option<Duration>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let duration = Duration::try_from_secs_f64((value * 1000.0).ceil() / 1000.0).ok();
    match duration.filter(|duration| bounds.contains(duration)) {
        Some(duration) => Ok(Some(duration)),
        None => {
            let (low, high) = (bounds.start().as_secs_f64(), bounds.end().as_secs_f64());
            Err(bad(&format!("{name}: expected {low} to {high} seconds, found {value}")))
        }
    }
}

/// Checks a whole number against bounds.
pub(super) fn whole(
    name: &str,
    value: Option<u64>,
    bounds: RangeInclusive<u16>,
) -> Result<Option<u16>, Problem> {
    let Some(value) = value else { return Ok(None) };
    match u16::try_from(value).ok().filter(|number| bounds.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => {
            let (low, high) = (bounds.start(), bounds.end());
            Err(bad(&format!("{name}: expected a number from {low} to {high}, found {value}")))
        }
    }
}

/// Parses a number in the query.
pub(super) fn number<E: Env>(call: &Call<'_, E>, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = call.query(name) else { return Ok(None) };
    match text.parse::<u64>().ok().filter(|number| *number <= 1 << 53) {
        Some(number) => Ok(Some(number)),
        None => Err(bad(&format!("{name}: expected a number in the query, found {text:?}"))),
    }
}

/// Checks the data of a job; it must be present, though it may be `null`.
pub(super) fn data(place: &str, value: Option<&RawValue>, limit: usize) -> Result<Data, Problem> {
    let Some(value) = value else {
        return Err(bad(&format!("{place}data: expected any JSON, found none")));
    };
    let size = value.get().len();
    if size > limit {
        let detail = format!("{place}data: expected at most {limit} bytes, found {size}");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Data::raw(value).map_err(|error| match error {
        BadData::TooLarge(size) => {
            let detail = format!("{place}data: expected at most {MAX_DATA} bytes, found {size}");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        BadData::Json(error) => bad(&error),
    })
}

/// Deserializes a member of any type, in which `null` is not the same as missing.
pub(super) fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_bounded_and_rounded_up() {
        let bounds = Duration::ZERO..=Duration::from_secs(20);
        let read =
            |value| seconds("wait", Some(value), &bounds).map_err(|problem| problem.detail().to_owned());
        assert_eq!(read(0.0005), Ok(Some(Duration::from_millis(1))));
        assert_eq!(read(20.0), Ok(Some(Duration::from_secs(20))));
        for wrong in [-1.0, 20.001, f64::NAN, f64::INFINITY, 1e300] {
            let said = read(wrong).unwrap_err();
            assert!(said.starts_with("wait: expected 0 to 20 seconds, found "), "{said}");
        }
    }

    #[test]
    fn null_is_data_and_nothing_is_not() {
        #[derive(Deserialize)]
        struct Has {
            #[serde(default, deserialize_with = "there")]
            data: Option<Box<RawValue>>,
        }
        let read = |text: &str| serde_json::from_str::<Has>(text).unwrap().data;
        assert_eq!(read(r#"{"data":null}"#).unwrap().get(), "null");
        assert!(read("{}").is_none());
    }
}
