//! Page tokens: where a list goes on, sealed.
//!
//! Invariant: a token is taken only from the registry that made it, for the list that it was made for. Deliberately absent:
//! any state kept between pages.

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::seal::{KeyRing, Sealed};

const CONTEXT: &[u8] = b"page token";
/// A token of ours is far shorter.
const MAX_TOKEN: usize = 4096;

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last name shown.
    pub(crate) after: String,
    /// The revision that all pages show.
    pub(crate) revision: i64,
}

// === impl Position ===

impl Position {
    pub(crate) fn new(after: impl Into<String>, revision: i64) -> Self {
        Self { after: after.into(), revision }
    }

    /// The token of this position in the list that `request` describes.
    pub(crate) fn token(&self, keys: &KeyRing, request: &[&str]) -> Result<String, Error> {
        let plain = serde_json::to_vec(&(&self.after, self.revision))
            .map_err(|_| Error::Defect("a page token"))?;
        let sealed = keys.seal(&[CONTEXT, &fingerprint(request)], &plain)?;
        Ok(format!("{}.{}", sealed.key_id, hex::encode(sealed.bytes)))
    }

    /// The position of `token`, if it is of a list that `request` describes.
    pub(crate) fn read(token: &str, keys: &KeyRing, request: &[&str]) -> Result<Self, Error> {
        let refused = || {
            let problem = "is not the next_page_token of this list; list again without it, with \
                           every other field as before";
            Error::invalid("page_token", problem)
        };
        if token.len() > MAX_TOKEN {
            return Err(refused());
        }
        let (key_id, bytes) = token.split_once('.').ok_or_else(refused)?;
        let bytes = hex::decode(bytes).map_err(|_| refused())?;
        let sealed = Sealed { key_id: key_id.into(), bytes };
        let plain = keys.open(&[CONTEXT, &fingerprint(request)], &sealed).map_err(|_| refused())?;
        let (after, revision) =
            serde_json::from_slice::<(String, i64)>(&plain).map_err(|_| refused())?;
        Ok(Self::new(after, revision))
    }
}

fn fingerprint(request: &[&str]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in request {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        let keys = KeyRing::parse(&"ab".repeat(32)).unwrap();
        let position = Position::new("gateways/g/workspaces/w/sandboxes/s", 42);
        let token = position.token(&keys, &["list", "10"]).unwrap();
        assert_eq!(Position::read(&token, &keys, &["list", "10"]).unwrap(), position);
        let foreign = KeyRing::parse(&"cd".repeat(32)).unwrap();
        assert!(Position::read(&token, &foreign, &["list", "10"]).is_err());
        for request in [&["list", "11"][..], &["list1", "0"], &["list"]] {
            assert!(Position::read(&token, &keys, request).is_err(), "{request:?}");
        }
        for nonsense in
            ["x", "", "1.2", "zz.zz", &token[1..], &token.replace('.', ""), &"a.b".repeat(5000)]
        {
            assert!(Position::read(nonsense, &keys, &["list", "10"]).is_err(), "{nonsense:.40}");
        }
    }
}
