//! Which passwords a person may take.
//!
//! Length and a short block list; no rules of composition, and no list of leaked passwords, which would have to be
//! kept up (NIST SP 800-63B-4, 3.1.1.2).

use unicode_normalization::UnicodeNormalization as _;

use crate::fold;

/// The shortest password (NIST SP 800-63B-4, 3.1.1.2: at least 15 characters where it is the only factor).
pub const SHORTEST: usize = 15;
/// The longest: at least 64 must be accepted; more than this would only cost memory.
pub const LONGEST: usize = 256;
/// Long passwords that are nevertheless guessed first, in lower case.
const COMMON: &[&str] = &[
    "password12345678",
    "qwertyuiopasdfgh",
    "qwertyuiop123456",
    "1qaz2wsx3edc4rfv",
    "administrator123",
    "correcthorsebatterystaple",
    "welcomewelcome123",
    "passwordpassword1",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "12345678901234567890",
];
/// The longest beginning that is repeated to make a long password of a short one.
const LONGEST_UNIT: usize = 10;

/// Why a password is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Fewer characters than [`SHORTEST`].
    #[error("a password needs at least {SHORTEST} characters; four random words do")]
    TooShort,
    /// More characters than [`LONGEST`].
    #[error("a password may have at most {LONGEST} characters")]
    TooLong,
    /// On the block list, or its own beginning over and over.
    #[error("this password is among those guessed first; choose another")]
    Common,
    /// Little more than the user's name.
    #[error("this password is little more than your name; choose another")]
    OwnName,
}

/// Whether a person may take this password (NIST SP 800-63B-4, 3.1.1.2: length and a block list, no rules
/// of composition). Characters are counted as they are hashed, whatever they were typed with.
///
/// # Errors
/// The [`Weakness`] that stands against it.
pub fn check(password: &str, user_name: &str) -> Result<(), Weakness> {
    let length = password.nfkc().count();
    if length < SHORTEST {
        return Err(Weakness::TooShort);
    }
    if length > LONGEST {
        return Err(Weakness::TooLong);
    }
    let folded = fold(password);
    let is_part_of_a_common_one = COMMON.iter().any(|common| common.contains(&folded));
    if is_part_of_a_common_one || is_repeated(&folded) {
        return Err(Weakness::Common);
    }
    let name = fold(user_name.split('@').next().unwrap_or_default());
    let says_name = name.chars().count() >= 3 && folded.contains(&name);
    if says_name && folded.replace(&name, "").chars().count() < SHORTEST / 2 {
        return Err(Weakness::OwnName);
    }
    Ok(())
}

/// Whether it is nothing but its own beginning over and over: `aaaaaaaaaaaaaaaa`, `passwordpassword`.
fn is_repeated(password: &str) -> bool {
    let chars: Vec<char> = password.chars().collect();
    (1..=LONGEST_UNIT.min(chars.len() / 2))
        .any(|unit| chars.iter().zip(chars.iter().skip(unit)).all(|(a, b)| a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "three blue ducks sing";

    #[test]
    fn length_and_a_block_list_decide_and_composition_does_not() {
        let check =
            |password: &str| check(password, "ada.lovelace@example.org").map_err(|weak| weak.to_string());
        let sixty_four = "a correct horse, a battery, a staple and 4 more words: 64 chars!";
        assert_eq!(sixty_four.len(), 64);
        for password in [
            GOOD,
            "DREI BLAUE ENTEN",
            "drei blaue Enten 🦆🦆",
            "               .",
            "8302175966641750",
            "passwords are long",
            "ada.lovelace and three ducks",
            sixty_four,
            &"three blue ducks ".repeat(15),
        ] {
            assert_eq!(check(password), Ok(()), "{password}");
        }
        let (short, long) = ("15", "256");
        let (guessed, name) = ("guessed first", "your name");
        for (password, because) in [
            ("", short),
            ("short", short),
            ("fourteen chars", short),
            // Fourteen characters, however many bytes and marks they were typed with.
            ("🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆🦆", short),
            (
                "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}ab",
                short,
            ),
            (&"x1".repeat(129), long),
            ("CorrectHorseBatteryStaple", guessed),
            ("123456789012345", guessed),
            ("abcdefghijklmno", guessed),
            ("aaaaaaaaaaaaaaaa", guessed),
            ("passwordpassword", guessed),
            ("Trustno1Trustno1Trust", guessed),
            ("ada.lovelace-1815", name),
            ("ADA.LOVELACE.ADA.LOVELACE!", name),
        ] {
            let refused = check(password).unwrap_err();
            assert!(refused.contains(because), "{password}: {refused}");
        }
    }

    #[test]
    fn a_name_of_one_or_two_letters_forbids_nothing() {
        for name in ["", "@example.org", "a", "bo"] {
            assert!(check("a a a a a a a a b", name).is_ok(), "{name}");
        }
    }
}
