//! From what a user signed in with to how sure we are.

use kernel::Assurance;
use serde::{Deserialize, Serialize};

/// One authenticator that was verified in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Something the user knows (NIST SP 800-63B-4, 3.1.1).
    Password,
    /// A single-factor one-time password (3.1.4): something the user has.
    Totp,
    /// A single-use code from a list that was handed out: a look-up secret (3.1.2), something the user has.
    RecoveryCode,
    /// A passkey whose key may leave the device (WebAuthn: backup eligible; appendix B, syncable).
    SyncedPasskey {
        /// Whether the device verified the user (PIN or biometric), which makes it two factors.
        user_verified: bool,
    },
    /// A passkey or security key whose key cannot leave the device (WebAuthn: not backup eligible).
    DeviceBoundPasskey {
        /// Whether the device verified the user (PIN or biometric), which makes it two factors.
        user_verified: bool,
    },
}

impl Method {
    fn is_passkey(self) -> bool {
        matches!(self, Method::SyncedPasskey { .. } | Method::DeviceBoundPasskey { .. })
    }
}

/// The assurance that the verified authenticators reach together; `None` when there are none.
///
/// Order and repetition do not matter, and one more authenticator never lowers the answer.
///
/// Source: NIST SP 800-63B-4, 2.1.1, 2.2.1 and 2.3.1 (which authenticators reach which AAL), 3.1.6 and 3.1.7
/// (a cryptographic authenticator is one factor, with user verification two), 3.2.5 (WebAuthn resists
/// phishing by binding to the verifier's name), appendix B (a synced key stops at AAL2). Two factors must be
/// of different kinds, so two things that the user has are still one. NIST would also take a device-bound
/// key without user verification together with a password as AAL3; here `phrh` promises user verification at
/// the key ([`Assurance::Phrh`]), so that pair reaches `phr`.
#[must_use]
pub fn assurance_of(methods: &[Method]) -> Option<Assurance> {
    let used = |method| methods.contains(&method);
    let knows = used(Method::Password);
    if used(Method::DeviceBoundPasskey { user_verified: true }) {
        Some(Assurance::Phrh)
    } else if used(Method::SyncedPasskey { user_verified: true })
        || knows && methods.iter().any(|method| method.is_passkey())
    {
        Some(Assurance::Phr)
    } else if knows && (used(Method::Totp) || used(Method::RecoveryCode)) {
        Some(Assurance::Aal2)
    } else {
        (!methods.is_empty()).then_some(Assurance::Aal1)
    }
}

#[cfg(test)]
mod tests {
    use Assurance::{Aal1, Aal2, Phr, Phrh};
    use Method::{Password, RecoveryCode, Totp};
    use proptest::prelude::*;

    use super::*;

    const SYNCED: Method = Method::SyncedPasskey { user_verified: true };
    const SYNCED_TOUCH: Method = Method::SyncedPasskey { user_verified: false };
    const BOUND: Method = Method::DeviceBoundPasskey { user_verified: true };
    const BOUND_TOUCH: Method = Method::DeviceBoundPasskey { user_verified: false };
    const ALL: [Method; 7] = [Password, Totp, RecoveryCode, SYNCED, SYNCED_TOUCH, BOUND, BOUND_TOUCH];

    #[test]
    fn factors_reach_the_rung_that_nist_gives_them() {
        for (methods, expect) in [
            (&[][..], None),
            // One factor, however often and however strong.
            (&[Password], Some(Aal1)),
            (&[Password, Password], Some(Aal1)),
            (&[Totp], Some(Aal1)),
            (&[RecoveryCode], Some(Aal1)),
            (&[SYNCED_TOUCH], Some(Aal1)),
            (&[BOUND_TOUCH], Some(Aal1)),
            // Two things that the user has are one kind of factor.
            (&[Totp, RecoveryCode], Some(Aal1)),
            (&[BOUND_TOUCH, Totp], Some(Aal1)),
            (&[BOUND_TOUCH, SYNCED_TOUCH], Some(Aal1)),
            // Two kinds.
            (&[Password, Totp], Some(Aal2)),
            (&[Password, RecoveryCode], Some(Aal2)),
            // Two kinds, one of them phishing-resistant.
            (&[Password, BOUND_TOUCH], Some(Phr)),
            (&[Password, SYNCED_TOUCH], Some(Phr)),
            (&[Password, Totp, BOUND_TOUCH], Some(Phr)),
            (&[SYNCED], Some(Phr)),
            // A synced key stops below AAL3, whatever stands beside it.
            (&[SYNCED, Password, Totp, BOUND_TOUCH], Some(Phr)),
            // Device-bound with user verification.
            (&[BOUND], Some(Phrh)),
            (&[Password, BOUND], Some(Phrh)),
        ] {
            assert_eq!(assurance_of(methods), expect, "{methods:?}");
        }
    }

    proptest! {
        #[test]
        fn one_more_authenticator_never_lowers_the_assurance(
            mut methods in prop::collection::vec(prop::sample::select(&ALL[..]), 0..6),
            more in prop::sample::select(&ALL[..]),
            at in any::<prop::sample::Index>(),
        ) {
            let before = assurance_of(&methods);
            methods.insert(at.index(methods.len() + 1), more);
            prop_assert!(assurance_of(&methods) >= before);
        }
    }
}
