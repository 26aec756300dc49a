//! How the adapter authenticates to one gateway, and when that changed on disk.
//!
//! Invariant: secrets are read from files at the moment of connecting and never shown.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use salvor_proto::registry::v1::{GatewayCredentials, gateway_credentials::Method};
use tonic::metadata::{Ascii, MetadataValue};

use super::{Error, TlsError, tls::ClientTls};

/// A token longer than this is no token, in bytes.
const MAX_TOKEN: u64 = 64 << 10;

/// The registry's statement of how to authenticate: files by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Credentials(pub Option<GatewayCredentials>);

/// What the files looked like: another stamp means that the connection must be made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileStamp(Vec<Option<(SystemTime, u64)>>);

// === impl Credentials ===

impl Credentials {
    fn method(&self) -> Option<&Method> {
        self.0.as_ref().and_then(|credentials| credentials.method.as_ref())
    }

    fn files(&self) -> Vec<&str> {
        let all = match self.method() {
            Some(Method::MutualTls(tls)) => {
                vec![tls.ca_file.as_str(), &tls.certificate_file, &tls.key_file]
            }
            Some(Method::BearerToken(bearer)) => vec![bearer.token_file.as_str(), &bearer.ca_file],
            None => Vec::new(),
        };
        all.into_iter().filter(|file| !file.is_empty()).collect()
    }

    /// What the files look like now.
    pub(crate) fn stamp(&self) -> FileStamp {
        let stamp = |file: &str| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        FileStamp(self.files().into_iter().map(stamp).collect())
    }

    /// The TLS material, if these credentials have any.
    pub(super) fn tls(&self) -> Result<Option<ClientTls>, TlsError> {
        match self.method() {
            Some(Method::MutualTls(tls)) => {
                let identity = (tls.certificate_file.as_str(), tls.key_file.as_str());
                ClientTls::load(&tls.ca_file, Some(identity)).map(Some)
            }
            Some(Method::BearerToken(bearer)) if !bearer.ca_file.is_empty() => {
                ClientTls::load(&bearer.ca_file, None).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The `authorization` metadata, read from the token file.
    pub(super) fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Error> {
        let Some(Method::BearerToken(bearer)) = self.method() else {
            return Ok(None);
        };
        let failed = |problem: String| Error::Token { path: bearer.token_file.clone(), problem };
        let token = read_token(Path::new(&bearer.token_file)).map_err(failed)?;
        let mut value = MetadataValue::<Ascii>::try_from(format!("Bearer {token}"))
            .map_err(|_| failed("it holds characters that no header may hold".into()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn read_token(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_TOKEN {
        return Err(format!("it is {size} bytes long; at most {MAX_TOKEN} are read"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = text.trim();
    if token.is_empty() { Err("it is empty".into()) } else { Ok(token.to_owned()) }
}

#[cfg(test)]
mod tests {
    use salvor_proto::registry::v1::BearerToken;

    use super::*;

    fn bearer(token_file: &Path) -> Credentials {
        let token_file = token_file.display().to_string();
        let bearer = BearerToken { token_file, ca_file: String::new() };
        Credentials(Some(GatewayCredentials { method: Some(Method::BearerToken(bearer)) }))
    }

    #[test]
    fn a_token_is_trimmed_and_marked_as_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "hunter2\n").unwrap();
        let value = bearer(&file).authorization().unwrap().unwrap();
        assert_eq!(value, "Bearer hunter2");
        assert!(!format!("{value:?}").contains("hunter2"));
    }

    #[test]
    fn an_unusable_token_file_is_named_and_its_content_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        for content in [None, Some(" \n"), Some("hunter2\u{1}x")] {
            if let Some(content) = content {
                fs::write(&file, content).unwrap();
            }
            let error = bearer(&file).authorization().unwrap_err().to_string();
            assert!(error.contains("token") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_changed_file_changes_the_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let credentials = bearer(&file);
        let missing = credentials.stamp();
        fs::write(&file, "one").unwrap();
        let one = credentials.stamp();
        fs::write(&file, "three").unwrap();
        assert!(missing != one && one != credentials.stamp());
        assert_eq!(credentials.stamp(), credentials.stamp());
    }
}
