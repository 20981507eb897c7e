//! A client's walk through a list, page by page: each page goes on after the last row of the one before, not after
//! so many rows. So a walk costs the same on every page, and whoever is deleted meanwhile shifts nobody.
//!
//! Where a page ended is remembered for a while ([`Ephemeral`]) for each connection, kind and next position. What
//! it is not: a promise. A position that nobody remembers is counted out, as SCIM's `startIndex` says, and of two
//! walks of one connection at once the latter's pages count.

use std::fmt;
use std::time::Duration;

use kernel::{Actor, Timestamp};
use store::Ephemeral;

use super::Place;

/// How long a client may think about the next page.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Where a walk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// How many there were on all pages when it began. Counted once: counting costs as much as the list is long.
    pub(super) total: u64,
    /// The last row that was shown.
    pub(super) last: Place,
}

/// The walks of one caller through one kind.
pub(super) struct Walk<'a> {
    ephemeral: &'a Ephemeral,
    caller: &'a Actor,
    kind: &'a str,
}

impl<'a> Walk<'a> {
    pub(super) fn new(ephemeral: &'a Ephemeral, caller: &'a Actor, kind: &'a str) -> Self {
        Self { ephemeral, caller, kind }
    }

    fn key(&self, skip: u64) -> String {
        format!("scim:walk:{}:{}:{skip}", self.caller, self.kind)
    }

    /// Where the walk stands that has seen so many.
    pub(super) async fn after(&self, skip: u64) -> Option<Stand> {
        if skip == 0 {
            return None;
        }
        let found = self.ephemeral.get(&self.key(skip)).await;
        found.unwrap_or_else(forgotten).as_deref().and_then(Stand::parse)
    }

    /// Remembers where it stands after so many.
    pub(super) async fn remember(&self, skip: u64, stand: &Stand) {
        let put = self.ephemeral.put(&self.key(skip), &stand.to_string(), PATIENCE).await;
        put.unwrap_or_else(forgotten);
    }
}

/// The next page is counted out then.
fn forgotten<T: Default>(error: store::EphemeralError) -> T {
    tracing::debug!(%error, "the place in a list was not remembered");
    T::default()
}

impl Stand {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let total = parts.next()?.parse().ok()?;
        let at = Timestamp::from_millis(parts.next()?.parse().ok()?);
        Some(Self { total, last: (at, parts.next()?.to_owned()) })
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.total, self.last.0.as_millis(), self.last.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_reads_back_and_nothing_else_does() {
        let stand = Stand { total: 7, last: (Timestamp::from_millis(1_700_000_000_123), "a b".into()) };
        assert_eq!(Stand::parse(&stand.to_string()), Some(stand));
        for bad in ["", "7", "7 x a", "7 1", "-1 1 a"] {
            assert_eq!(Stand::parse(bad), None, "{bad}");
        }
    }
}
