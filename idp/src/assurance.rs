//! How sure we can be here, and what a client hears of it.

use directory::authenticator::{Authenticator, Kind};
use directory::session::Session;
use kernel::Assurance;
use policy::{Method, assurance_of};

/// What was proven, in the words that sessions keep. They never change.
const WORDS: [(Method, &str); 7] = [
    (Method::Password, "password"),
    (Method::Totp, "totp"),
    (Method::RecoveryCode, "recovery-code"),
    (Method::SyncedPasskey { user_verified: true }, "synced-passkey"),
    (Method::SyncedPasskey { user_verified: false }, "synced-passkey+touch"),
    (Method::DeviceBoundPasskey { user_verified: true }, "device-bound-passkey"),
    (Method::DeviceBoundPasskey { user_verified: false }, "device-bound-passkey+touch"),
];

/// The rung that these reach together; the lowest also for none.
pub(crate) fn of(methods: &[Method]) -> Assurance {
    assurance_of(methods).unwrap_or(Assurance::Aal1)
}

/// What a passkey's answer proved.
pub(crate) fn passkey(device_bound: bool, user_verified: bool) -> Method {
    if device_bound {
        Method::DeviceBoundPasskey { user_verified }
    } else {
        Method::SyncedPasskey { user_verified }
    }
}

/// The same in the words that sessions keep.
pub(crate) fn in_words(methods: &[Method]) -> Vec<String> {
    let word = |method: &Method| WORDS.iter().find(|(known, _)| known == method).map(|(_, word)| *word);
    methods.iter().filter_map(word).map(str::to_owned).collect()
}

/// What was proven in a session. A word of a newer release counts for nothing here.
pub(crate) fn proven_in(session: &Session) -> Vec<Method> {
    let method = |word: &String| WORDS.iter().find(|(_, known)| known == word).map(|(method, _)| *method);
    session.methods.0.iter().filter_map(method).collect()
}

/// What a user can prove with what was set up.
pub(crate) fn held(authenticators: &[Authenticator]) -> Vec<Method> {
    let mut held: Vec<Method> = Vec::new();
    for method in authenticators.iter().filter_map(provable) {
        if !held.contains(&method) {
            held.push(method);
        }
    }
    held
}

/// What an authenticator proves when it is used as it should be.
pub(crate) fn provable(authenticator: &Authenticator) -> Option<Method> {
    Some(match authenticator.kind()? {
        Kind::Password => Method::Password,
        Kind::Totp => Method::Totp,
        Kind::RecoveryCode => Method::RecoveryCode,
        Kind::Passkey => passkey(authenticator.is_device_bound()?, true),
    })
}

/// `amr` (RFC 8176): a recovery code is a password for one time, too. `mfa` when there were two factors.
pub(crate) fn amr(methods: &[Method]) -> Vec<String> {
    let mut amr: Vec<&str> = Vec::new();
    for method in methods {
        match method {
            Method::Password => amr.push("pwd"),
            Method::Totp | Method::RecoveryCode => amr.push("otp"),
            Method::SyncedPasskey { user_verified } | Method::DeviceBoundPasskey { user_verified } => {
                amr.push(if matches!(method, Method::SyncedPasskey { .. }) { "swk" } else { "hwk" });
                amr.extend(user_verified.then_some("user"));
            }
        }
    }
    if of(methods) >= Assurance::Aal2 {
        amr.push("mfa");
    }
    let mut distinct: Vec<String> = Vec::new();
    for word in amr {
        if !distinct.iter().any(|known| known == word) {
            distinct.push(word.to_owned());
        }
    }
    distinct
}

/// The rungs that can be reached here: `acr_values_supported`.
pub(crate) fn reachable() -> [&'static str; 4] {
    Assurance::ALL.map(Assurance::as_str)
}

/// The rungs that a client wishes for, as far as they are known here, the dearest wish first.
pub(crate) fn wished(requested: &[String]) -> Vec<Assurance> {
    requested.iter().filter_map(|word| word.parse().ok()).collect()
}

/// `acr`: the first requested value that was satisfied, else the rung reached. A request is a wish (OpenID
/// Connect Core, section 5.5.1.1: `acr_values` is voluntary); what must be, policy says.
pub(crate) fn acr(requested: &[String], reached: Assurance) -> String {
    let satisfied = |word: &&String| word.parse::<Assurance>().is_ok_and(|rung| rung <= reached);
    requested.iter().find(satisfied).cloned().unwrap_or_else(|| reached.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acr_is_the_first_wish_that_was_satisfied_or_the_rung_reached() {
        use Assurance::{Aal1, Aal2, Phrh};
        for (requested, reached, expect) in [
            ("", Aal1, "aal1"),
            ("aal1", Aal1, "aal1"),
            ("aal1", Aal2, "aal1"),
            ("aal2", Aal1, "aal1"),
            ("phr aal2 aal1", Aal2, "aal2"),
            ("aal3", Phrh, "aal3"),
            ("aal3", Aal2, "aal2"),
            ("urn:mace:incommon:iap:silver 0 AAL1", Aal1, "aal1"),
        ] {
            let requested: Vec<String> = requested.split(' ').map(str::to_owned).collect();
            assert_eq!(acr(&requested, reached), expect, "{requested:?} {reached}");
        }
        assert_eq!(reachable(), ["aal1", "aal2", "phr", "phrh"]);
    }

    #[test]
    fn amr_says_what_was_used_in_registered_words() {
        let (synced, bound) = (passkey(false, true), passkey(true, true));
        for (methods, expect) in [
            (&[Method::Password][..], "pwd"),
            (&[Method::Password, Method::Totp], "pwd otp mfa"),
            (&[Method::Password, Method::RecoveryCode, Method::Totp], "pwd otp mfa"),
            (&[bound], "hwk user mfa"),
            (&[synced], "swk user mfa"),
            (&[Method::Password, passkey(true, false)], "pwd hwk mfa"),
            (&[passkey(true, false)], "hwk"),
            (&[synced, bound], "swk user hwk mfa"),
        ] {
            assert_eq!(amr(methods).join(" "), expect, "{methods:?}");
        }
    }

    #[test]
    fn every_method_has_a_word_of_its_own() {
        let methods: Vec<Method> = WORDS.iter().map(|(method, _)| *method).collect();
        let mut words = in_words(&methods);
        assert_eq!(words.len(), WORDS.len());
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
    }
}
