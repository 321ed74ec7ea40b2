//! A token for the management API, for this session, if none is set.

use std::fs::File;
use std::io::Read;

use crate::failure::{Context, Result};
use crate::variables::Variables;

/// Sets a token if there is none; returns the token that it made.
pub(super) fn provide(variables: &mut Variables) -> Result<Option<String>> {
    if variables.get("admin_token").is_some() {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .cannot("read /dev/urandom")?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    variables.set("admin_token", &token);
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once() {
        let mut variables = Variables::default();
        let token = provide(&mut variables).unwrap();
        assert_eq!(token.as_ref().map(String::len), Some(32));
        assert_eq!(variables.get("admin_token"), token);
        assert_eq!(provide(&mut variables).unwrap(), None);
    }
}
