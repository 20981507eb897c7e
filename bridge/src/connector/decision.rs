//! Who decides where a door system asks us at each swipe (revocation class R0).
//!
//! A connector hands each question to the [`Decider`] that it was opened with, and passes on what that one says; it
//! lets nobody in by itself.
//!
//! What this is not: it knows no policy and no database. The house's own decider is
//! [`Entrance`](crate::entrance::Entrance).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;

use super::AccessPointAddress;
use crate::card::Card;

/// The longest that somebody waits at a door for a decision; what comes later is a no.
pub const DECIDED_WITHIN: Duration = Duration::from_secs(1);

/// Somebody stands at a door whose system asks us.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Which door.
    pub access_point: AccessPointAddress,
    /// The card that was shown; `None` when the system knows the person by something else.
    pub card: Option<Card>,
    /// Where the door is: the hour there may matter.
    pub time_zone: TimeZone,
    /// How many questions of the same device before this one were answered with no and decided by nobody, because they
    /// came faster than anybody walks.
    pub refused_before: u64,
}

/// What is said about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the door opens.
    pub granted: bool,
    /// Why, in words, for logs and facts.
    pub because: String,
}

impl Verdict {
    /// The door stays shut.
    pub fn denied(because: impl Into<String>) -> Self {
        Self { granted: false, because: because.into() }
    }
}

/// Decides who enters.
///
/// Each question is answered anew, by what holds at that moment. What fails or cannot be known is a no. An answer that
/// takes longer than [`DECIDED_WITHIN`] is not waited for: dropping it half way is allowed.
#[async_trait]
pub trait Decider: Send + Sync + fmt::Debug {
    /// Whether the door opens, and why.
    async fn decide(&self, asked: &Asked) -> Verdict;
}

/// Lets nobody in: for whoever only looks at a door system, and for those that ask nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl Decider for Nobody {
    async fn decide(&self, _asked: &Asked) -> Verdict {
        Verdict::denied("nobody decides here")
    }
}

/// What the decider says in time; a no if it says nothing.
pub(crate) async fn decided(decider: &dyn Decider, asked: &Asked) -> Verdict {
    let late = || Verdict::denied(format!("nobody decided within {} ms", DECIDED_WITHIN.as_millis()));
    tokio::time::timeout(DECIDED_WITHIN, decider.decide(asked)).await.unwrap_or_else(|_| late())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Asleep;

    #[async_trait]
    impl Decider for Asleep {
        async fn decide(&self, _asked: &Asked) -> Verdict {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn who_does_not_decide_in_time_has_said_no() {
        let asked =
            Asked { access_point: "main".into(), card: None, time_zone: TimeZone::UTC, refused_before: 0 };
        let verdict = decided(&Asleep, &asked).await;
        assert_eq!(verdict, Verdict::denied("nobody decided within 1000 ms"));
        assert!(!decided(&Nobody, &asked).await.granted);
    }
}
