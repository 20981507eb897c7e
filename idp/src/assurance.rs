//! How sure we can be here, and what a client hears of it.

use kernel::Assurance;
use policy::{Method, assurance_of};

/// The authenticators that this room can verify.
const METHODS: [Method; 1] = [Method::Password];

/// The rung that a password alone reaches.
pub(crate) fn of_password() -> Assurance {
    assurance_of(&METHODS).unwrap_or(Assurance::Aal1)
}

/// `amr` of a sign-in with a password (RFC 8176).
pub(crate) fn amr_of_password() -> Vec<String> {
    vec!["pwd".to_owned()]
}

/// The rungs that can be reached here: `acr_values_supported`.
pub(crate) fn reachable() -> Vec<&'static str> {
    Assurance::ALL.iter().filter(|rung| **rung <= of_password()).map(|rung| rung.as_str()).collect()
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
        assert_eq!(reachable(), ["aal1"]);
    }
}
