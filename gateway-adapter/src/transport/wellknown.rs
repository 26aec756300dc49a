//! The discovery documents that a gateway with signing keys serves on its primary port.
//!
//! Invariant: "not served" is told apart from "could not be read", because an identity that was
//! pinned must not be taken for gone when it merely could not be read.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::connector::{BoxError, Target};

/// The largest document that is read, in bytes.
const MAX_DOCUMENT: usize = 64 << 10;
/// For both documents together.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What the documents say; empty where they are not served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Documents {
    /// `issuer` of the discovery document.
    pub issuer: String,
    /// `kid` of the first key.
    pub signing_key_id: String,
}

/// The documents could not be read, which says nothing about them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the discovery documents: {0}")]
pub(crate) struct Error(String);

#[derive(Deserialize)]
struct Discovery {
    #[serde(default)]
    issuer: String,
}

#[derive(Deserialize)]
struct KeySet {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    kid: String,
}

pub(super) async fn fetch(target: &Target) -> Result<Documents, Error> {
    let reading = async {
        let discovery = get(target, "/.well-known/openid-configuration").await?;
        let keys = get(target, "/.well-known/jwks.json").await?;
        let issuer = parsed::<Discovery>(discovery)?.map(|document| document.issuer);
        let keys = parsed::<KeySet>(keys)?.map(|set| set.keys).unwrap_or_default();
        Ok(Documents {
            issuer: issuer.unwrap_or_default(),
            signing_key_id: keys.into_iter().next().map(|key| key.kid).unwrap_or_default(),
        })
    };
    let late = || Error(format!("no answer within {} ms", TIMEOUT.as_millis()));
    tokio::time::timeout(TIMEOUT, reading).await.map_err(|_| late())?
}

fn parsed<T: for<'de> Deserialize<'de>>(document: Option<Bytes>) -> Result<Option<T>, Error> {
    let Some(bytes) = document else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(failed)
}

/// The document's bytes; `None` if the gateway says that it has none.
async fn get(target: &Target, path: &str) -> Result<Option<Bytes>, Error> {
    let stream = target.connect(b"http/1.1").await.map_err(failed)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = Request::get(path)
        .header("host", target.host_text())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(failed)?;
    let driver = tokio::spawn(connection);
    let answer = read(&mut sender, request, path).await;
    driver.abort();
    answer
}

async fn read(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    path: &str,
) -> Result<Option<Bytes>, Error> {
    let response = sender.send_request(request).await.map_err(failed)?;
    match response.status() {
        StatusCode::OK => {
            let body = Limited::new(response.into_body(), MAX_DOCUMENT);
            let body = body.collect().await.map_err(failed)?;
            Ok(Some(body.to_bytes()))
        }
        StatusCode::NOT_FOUND => Ok(None),
        status => Err(Error(format!("{path} answered {status}"))),
    }
}

fn failed(error: impl Into<BoxError>) -> Error {
    Error(error.into().to_string())
}
