//! Whom to call: one address, or the replicas of one service as a list of addresses.
//!
//! Invariant: a list names each place once, and all of one scheme, so that one set of TLS files
//! fits all of it. Deliberately absent: looking up what is behind a name. Who wants its addresses
//! balanced lists them.

use http::Uri;

use super::Error;

/// More replicas than anybody runs, few enough to keep a connection to each.
const MOST: usize = 16;

/// One place where a service listens.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// As configured.
    pub(super) address: String,
    pub(super) uri: Uri,
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Peer {
    fn new(address: &str) -> Result<Self, Error> {
        let unusable = || Error::Address(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| unusable())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(unusable()),
        };
        let host = uri.host().ok_or_else(unusable)?.to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { address: address.to_owned(), uri, secure, host, port })
    }

    fn is_at(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

/// One peer for each address of a list that is separated by commas.
pub(super) fn parse(list: &str) -> Result<Vec<Peer>, Error> {
    let refuse = |problem: String| Error::Replicas { list: list.to_owned(), problem };
    let addresses: Vec<&str> = list.split(',').map(str::trim).collect();
    if let [address] = addresses[..] {
        return Ok(vec![Peer::new(address)?]);
    }
    if addresses.len() > MOST {
        return Err(refuse(format!("it has {} addresses; {MOST} is the most", addresses.len())));
    }
    let mut peers: Vec<Peer> = Vec::new();
    for (index, address) in addresses.into_iter().enumerate() {
        if address.is_empty() {
            return Err(refuse(format!("address {} of it is empty", index + 1)));
        }
        let peer = Peer::new(address)?;
        if let Some(first) = peers.first().filter(|first| first.secure != peer.secure) {
            let problem = format!("{} and {address} are not of the same scheme", first.address);
            return Err(refuse(problem));
        }
        if let Some(same) = peers.iter().find(|other| other.is_at(&peer)) {
            return Err(refuse(format!("{} and {address} are the same place", same.address)));
        }
        peers.push(peer);
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(list: &str) -> String {
        parse(list).unwrap_err().to_string()
    }

    #[test]
    fn a_list_is_its_addresses_in_their_order() {
        let peers = parse("https://a:7301, https://b ,https://[::1]:7301").unwrap();
        let seen: Vec<_> = peers.iter().map(|peer| (peer.host.as_str(), peer.port)).collect();
        assert_eq!(seen, [("a", 7301), ("b", 443), ("[::1]", 7301)]);
        assert!(peers.iter().all(|peer| peer.secure));
        assert_eq!(peers[1].address, "https://b");
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused_with_what_is_wrong_in_it() {
        for (list, problem) in [
            ("http://a:1,", "address 2 of it is empty"),
            (",http://a:1", "address 1 of it is empty"),
            ("http://a:1, ,http://b:1", "address 2 of it is empty"),
            ("http://a:1,https://b:1", "http://a:1 and https://b:1 are not of the same scheme"),
            ("http://a:80,http://b:1,http://A/", "http://a:80 and http://A/ are the same place"),
        ] {
            let text = refused(list);
            assert!(text.contains(&format!("{list:?}")) && text.ends_with(problem), "{text}");
        }
        assert!(refused("http://a:1,b:1").starts_with("\"b:1\" is not an address"));
    }

    #[test]
    fn a_list_has_a_bound() {
        let list = |count| {
            let addresses: Vec<_> =
                (0..count).map(|port| format!("http://a:{}", port + 1)).collect();
            addresses.join(",")
        };
        assert_eq!(parse(&list(MOST)).unwrap().len(), MOST);
        assert!(refused(&list(MOST + 1)).ends_with("it has 17 addresses; 16 is the most"));
    }
}
