//! Where a status came from: the gateway's own words, or a connection that broke on the way.
//!
//! tonic hides TLS failures and refused connections behind UNAVAILABLE; the truth is in the
//! chain of sources. Invariant: a status without a source is the peer's.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;
use tonic::{ConnectError, Status};

/// Who made a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// It came over the wire, or was made from an answer that did.
    Peer,
    /// No connection could be made, so nothing was sent.
    Connect,
    /// The TLS handshake failed. The server never took a request.
    Tls,
    /// The connection broke while the request was on its way or under work.
    Transport,
}

/// How TLS alerts read when only their text is left.
const TLS_TEXTS: [&str; 3] =
    ["received fatal alert", "invalid peer certificate", "received corrupt message"];

/// Walks the chain of sources.
pub(crate) fn origin(status: &Status) -> Origin {
    let Some(first) = status.source() else {
        return Origin::Peer;
    };
    let mut connect = false;
    for cause in chain(first) {
        if is_tls(cause) {
            return Origin::Tls;
        }
        connect |= cause.is::<ConnectError>();
    }
    if connect { Origin::Connect } else { Origin::Transport }
}

/// The status's message, and the innermost cause where that says more.
pub(super) fn text(status: &Status) -> String {
    let innermost = status.source().and_then(|first| chain(first).last().map(ToString::to_string));
    match innermost {
        Some(cause) if !status.message().contains(&cause) => {
            format!("{}: {cause}", status.message())
        }
        _ => status.message().to_owned(),
    }
}

fn chain<'a>(first: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(first), |error| inner(*error))
}

/// An I/O error's own source skips the error that it wraps.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
}

fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    if cause.is::<rustls::Error>() || cause.is::<crate::transport::TlsError>() {
        return true;
    }
    let text = cause.to_string();
    TLS_TEXTS.iter().any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn with_source(source: impl Error + Send + Sync + 'static) -> Status {
        let mut status = Status::unavailable("tcp connect error");
        status.set_source(Arc::new(source));
        status
    }

    #[test]
    fn a_status_without_a_source_is_the_peers() {
        assert_eq!(origin(&Status::unavailable("received fatal alert")), Origin::Peer);
    }

    #[test]
    fn tls_is_found_inside_an_io_error() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let status = with_source(io::Error::new(io::ErrorKind::InvalidData, alert));
        assert_eq!(origin(&status), Origin::Tls);
        assert!(text(&status).contains("CertificateRequired"), "{}", text(&status));
    }

    #[test]
    fn any_other_broken_connection_is_the_transports() {
        let status = with_source(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(origin(&status), Origin::Transport);
    }
}
