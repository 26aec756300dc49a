//! Who could call a server, and whether that is permitted.

use std::net::SocketAddr;

use super::Error;
use crate::tls::ServerTls;

/// How callers of a server are authenticated and heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// Encrypted; callers are not authenticated.
    Tls,
    /// Encrypted, and callers show a certificate.
    MutualTls,
}

impl Security {
    /// What `tls` amounts to.
    pub fn of(tls: Option<&ServerTls>) -> Self {
        match tls {
            None => Self::Plaintext,
            Some(tls) if tls.is_mutual() => Self::MutualTls,
            Some(_) => Self::Tls,
        }
    }
}

/// Permits loopback always, any other address with mutual TLS, and everything if `insecure`
/// (`--insecure-plaintext-beyond-loopback`) is given.
///
/// # Errors
/// [`Error::Exposed`] for anything else.
pub fn check_exposure(
    address: SocketAddr,
    security: Security,
    insecure: bool,
) -> Result<(), Error> {
    let loopback = address.ip().to_canonical().is_loopback();
    if loopback || insecure || security == Security::MutualTls {
        Ok(())
    } else {
        Err(Error::Exposed { address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_mutual_tls_or_the_flag_permit_an_address() {
        use Security::{MutualTls, Plaintext, Tls};
        let loopback = ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"];
        let exposed = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1"];
        for address in loopback {
            for security in [Plaintext, Tls, MutualTls] {
                assert!(check_exposure(address.parse().unwrap(), security, false).is_ok());
            }
        }
        for address in exposed {
            for (security, insecure, permitted) in [
                (Plaintext, false, false),
                (Tls, false, false),
                (MutualTls, false, true),
                (Plaintext, true, true),
                (Tls, true, true),
            ] {
                let checked = check_exposure(address.parse().unwrap(), security, insecure);
                assert_eq!(checked.is_ok(), permitted, "{address} {security:?} {insecure}");
            }
        }
    }

    #[test]
    fn the_refusal_names_the_address_and_every_way_out() {
        let address = "10.0.0.1:7301".parse().unwrap();
        let text = check_exposure(address, Security::Tls, false).unwrap_err().to_string();
        for part in ["10.0.0.1:7301", "127.0.0.1", "--tls-client-ca", "--insecure-plaintext-beyond"]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}
