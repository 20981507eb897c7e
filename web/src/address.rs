//! Where a request comes from: the peer, or what a proxy that was named in the configuration says.
//!
//! What no proxy says is unknown, and an unknown address is nobody's: it lies in no network. Were it taken for
//! the proxy's own, a proxy that forgets its header would make everybody a colleague.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Stands for a client whose address is not known.
pub(crate) const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Networks that a configuration names: proxies whose `X-Forwarded-For` counts, or an organisation's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// An address with how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    bits: u128,
    length: u32,
}

/// The text is not an address or a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or network; write it like `10.0.0.7`, `10.0.0.0/8` or `fd00::/8`")]
pub struct NotANetwork(String);

impl Networks {
    /// From the texts of a configuration: addresses or networks.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, NotANetwork> {
        texts.iter().map(|text| text.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address lies in one of them. An unknown one (`0.0.0.0`) does not, whatever they are.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        if address == UNKNOWN {
            return false;
        }
        let bits = bits(address);
        self.0.iter().any(|network| network.holds(bits))
    }

    /// The client's address, these being the trusted proxies. `forwarded` are the values of `X-Forwarded-For` in
    /// the order of their lines.
    ///
    /// From the right, each hop that is trusted vouches for the one before it; the first that is not is the
    /// client. Whatever stands to the left of it was written by the client and means nothing. When a trusted
    /// hop names nobody, or what is no address, the client is [`UNKNOWN`].
    pub(crate) fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut hops = forwarded.rev().flat_map(|line| line.rsplit(','));
        let mut client = peer.to_canonical();
        while self.hold(client) {
            client = hops.next().and_then(|hop| address(hop.trim())).unwrap_or(UNKNOWN);
        }
        client
    }
}

/// An address as proxies write it, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address =
        bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))?;
    Some(address.to_canonical())
}

/// IPv4 as its IPv6-mapped form, so that one comparison serves both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Network {
    fn holds(self, bits: u128) -> bool {
        self.length == 0 || (self.bits ^ bits) >> (128 - self.length) == 0
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (start, length) =
            text.split_once('/').map_or((text, None), |(start, length)| (start, Some(length)));
        let start: IpAddr = start.parse().map_err(|_| wrong())?;
        let (longest, before) = if start.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = length.map_or(Ok(longest), str::parse::<u32>).map_err(|_| wrong())?;
        if length > longest {
            return Err(wrong());
        }
        Ok(Self { bits: bits(start), length: before + length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(proxies: &[&str], peer: &str, forwarded: &[&str], expect: &str) {
        let proxies = Networks::parse(proxies).unwrap();
        let client = proxies.client(peer.parse().unwrap(), forwarded.iter().copied());
        assert_eq!(client.to_string(), expect, "{proxies:?} {peer} {forwarded:?}");
    }

    #[test]
    fn a_header_counts_only_from_a_named_proxy() {
        check(&[], "192.0.2.1", &["203.0.113.9"], "192.0.2.1");
        check(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.9"], "192.0.2.1");
        check(&["10.0.0.0/8"], "10.1.2.3", &["203.0.113.9"], "203.0.113.9");
        check(&["fd00::/8"], "fd12::1", &["2001:db8::7"], "2001:db8::7");
        check(&["10.0.0.7"], "::ffff:10.0.0.7", &["203.0.113.9"], "203.0.113.9");
    }

    #[test]
    fn what_the_client_wrote_itself_means_nothing() {
        check(&["10.0.0.0/8"], "10.1.2.3", &["8.8.8.8, 203.0.113.9"], "203.0.113.9");
        check(&["10.0.0.0/8"], "10.1.2.3", &["8.8.8.8", "203.0.113.9"], "203.0.113.9");
        check(&["10.0.0.0/8"], "10.1.2.3", &["8.8.8.8, 203.0.113.9, 10.9.9.9"], "203.0.113.9");
    }

    #[test]
    fn whom_no_proxy_names_is_unknown_and_in_no_network() {
        for forwarded in [
            &[][..],
            &[""],
            &["unknown"],
            &["203.0.113.9, unknown"],
            &["203.0.113.9, "],
            &["203.0.113.9, _hidden, 10.9.9.9"],
            // Proxies all the way: the last of them says nothing.
            &["10.8.8.8, 10.9.9.9"],
        ] {
            check(&["10.0.0.0/8"], "10.1.2.3", forwarded, "0.0.0.0");
        }
        for all in ["0.0.0.0/0", "::/0", "0.0.0.0"] {
            assert!(!Networks::parse(&[all]).unwrap().hold(UNKNOWN), "{all}");
        }
    }

    #[test]
    fn proxies_may_add_the_port() {
        check(&["10.0.0.0/8"], "10.1.2.3", &["203.0.113.9:4711"], "203.0.113.9");
        check(&["10.0.0.0/8"], "10.1.2.3", &["[2001:db8::7]:4711"], "2001:db8::7");
        check(&["10.0.0.0/8"], "10.1.2.3", &["[2001:db8::7]"], "2001:db8::7");
    }

    #[test]
    fn networks_are_read_whole_or_not() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0/8", "::/129", "localhost"] {
            assert_eq!(Networks::parse(&[text]), Err(NotANetwork(text.into())));
        }
        // Where everybody is trusted, nobody is the client.
        check(&["0.0.0.0/0"], "10.1.2.3", &["203.0.113.9"], "0.0.0.0");
        check(&["0.0.0.0/0"], "fd12::1", &["203.0.113.9"], "fd12::1");
    }
}
