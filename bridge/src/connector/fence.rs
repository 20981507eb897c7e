//! The fence that a late grant does not get past.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kernel::id::CredentialId;

use super::{ConnectorError, Version};

/// How many credentials a generation of the fence remembers. Two generations are kept.
const GENERATION: usize = 50_000;

/// Remembers the highest version asked for per credential, in memory. A grant that is older than what
/// was asked before is refused; at equal versions a revocation beats a grant.
///
/// It guards against reordering while the process lives. After a restart the durable versions of the
/// caller do. What was asked longest ago is forgotten when 100,000 others came after it.
#[derive(Debug, Default)]
pub struct VersionFence(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<CredentialId, Mark>,
    old: HashMap<CredentialId, Mark>,
}

/// A wish that got past the fence, for as long as nothing overtakes it.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    fence: &'a VersionFence,
    credential: CredentialId,
    mark: Mark,
}

impl Pass<'_> {
    /// Whether nothing has overtaken the wish. To be asked before each packet.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.confirm().is_ok()
    }

    /// As [`Pass::stands`], with the error to give back when it does not.
    ///
    /// # Errors
    /// [`ConnectorError::Superseded`].
    pub fn confirm(&self) -> Result<(), ConnectorError> {
        match self.fence.locked().highest(self.credential) {
            Some(highest) if highest > self.mark => {
                Err(ConnectorError::Superseded { highest: highest.number })
            }
            _ => Ok(()),
        }
    }
}

/// The highest wish: its number, and at equal numbers revoked above granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    number: i64,
    revoked: bool,
}

impl VersionFence {
    /// Lets a grant through and remembers it.
    ///
    /// # Errors
    /// [`ConnectorError::Superseded`] when a higher version, or a revocation of this one, came before.
    pub fn admit_grant(&self, version: Version) -> Result<Pass<'_>, ConnectorError> {
        self.admit(version.credential, Mark { number: version.number, revoked: false })
    }

    /// Lets a revocation through and remembers it: from now on older grants do not pass.
    ///
    /// # Errors
    /// [`ConnectorError::Superseded`] when a higher version came before.
    pub fn admit_revocation(&self, version: Version) -> Result<Pass<'_>, ConnectorError> {
        self.admit(version.credential, Mark { number: version.number, revoked: true })
    }

    fn admit(&self, credential: CredentialId, mark: Mark) -> Result<Pass<'_>, ConnectorError> {
        let mut generations = self.locked();
        match generations.highest(credential) {
            Some(highest) if highest > mark => Err(ConnectorError::Superseded { highest: highest.number }),
            _ => {
                generations.remember(credential, mark);
                Ok(Pass { fence: self, credential, mark })
            }
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Generations> {
        // A panic elsewhere cannot leave these maps half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn highest(&self, credential: CredentialId) -> Option<Mark> {
        self.young.get(&credential).or_else(|| self.old.get(&credential)).copied()
    }

    fn remember(&mut self, credential: CredentialId, mark: Mark) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&credential) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(credential, mark);
    }
}

#[cfg(test)]
mod tests {
    use kernel::Ctx;
    use proptest::prelude::*;

    use super::*;

    fn version(number: i64) -> Version {
        Version { credential: CredentialId::new(&Ctx::for_tests(1)), number }
    }

    #[test]
    fn a_late_grant_does_not_pass_a_revocation() {
        let fence = VersionFence::default();
        let superseded = |highest| Err(ConnectorError::Superseded { highest });
        let grant = fence.admit_grant(version(3)).unwrap();
        assert!(grant.stands());
        let revocation = fence.admit_revocation(version(4)).unwrap();
        assert!(!grant.stands() && revocation.stands());
        assert_eq!(grant.confirm(), superseded(4));
        for (number, admitted) in [(3, superseded(4)), (4, superseded(4)), (5, Ok(()))] {
            assert_eq!(fence.admit_grant(version(number)).map(|_| ()), admitted, "{number}");
        }
        assert_eq!(revocation.confirm(), superseded(5));
        assert_eq!(fence.admit_revocation(version(4)).map(|_| ()), superseded(5));
    }

    #[test]
    fn credentials_do_not_stand_in_each_others_way() {
        let fence = VersionFence::default();
        let ctx = Ctx::for_tests(1);
        let [one, other] = [(); 2].map(|()| CredentialId::new(&ctx));
        fence.admit_revocation(Version { credential: one, number: 9 }).unwrap();
        assert!(fence.admit_grant(Version { credential: other, number: 1 }).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest_first() {
        let fence = VersionFence::default();
        let ctx = Ctx::for_tests(1);
        let asked: Vec<Version> = (0..2 * GENERATION + 1)
            .map(|_| Version { credential: CredentialId::new(&ctx), number: 7 })
            .inspect(|version| assert!(fence.admit_revocation(*version).is_ok()))
            .collect();
        let is_late = |version: &Version| fence.admit_grant(Version { number: 6, ..*version }).is_err();
        assert!(is_late(&asked[GENERATION]));
        assert!(!is_late(&asked[0]), "100,000 others came after it");
        let generations = fence.locked();
        assert!(generations.young.len() <= GENERATION && generations.old.len() <= GENERATION);
    }

    proptest! {
        #[test]
        fn what_passed_last_is_the_highest_ever_asked(asked in proptest::collection::vec((0i64..6, any::<bool>()), 1..40)) {
            let fence = VersionFence::default();
            let mut passed = Vec::new();
            for (number, revoked) in &asked {
                let mark = Mark { number: *number, revoked: *revoked };
                if fence.admit(version(0).credential, mark).is_ok() {
                    passed.push((*number, *revoked));
                }
            }
            prop_assert!(passed.is_sorted());
            prop_assert_eq!(passed.last(), asked.iter().max());
        }
    }
}
