//! The data of a job.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The greatest size of a job's data, in bytes.
pub const MAX_DATA: usize = 256 * 1024;

/// The data of a job: any JSON of up to 256 KiB, kept byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data(Bytes);

/// Why something is not valid as the data of a job.
#[derive(Debug, thiserror::Error)]
pub enum BadData {
    /// It is larger than [`MAX_DATA`]; its size in bytes.
    #[error("expected at most {MAX_DATA} bytes of data, found {0}")]
    TooLarge(usize),
    /// It is not JSON, or not of the expected type.
    #[error("data: {0}")]
    Json(#[from] serde_json::Error),
}

impl Data {
    /// Serializes `value` as JSON.
    ///
    /// # Errors
    /// [`BadData`].
    pub fn json(value: &impl Serialize) -> Result<Self, BadData> {
        Self::checked(serde_json::to_vec(value)?.into())
    }

    /// Takes JSON text unchanged.
    ///
    /// # Errors
    /// [`BadData`].
    pub fn text(text: &str) -> Result<Self, BadData> {
        Self::raw(serde_json::from_str(text)?)
    }

    /// Takes JSON text that was validated before, unchanged.
    ///
    /// # Errors
    /// [`BadData::TooLarge`].
    pub fn raw(value: &RawValue) -> Result<Self, BadData> {
        Self::checked(Bytes::copy_from_slice(value.get().as_bytes()))
    }

    fn checked(bytes: Bytes) -> Result<Self, BadData> {
        if bytes.len() > MAX_DATA { Err(BadData::TooLarge(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// Takes what Redis returned.
    pub(super) fn stored(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// Returns the JSON text.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the JSON text as a value that serializes unchanged; `null` if it was damaged in Redis.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        serde_json::from_slice(&self.0).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    /// Deserializes it as `T`.
    ///
    /// # Errors
    /// [`BadData::Json`] when it does not have this type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, BadData> {
        Ok(serde_json::from_slice(&self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_byte_for_byte() {
        for text in ["null", "12345678901234567890123456789", "{\"b\":1, \"a\":1e400}", "\"\\u00e4\""] {
            let data = Data::text(text).unwrap();
            assert_eq!((data.bytes().as_ref(), data.to_raw().get()), (text.as_bytes(), text));
        }
        assert_eq!(Data::json(&("a", 1)).unwrap().parse::<(String, u8)>().unwrap(), ("a".to_owned(), 1));
    }

    #[test]
    fn what_is_no_json_or_too_large_is_refused() {
        assert!(matches!(Data::text("{"), Err(BadData::Json(_))));
        assert!(matches!(Data::text("1 2"), Err(BadData::Json(_))));
        assert!(Data::text(&format!("\"{}\"", "x".repeat(MAX_DATA - 2))).is_ok());
        let error = Data::text(&format!("\"{}\"", "x".repeat(MAX_DATA - 1))).unwrap_err();
        assert_eq!(error.to_string(), "expected at most 262144 bytes of data, found 262145");
    }
}
