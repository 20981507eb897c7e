//! Guessing is slowed: ten attempts per account and a hundred failures per address in five minutes.
//!
//! An account is counted before its password is looked at, so that many guesses at once are counted one by
//! one; it is counted whether or not it exists. An address is counted only for failures: a whole office signs
//! in from one in the morning. Without the counters nobody signs in.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Idp;
use crate::error::IdpError;

const WINDOW: Duration = Duration::from_secs(5 * 60);
const PER_ACCOUNT: u64 = 10;
const PER_ADDRESS: u64 = 100;

/// Counts an attempt at an account, named by its folded user name.
pub(super) async fn begin(idp: &Idp, account: &str, address: IpAddr) -> Result<(), IdpError> {
    let failures = idp.ephemeral.get(&of_address(address)).await?;
    let failures: u64 = failures.and_then(|count| count.parse().ok()).unwrap_or(0);
    let attempts = idp.ephemeral.count(&of_account(account), WINDOW).await?;
    if failures >= PER_ADDRESS || attempts > PER_ACCOUNT {
        return Err(IdpError::Throttled { retry_after: WINDOW });
    }
    Ok(())
}

/// Forgives the attempts at an account: its owner has come.
pub(super) async fn succeeded(idp: &Idp, account: &str) -> Result<(), IdpError> {
    Ok(idp.ephemeral.forget(&of_account(account)).await?)
}

/// Counts a failure from an address.
pub(super) async fn failed(idp: &Idp, address: IpAddr) -> Result<(), IdpError> {
    idp.ephemeral.count(&of_address(address), WINDOW).await?;
    Ok(())
}

/// Hashed: names are of any length, and somebody may type a password there.
fn of_account(account: &str) -> String {
    format!("sign-in:account:{}", URL_SAFE_NO_PAD.encode(kernel::sha256(account.as_bytes())))
}

/// Of IPv6 the first 64 bits: whoever has one address has them all.
fn of_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("sign-in:address:{v4}"),
        IpAddr::V6(v6) => format!("sign-in:address:{:x}", v6.to_bits() >> 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_address() {
        let key = |text: &str| of_address(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
