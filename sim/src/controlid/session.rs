//! Who is logged in.
//!
//! A session's name has characters in it that a query must escape, as the real ones have. How long a session lives is
//! not said; here it is an option, counted from the login. The newest are kept.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::{SignedDuration, Timestamp};

/// More sessions than these push out the oldest.
const AT_ONCE: usize = 16;

/// The sessions of a device.
#[derive(Debug)]
pub(super) struct Sessions {
    open: VecDeque<(String, Timestamp)>,
    lifetime: SignedDuration,
    opened: u64,
}

impl Sessions {
    pub(super) fn new(lifetime: SignedDuration) -> Self {
        Self { open: VecDeque::new(), lifetime, opened: 0 }
    }

    /// Opens one and gives its name.
    pub(super) fn open(&mut self, device_id: i64, now: Timestamp) -> String {
        self.opened += 1;
        let seed = format!("{device_id}\n{}\n{now}", self.opened);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, seed.as_bytes());
        let name = format!("q/+{}", &STANDARD_NO_PAD.encode(digest)[..21]);
        if self.open.len() == AT_ONCE {
            self.open.pop_front();
        }
        self.open.push_back((name.clone(), now));
        name
    }

    /// Whether it is open and not too old.
    pub(super) fn is_valid(&self, name: &str, now: Timestamp) -> bool {
        let lives = |opened: Timestamp| now.duration_since(opened) < self.lifetime;
        self.open.iter().any(|(open, opened)| open == name && lives(*opened))
    }

    /// The names of those that are open.
    pub(super) fn names(&self) -> Vec<String> {
        self.open.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn close(&mut self, name: &str) {
        self.open.retain(|(open, _)| open != name);
    }

    pub(super) fn forget(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_by_hand_and_by_the_seventeenth() {
        let mut sessions = Sessions::new(SignedDuration::from_secs(60));
        let start = Timestamp::UNIX_EPOCH;
        let name = sessions.open(1, start);
        assert!(name.contains('/') && name.contains('+'), "{name} needs no escaping");
        let after = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        assert!(sessions.is_valid(&name, after(59)));
        assert!(!sessions.is_valid(&name, after(60)));
        assert!(!sessions.is_valid("", start));
        sessions.close(&name);
        assert!(!sessions.is_valid(&name, start));
        let first = sessions.open(1, start);
        for _ in 0..AT_ONCE {
            assert!(sessions.is_valid(&first, start));
            assert_ne!(sessions.open(1, start), first);
        }
        assert!(!sessions.is_valid(&first, start));
    }
}
