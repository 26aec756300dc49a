//! Sealing at rest: XChaCha20-Poly1305 under a ring of keys.
//!
//! Invariant: sealed bytes open only under the key that sealed them and only in the context that they were sealed for, so
//! that they cannot be moved from one record or field to another. Key material is in no `Debug`, error or log.
//! Deliberately absent: deriving keys from passwords, and forgetting a key that still opens something.

mod source;

use std::fmt;

use chacha20poly1305::aead::{Aead, Generate, Key as AeadKey, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

pub(crate) use source::load;

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// Why bytes cannot be sealed or opened, or a ring cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ring lacks the key.
    #[error("the seal key {key_id} is not in the key ring")]
    KeyMissing {
        /// Which one; an id says nothing of the key.
        key_id: String,
    },
    /// The bytes were changed, or sealed for something else.
    #[error("the sealed bytes are damaged or belong to something else")]
    Damaged,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
    /// Not a key ring.
    #[error("a seal key must be 64 hexadecimal digits; entry {entry} is not")]
    Malformed {
        /// Which entry, from 1.
        entry: usize,
    },
    /// Not one key.
    #[error("the key ring is empty; make a key with `openssl rand -hex 32`")]
    Empty,
    /// The key file cannot be read or made.
    #[error("cannot {action} the seal key file {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// Bytes that only the key ring opens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// The key that opens them.
    pub(crate) key_id: String,
    /// Nonce, then ciphertext with its tag.
    pub(crate) bytes: Vec<u8>,
}

/// Keys by id: the first one seals, all of them open.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

// === impl KeyRing ===

impl KeyRing {
    /// Reads keys of 64 hexadecimal digits, separated by white space or commas. `#` begins a comment that ends its line.
    ///
    /// # Errors
    /// No key, or one that is not of that form. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let entries = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(|line| line.split([',', ' ', '\t', '\r']))
            .filter(|entry| !entry.is_empty());
        let keys = entries
            .enumerate()
            .map(|(index, entry)| Key::parse(entry).ok_or(Error::Malformed { entry: index + 1 }))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self { keys })
    }

    /// Whether it holds the key of that id.
    pub(crate) fn holds(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.id == key_id)
    }

    /// Seals `plain` for `context` under the first key.
    pub(crate) fn seal(&self, context: &[&[u8]], plain: &[u8]) -> Result<Sealed, Error> {
        let key = self.keys.first().ok_or(Error::Empty)?;
        let nonce = XNonce::try_generate().map_err(|_| Error::Random)?;
        let aad = associated(context);
        let payload = Payload { msg: plain, aad: &aad };
        let ciphertext = key.cipher.encrypt(&nonce, payload).map_err(|_| Error::Damaged)?;
        let mut bytes = nonce.to_vec();
        bytes.extend(ciphertext);
        Ok(Sealed { key_id: key.id.clone(), bytes })
    }

    /// Opens what [`seal`](Self::seal) made for the same `context`.
    pub(crate) fn open(&self, context: &[&[u8]], sealed: &Sealed) -> Result<Vec<u8>, Error> {
        let missing = || Error::KeyMissing { key_id: sealed.key_id.clone() };
        let key = self.keys.iter().find(|key| key.id == sealed.key_id).ok_or_else(missing)?;
        let (nonce, ciphertext) =
            sealed.bytes.split_at_checked(NONCE_BYTES).ok_or(Error::Damaged)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| Error::Damaged)?;
        let aad = associated(context);
        let payload = Payload { msg: ciphertext, aad: &aad };
        key.cipher.decrypt(&nonce, payload).map_err(|_| Error::Damaged)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes sealed by {}]", self.bytes.len(), self.key_id)
    }
}

// === impl Key ===

impl Key {
    fn parse(hexadecimal: &str) -> Option<Self> {
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(hexadecimal, &mut bytes).ok()?;
        let id = Sha256::new().chain_update(b"salvor seal key id\0").chain_update(bytes).finalize();
        let key = AeadKey::<XChaCha20Poly1305>::from(bytes);
        Some(Self { id: hex::encode(&id[..8]), cipher: XChaCha20Poly1305::new(&key) })
    }
}

/// The parts, each led by its length, so that no two contexts give the same bytes.
fn associated(context: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"salvor.registry.v1".to_vec();
    for part in context {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(*part);
    }
    bytes
}

#[cfg(test)]
mod tests;
