//! Guessing is slowed, and whatever else somebody could do too often: [`SIGN_IN`] allows in five minutes ten attempts
//! per account, five per further factor of an account, and a hundred per address that did not succeed.
//!
//! The address is asked first. Who is stopped there touches no account: a stopped address can lock nobody out,
//! and can make no more than its hundred counters. Of IPv6 an address is the first 64 bits, since whoever has
//! one has them all; a thousand are allowed to the first 48, which is what a customer is given.
//!
//! Everything is counted before the secret is looked at, so that many guesses at once are counted one by one;
//! an account is counted whether or not it exists. A success is counted beside the attempts of an address: a
//! whole office signs in from one in the morning. Both counts belong to one window of the clock, so that no
//! success is ever set against attempts of another. A success with one factor forgives attempts at that factor only:
//! whoever knows the password gains no guess at the one-time code. Without the counters nobody signs in.
//!
//! Besides, what failed at an account is remembered for a while, for the assessment of risk ([`have_failed`]).

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::fold;
use kernel::Timestamp;
use kernel::id::UserId;

use crate::Idp;
use crate::error::IdpError;
use crate::steps::Way;

/// How often something may be tried in a window.
pub(crate) struct Limits {
    /// Keeps the counters of different things apart.
    pub(crate) name: &'static str,
    pub(crate) window: Duration,
    pub(crate) per_account: u64,
    pub(crate) per_address: u64,
    pub(crate) per_site: u64,
}

/// Guessing passwords.
pub(crate) const SIGN_IN: Limits = Limits {
    name: "sign-in",
    window: Duration::from_secs(5 * 60),
    per_account: 10,
    per_address: 100,
    per_site: 1_000,
};
/// Guessing a further factor of one account, in the window of [`SIGN_IN`].
const PER_FACTOR: u64 = 5;

/// How long a failure makes a sign-in look unusual, and how many it takes.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
const UNUSUAL: u64 = 3;

/// An attempt that is being made, counted.
pub(crate) struct Attempt {
    /// The counter of what is guessed at; none where nothing can be guessed.
    counter: Option<String>,
    networks: Vec<Network>,
    window: Duration,
}

/// Why an attempt is not made.
pub(crate) struct Throttled {
    /// As the fact says it.
    pub(crate) reason: &'static str,
    pub(crate) retry_after: Duration,
    /// Whether it is the first of its window: the one that leaves a trace.
    pub(crate) first: bool,
}

/// What is guessed at.
struct Target {
    counter: String,
    most: u64,
    reason: &'static str,
}

/// Counts an attempt at an account's password, the account named by its folded user name.
pub(crate) async fn begin(
    idp: &Idp,
    limits: &Limits,
    account: &str,
    address: IpAddr,
) -> Result<Result<Attempt, Throttled>, IdpError> {
    let counter = of_account(limits, account);
    let target = Target { counter, most: limits.per_account, reason: "throttled-account" };
    begin_at(idp, limits, Some(target), address).await
}

/// Counts an attempt at a further factor of a user who is known already.
pub(crate) async fn begin_factor(
    idp: &Idp,
    user: UserId,
    way: Way,
    address: IpAddr,
) -> Result<Result<Attempt, Throttled>, IdpError> {
    let target = Target { counter: of_factor(user, way), most: PER_FACTOR, reason: "throttled-factor" };
    begin_at(idp, &SIGN_IN, Some(target), address).await
}

/// Counts an attempt of somebody of whom nothing is known yet: a passkey says itself whose it is.
pub(crate) async fn begin_unknown(
    idp: &Idp,
    address: IpAddr,
) -> Result<Result<Attempt, Throttled>, IdpError> {
    begin_at(idp, &SIGN_IN, None, address).await
}

async fn begin_at(
    idp: &Idp,
    limits: &Limits,
    target: Option<Target>,
    address: IpAddr,
) -> Result<Result<Attempt, Throttled>, IdpError> {
    let (now, window) = (idp.ctx().now(), limits.window);
    let networks = networks_of(limits, address, now);
    for network in &networks {
        let failed = network.begin(idp, window).await?;
        if failed > network.most {
            let (reason, retry_after) = ("throttled-address", rest_of_window(window, now));
            return Ok(Err(Throttled { reason, retry_after, first: failed == network.most + 1 }));
        }
    }
    let Some(Target { counter, most, reason }) = target else {
        return Ok(Ok(Attempt { counter: None, networks, window }));
    };
    let attempts = idp.ephemeral.count(&counter, window).await?;
    if attempts > most {
        return Ok(Err(Throttled { reason, retry_after: window, first: attempts == most + 1 }));
    }
    Ok(Ok(Attempt { counter: Some(counter), networks, window }))
}

