//! Guessing is slowed: in five minutes ten attempts per account, and a hundred per address that did not succeed.
//!
//! The address is asked first. Who is stopped there touches no account: a stopped address can lock nobody out,
//! and can make no more than its hundred counters. Of IPv6 an address is the first 64 bits, since whoever has
//! one has them all; a thousand are allowed to the first 48, which is what a customer is given.
//!
//! Everything is counted before the password is looked at, so that many guesses at once are counted one by one;
//! an account is counted whether or not it exists. A success is counted beside the attempts of an address: a
//! whole office signs in from one in the morning. Both counts belong to one window of the clock, so that no
//! success is ever set against attempts of another. Without the counters nobody signs in.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Timestamp;

use crate::Idp;
use crate::error::IdpError;

const WINDOW: Duration = Duration::from_secs(5 * 60);
const PER_ACCOUNT: u64 = 10;
const PER_ADDRESS: u64 = 100;
const PER_SITE: u64 = 1_000;

/// An attempt that is being made, counted.
pub(crate) struct Attempt {
    account: String,
    networks: Vec<Network>,
}

/// Why an attempt is not made.
pub(crate) struct Throttled {
    /// As the fact says it.
    pub(crate) reason: &'static str,
    pub(crate) retry_after: Duration,
    /// Whether it is the first of its window: the one that leaves a trace.
    pub(crate) first: bool,
}

/// Counts an attempt at an account, named by its folded user name.
pub(crate) async fn begin(
    idp: &Idp,
    account: &str,
    address: IpAddr,
) -> Result<Result<Attempt, Throttled>, IdpError> {
    let now = idp.ctx().now();
    let networks = networks_of(address, now);
    for network in &networks {
        let failed = network.begin(idp).await?;
        if failed > network.most {
            let (reason, retry_after) = ("throttled-address", rest_of_window(now));
            return Ok(Err(Throttled { reason, retry_after, first: failed == network.most + 1 }));
        }
    }
    let account = of_account(account);
    let attempts = idp.ephemeral.count(&account, WINDOW).await?;
    if attempts > PER_ACCOUNT {
        let first = attempts == PER_ACCOUNT + 1;
        return Ok(Err(Throttled { reason: "throttled-account", retry_after: WINDOW, first }));
    }
    Ok(Ok(Attempt { account, networks }))
}

impl Attempt {
    /// Forgives it: the owner of the account has come.
    pub(crate) async fn succeeded(self, idp: &Idp) -> Result<(), IdpError> {
        idp.ephemeral.forget(&self.account).await?;
        self.is_no_guess(idp).await
    }

    /// Takes it back from the address: nothing was learned about a password.
    pub(crate) async fn is_no_guess(self, idp: &Idp) -> Result<(), IdpError> {
        for network in &self.networks {
            idp.ephemeral.count(&network.key("succeeded"), WINDOW).await?;
        }
        Ok(())
    }
}

/// Addresses that count as one, in one window.
struct Network {
    name: String,
    window: i64,
    most: u64,
}

impl Network {
    /// Counts an attempt; answers how many have not succeeded, those that are being made among them.
    async fn begin(&self, idp: &Idp) -> Result<u64, IdpError> {
        let succeeded = idp.ephemeral.get(&self.key("succeeded")).await?;
        let succeeded: u64 = succeeded.and_then(|count| count.parse().ok()).unwrap_or(0);
        let begun = idp.ephemeral.count(&self.key("begun"), WINDOW).await?;
        Ok(begun.saturating_sub(succeeded))
    }

    fn key(&self, what: &str) -> String {
        format!("sign-in:{what}:{}:{}", self.window, self.name)
    }
}

/// The widest first.
fn networks_of(address: IpAddr, now: Timestamp) -> Vec<Network> {
    let window = now.as_secs().div_euclid(WINDOW.as_secs().cast_signed());
    let network = |name, most| Network { name, window, most };
    match address.to_canonical() {
        IpAddr::V4(v4) => vec![network(v4.to_string(), PER_ADDRESS)],
        IpAddr::V6(v6) => vec![
            network(format!("{:x}/48", v6.to_bits() >> 80), PER_SITE),
            network(format!("{:x}/64", v6.to_bits() >> 64), PER_ADDRESS),
        ],
    }
}

fn rest_of_window(now: Timestamp) -> Duration {
    let window = WINDOW.as_secs().cast_signed();
    Duration::from_secs((window - now.as_secs().rem_euclid(window)).unsigned_abs())
}

/// Hashed: names are of any length, and somebody may type a password there.
fn of_account(account: &str) -> String {
    format!("sign-in:account:{}", URL_SAFE_NO_PAD.encode(kernel::sha256(account.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(address: &str) -> Vec<String> {
        let networks = networks_of(address.parse().unwrap(), Timestamp::from_secs(301));
        networks.iter().map(|network| network.key("begun")).collect()
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_site_is_many() {
        assert_eq!(keys("2001:db8::1"), keys("2001:db8::ffff:1"));
        let (one, two) = (keys("2001:db8::1"), keys("2001:db8:0:1::1"));
        assert_eq!((one[0] == two[0], one[1] == two[1]), (true, false), "one site, two networks");
        assert_ne!(one[0], keys("2001:db8:1::1")[0]);
        assert_ne!(keys("192.0.2.1"), keys("192.0.2.2"));
        assert_eq!(keys("::ffff:192.0.2.1"), keys("192.0.2.1"), "the same by another spelling");
    }

    #[test]
    fn a_window_ends_when_it_says() {
        for (at, rest) in [(0, 300), (1, 299), (299, 1), (300, 300), (-1, 1)] {
            assert_eq!(rest_of_window(Timestamp::from_secs(at)).as_secs(), rest, "{at}");
        }
    }
}
