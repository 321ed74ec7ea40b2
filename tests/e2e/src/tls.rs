//! A certificate that is not signed by an authority.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A certificate for 127.0.0.1 and its key, in files that are removed with this value.
pub(crate) struct Certificate {
    directory: PathBuf,
}

impl Certificate {
    /// Generates one.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("spindrift-e2e-tls-{}-{number}", std::process::id()));
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { directory }
    }

    /// The options with which a Redis server uses it at `port`.
    pub(crate) fn options(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.directory.join(name).display().to_string();
        let (certificate, key, port) = (file("cert.pem"), file("key.pem"), port.to_string());
        let options = [
            ("--tls-port", &port),
            ("--tls-cert-file", &certificate),
            ("--tls-key-file", &key),
            ("--tls-ca-cert-file", &certificate),
        ];
        let all = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.clone()]);
        all.chain(["--tls-auth-clients", "no"].map(str::to_owned)).collect()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.directory);
    }
}
