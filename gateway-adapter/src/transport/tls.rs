//! TLS to gateways: files, verification, and which authority it was.
//!
//! Invariant: a certificate is accepted only by webpki against one authority of the given file,
//! and that authority's digest is remembered. Deliberately absent: system roots.

use std::fmt;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
};

/// Why TLS cannot be, or was not, set up. Names files, never their content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// `https` without an authority to trust.
    #[error("the endpoint is https and no certificate authority is given for it")]
    NoAuthority,
    /// TLS material for a plaintext endpoint.
    #[error("TLS files are given, and the endpoint is not https")]
    Plaintext,
    /// A file that cannot be used.
    #[error("cannot use {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The library refuses the material.
    #[error("the TLS files do not fit together: {0}")]
    Material(String),
    /// The handshake took too long.
    #[error("the TLS handshake did not end in time")]
    Timeout,
    /// The handshake failed, or the server refused right after it.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

/// A client's TLS settings with one authority's worth of memory.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    verifier: Arc<Authorities>,
}

/// Tries each authority by itself, so that it is known which one signed.
#[derive(Debug)]
struct Authorities {
    each: Vec<(String, Arc<WebPkiServerVerifier>)>,
    accepted: Mutex<Option<String>>,
}

// === impl ClientTls ===

impl ClientTls {
    /// Loads an authority file and, for mutual TLS, certificate and key.
    pub(crate) fn load(ca: &str, identity: Option<(&str, &str)>) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Authorities::load(ca, &provider)?);
        let shared = Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| material(&error))?
            .dangerous()
            .with_custom_certificate_verifier(shared);
        let mut config = match identity {
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = private_key(key)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| material(&error))?
            }
            None => builder.with_no_client_auth(),
        };
        // A resumed session would not be verified again, and the authority not be seen.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// The authority that the last verified certificate was signed by.
    pub(crate) fn accepted(&self) -> Option<String> {
        self.verifier.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connector that offers `protocol` by ALPN.
    pub(super) fn connector(&self, protocol: &[u8]) -> TlsConnector {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

// === impl Authorities ===

impl Authorities {
    fn load(path: &str, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut each = Vec::new();
        for certificate in certificates(path)? {
            let digest = hex::encode(Sha256::digest(&certificate));
            let mut roots = RootCertStore::empty();
            roots.add(certificate).map_err(|error| file(path, &error))?;
            let provider = Arc::clone(provider);
            let one = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| file(path, &error))?;
            each.push((digest, one));
        }
        Ok(Self { each, accepted: Mutex::new(None) })
    }

    fn any(&self) -> Result<&WebPkiServerVerifier, RustlsError> {
        let first = self.each.first().ok_or(CertificateError::UnknownIssuer)?;
        Ok(&first.1)
    }
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let mut refusal = RustlsError::from(CertificateError::UnknownIssuer);
        for (digest, one) in &self.each {
            let verified =
                one.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            match verified {
                Ok(verified) => {
                    let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
                    *accepted = Some(digest.clone());
                    return Ok(verified);
                }
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.any()?.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.any()?.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any().map(WebPkiServerVerifier::supported_verify_schemes).unwrap_or_default()
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = fs::read(path).map_err(|error| file(path, &error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|_| file(path, &"it is not valid PEM"))?;
    if all.is_empty() {
        return Err(file(path, &"it holds no PEM certificate"));
    }
    Ok(all)
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = fs::read(path).map_err(|error| file(path, &error))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| file(path, &"it holds no PEM private key"))
}

fn file(path: &str, problem: &dyn fmt::Display) -> Error {
    Error::File { path: path.to_owned(), problem: problem.to_string() }
}

fn material(error: &RustlsError) -> Error {
    Error::Material(error.to_string())
}