/// Remembers that somebody failed at an account.
pub(crate) async fn remember_failure(idp: &Idp, user_name: &str) -> Result<(), IdpError> {
    idp.ephemeral.count(&failures_of(user_name), REMEMBERED).await?;
    Ok(())
}

/// Whether somebody failed at this account several times, just now. That nobody can tell counts as yes: it makes a
/// sign-in look unusual, and stops nobody who is signed in.
pub(crate) async fn have_failed(idp: &Idp, user_name: &str) -> bool {
    match idp.ephemeral.get(&failures_of(user_name)).await {
        Ok(count) => count.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0) >= UNUSUAL,
        Err(_) => true,
    }
}

/// Forgets every attempt at an account.
#[cfg(test)]
pub(crate) async fn forget(idp: &Idp, user: UserId, user_name: &str) {
    let account = of_account(&SIGN_IN, &fold(user_name));
    let factors = [Way::Passkey, Way::Totp, Way::RecoveryCode].map(|way| of_factor(user, way));
    for counter in factors.into_iter().chain([account, failures_of(user_name)]) {
        idp.ephemeral.forget(&counter).await.unwrap();
    }
}

fn of_factor(user: UserId, way: Way) -> String {
    format!("sign-in:factor:{}:{user}", way.word())
}

fn failures_of(user_name: &str) -> String {
    format!("sign-in:failed:{}", hashed(&fold(user_name)))
}

impl Attempt {
    /// Forgives it: the owner of the account has come.
    pub(crate) async fn succeeded(self, idp: &Idp) -> Result<(), IdpError> {
        if let Some(counter) = &self.counter {
            idp.ephemeral.forget(counter).await?;
        }
        self.clear_address(idp).await
    }

    /// Takes it back: nobody looked at what was entered, so nothing was learned.
    pub(crate) async fn take_back(self, idp: &Idp) -> Result<(), IdpError> {
        if let Some(counter) = &self.counter {
            idp.ephemeral.uncount(counter).await?;
        }
        self.clear_address(idp).await
    }

    async fn clear_address(&self, idp: &Idp) -> Result<(), IdpError> {
        for network in &self.networks {
            idp.ephemeral.count(&network.key("succeeded"), self.window).await?;
        }
        Ok(())
    }
}

/// Addresses that count as one, in one window.
struct Network {
    of: &'static str,
    name: String,
    window: i64,
    most: u64,
}

impl Network {
    /// Counts an attempt; answers how many have not succeeded, those that are being made among them.
    async fn begin(&self, idp: &Idp, window: Duration) -> Result<u64, IdpError> {
        let succeeded = idp.ephemeral.get(&self.key("succeeded")).await?;
        let succeeded: u64 = succeeded.and_then(|count| count.parse().ok()).unwrap_or(0);
        let begun = idp.ephemeral.count(&self.key("begun"), window).await?;
        Ok(begun.saturating_sub(succeeded))
    }

    fn key(&self, what: &str) -> String {
        format!("{}:{what}:{}:{}", self.of, self.window, self.name)
    }
}

/// The widest first.
fn networks_of(limits: &Limits, address: IpAddr, now: Timestamp) -> Vec<Network> {
    let Limits { name: of, per_address, per_site, .. } = *limits;
    let window = now.as_secs().div_euclid(limits.window.as_secs().cast_signed());
    let network = |name, most| Network { of, name, window, most };
    match address.to_canonical() {
        IpAddr::V4(v4) => vec![network(v4.to_string(), per_address)],
        IpAddr::V6(v6) => vec![
            network(format!("{:x}/48", v6.to_bits() >> 80), per_site),
            network(format!("{:x}/64", v6.to_bits() >> 64), per_address),
        ],
    }
}

fn rest_of_window(window: Duration, now: Timestamp) -> Duration {
    let window = window.as_secs().cast_signed();
    Duration::from_secs((window - now.as_secs().rem_euclid(window)).unsigned_abs())
}

fn of_account(limits: &Limits, account: &str) -> String {
    format!("{}:account:{}", limits.name, hashed(account))
}

/// Names are of any length, and somebody may type a password there.
fn hashed(account: &str) -> String {
    URL_SAFE_NO_PAD.encode(kernel::sha256(account.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(address: &str) -> Vec<String> {
        let networks = networks_of(&SIGN_IN, address.parse().unwrap(), Timestamp::from_secs(301));
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
            assert_eq!(rest_of_window(SIGN_IN.window, Timestamp::from_secs(at)).as_secs(), rest, "{at}");
        }
    }
}
