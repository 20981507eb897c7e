//! Which addresses belong to everybody, and which to a house, a machine or nobody.
//!
//! From IANA's registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), with what they point into
//! when they carry an IPv4 address: mapped, 6to4, Teredo, NAT64.

use std::net::IpAddr;
use std::sync::LazyLock;

use crate::Networks;

/// Of the addresses that look public, those that are not.
const CLOSED: &[&str] = &[
    "0.0.0.0/8",       // this network
    "10.0.0.0/8",      // private
    "100.64.0.0/10",   // shared by a provider's customers (CGNAT)
    "127.0.0.0/8",     // loopback
    "169.254.0.0/16",  // link-local; clouds keep their metadata there
    "172.16.0.0/12",   // private
    "192.0.0.0/24",    // protocol assignments
    "192.0.2.0/24",    // documentation
    "192.88.99.0/24",  // 6to4 relays
    "192.168.0.0/16",  // private
    "198.18.0.0/15",   // benchmarks
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/4",     // multicast
    "240.0.0.0/4",     // reserved, and broadcast
    "2001::/23",       // protocol assignments, Teredo among them
    "2001:db8::/32",   // documentation
    "2002::/16",       // 6to4
    "3fff::/20",       // documentation
];

/// Global unicast: IPv6 that is outside it is loopback, unique local, link-local, multicast, mapped or NAT64.
const OPEN_V6: &[&str] = &["2000::/3"];

static CLOSED_NETWORKS: LazyLock<Networks> = LazyLock::new(|| fixed(CLOSED));
static OPEN_V6_NETWORKS: LazyLock<Networks> = LazyLock::new(|| fixed(OPEN_V6));

fn fixed(texts: &[&str]) -> Networks {
    // Fixed texts, which a test reads.
    Networks::parse(texts).expect("the tables hold networks")
}

/// Whether anybody in the world reaches the same machine by this address.
pub(super) fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let open = address.is_ipv4() || OPEN_V6_NETWORKS.hold(address);
    open && !address.is_unspecified() && !CLOSED_NETWORKS.hold(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str], expect: bool) {
        for text in texts {
            assert_eq!(is_public(text.parse().unwrap()), expect, "{text}");
        }
    }

    #[test]
    fn public_addresses_are_open() {
        check(&["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.215.14", "223.255.255.255"], true);
        check(&["100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1"], true);
        check(&["172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "169.253.1.1"], true);
        check(&["198.17.255.255", "198.20.0.0", "192.0.1.0", "203.0.112.1", "203.0.114.1"], true);
        check(&["2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "3ffe::1"], true);
        check(&["::ffff:8.8.8.8"], true);
    }

    #[test]
    fn addresses_of_houses_machines_and_nobody_are_closed() {
        check(&["0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255"], false);
        check(&["127.0.0.1", "127.1.2.3", "127.255.255.255", "169.254.169.254", "172.16.0.1"], false);
        check(&["172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1"], false);
        check(&["198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"], false);
        check(&["239.255.255.255", "240.0.0.1", "255.255.255.255"], false);
        check(&["::", "::1", "fe80::1", "febf::1", "fc00::1", "fd00::1", "fec0::1", "ff02::1"], false);
        check(&["2001:db8::1", "3fff::1", "4000::1", "100::1", "5f00::1"], false);
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_opens_nothing() {
        check(&["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0"], false);
        check(&["::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"], false);
        check(&["2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378::1", "2001:20::1"], false);
    }
}
