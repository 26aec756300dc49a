//! TLS material from PEM files.
//!
//! Invariant: a file is checked when it is loaded, and an error names the file and what is wrong
//! with it, never its content. Deliberately absent: reloading; a new certificate needs a restart.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// Why TLS material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the {what} file {}", path.display())]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has no PEM section of the kind that is needed.
    #[error("{} holds no PEM {needed} (it is given as the {what} file)", path.display())]
    Missing {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The kind of section that is needed.
        needed: &'static str,
    },
    /// The file has a PEM section that is broken.
    #[error("{} is not valid PEM (it is given as the {what} file)", path.display())]
    NotPem {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Only one of certificate and key was given.
    #[error("{given} is given without {missing}; give both or neither")]
    Incomplete {
        /// The option that was given.
        given: &'static str,
        /// The option that is needed with it.
        missing: &'static str,
    },
}

/// Cryptography comes from ring. A library of another kind may be linked in as well (the S3 client brings one), and rustls
/// does not choose between two.
fn use_one_provider() {
    // Whoever was first has chosen: that is as good.
    drop(ring::default_provider().install_default());
}

/// What a server proves itself with, and whom it lets in.
#[derive(Clone)]
pub struct ServerTls {
    identity: Identity,
    client_ca: Option<Certificate>,
}

impl ServerTls {
    /// Loads certificate chain and key, and the authority that client certificates must come from.
    ///
    /// # Errors
    /// [`Error`], naming the file.
    pub fn load(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, Error> {
        Ok(Self {
            identity: identity(cert, key)?,
            client_ca: client_ca.map(|path| certificates("client CA", path)).transpose()?,
        })
    }

    /// Whether clients must show a certificate.
    pub fn is_mutual(&self) -> bool {
        self.client_ca.is_some()
    }

    pub(crate) fn config(self) -> ServerTlsConfig {
        use_one_provider();
        let config = ServerTlsConfig::new().identity(self.identity);
        match self.client_ca {
            Some(ca) => config.client_ca_root(ca),
            None => config,
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerTls")
            .field("mutual", &self.is_mutual())
            .finish_non_exhaustive()
    }
}

/// Whom a client trusts, and what it proves itself with.
#[derive(Clone, Default)]
pub struct ClientTls {
    ca: Option<Certificate>,
    identity: Option<Identity>,
    domain: Option<String>,
}

impl ClientTls {
    /// Loads the authority of the server's certificate and, for mutual TLS, the client's own
    /// certificate chain and key.
    ///
    /// # Errors
    /// [`Error`], naming the file.
    pub fn load(ca: &Path, identity_files: Option<(&Path, &Path)>) -> Result<Self, Error> {
        Ok(Self {
            ca: Some(certificates("server CA", ca)?),
            identity: identity_files.map(|(cert, key)| identity(cert, key)).transpose()?,
            domain: None,
        })
    }

    /// Expects this name in the server's certificate instead of the host of the address.
    #[must_use]
    pub fn domain_name(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    pub(crate) fn config(self) -> ClientTlsConfig {
        use_one_provider();
        let mut config = ClientTlsConfig::new();
        if let Some(ca) = self.ca {
            config = config.ca_certificate(ca);
        }
        if let Some(identity) = self.identity {
            config = config.identity(identity);
        }
        if let Some(domain) = self.domain {
            config = config.domain_name(domain);
        }
        config
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientTls")
            .field("identity", &self.identity.is_some())
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

fn identity(cert: &Path, key: &Path) -> Result<Identity, Error> {
    let cert_pem = read("certificate", cert)?;
    check_certificates("certificate", cert, &cert_pem)?;
    let key_pem = read("private key", key)?;
    match PrivateKeyDer::from_pem_slice(&key_pem) {
        Ok(_) => Ok(Identity::from_pem(cert_pem, key_pem)),
        Err(rustls_pki_types::pem::Error::NoItemsFound) => {
            Err(Error::Missing { what: "private key", path: key.into(), needed: "private key" })
        }
        Err(_) => Err(Error::NotPem { what: "private key", path: key.into() }),
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Certificate, Error> {
    let pem = read(what, path)?;
    check_certificates(what, path, &pem)?;
    Ok(Certificate::from_pem(pem))
}

fn check_certificates(what: &'static str, path: &Path, pem: &[u8]) -> Result<(), Error> {
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|_| Error::NotPem { what, path: path.into() })?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(Error::Missing { what, path: path.into(), needed: "certificate" })
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Unreadable { what, path: path.into(), source })
}

#[cfg(test)]
mod tests;
