//! Ordered words for how sure we are and how much a thing matters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is not one of the words allowed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not one of {allowed}")]
pub struct UnknownWord {
    /// What was given.
    pub word: String,
    /// What would have been right.
    pub allowed: &'static str,
}

/// How sure we are who signs in: four rungs (NIST SP 800-63B-4; OpenID Connect EAP ACR values).
///
/// `acr` carries these words; [`FromStr`] also takes `aal3`, an alias of [`Assurance::Phrh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Assurance {
    /// One factor.
    Aal1 = 1,
    /// Two factors.
    Aal2 = 2,
    /// Two factors, phishing-resistant (a synced passkey with user verification).
    Phr = 3,
    /// AAL3: phishing-resistant with a device-bound key and user verification.
    Phrh = 4,
}

impl Assurance {
    /// All rungs, rising.
    pub const ALL: [Assurance; 4] = [Assurance::Aal1, Assurance::Aal2, Assurance::Phr, Assurance::Phrh];

    /// The rung as a number, 1 to 4: `context.assurance` in policies.
    #[must_use]
    pub const fn rung(self) -> u8 {
        self as u8
    }

    /// The `acr` value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Assurance::Aal1 => "aal1",
            Assurance::Aal2 => "aal2",
            Assurance::Phr => "phr",
            Assurance::Phrh => "phrh",
        }
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Assurance {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "aal1" => Ok(Assurance::Aal1),
            "aal2" => Ok(Assurance::Aal2),
            "phr" => Ok(Assurance::Phr),
            "phrh" | "aal3" => Ok(Assurance::Phrh),
            _ => Err(UnknownWord { word: word.into(), allowed: "aal1, aal2, phr, phrh" }),
        }
    }
}

/// How much an app or a door matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// Loss would be a nuisance.
    Low,
    /// Loss would hurt.
    Moderate,
    /// Loss would hurt badly.
    High,
    /// Loss would endanger the service that the organisation exists for.
    Critical,
}

impl Sensitivity {
    /// All levels, rising.
    pub const ALL: [Sensitivity; 4] =
        [Sensitivity::Low, Sensitivity::Moderate, Sensitivity::High, Sensitivity::Critical];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Sensitivity::Low => "low",
            Sensitivity::Moderate => "moderate",
            Sensitivity::High => "high",
            Sensitivity::Critical => "critical",
        }
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Sensitivity {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Sensitivity::ALL
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or_else(|| UnknownWord { word: word.into(), allowed: "low, moderate, high, critical" })
    }
}

/// The onion shell an area lies in: -1 to 5. EN 50600 defines 1 to 4; -1, 0 and 5 are site-defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct ProtectionClass(i8);

impl ProtectionClass {
    /// The class as a number, -1 to 5.
    #[must_use]
    pub const fn get(self) -> i8 {
        self.0
    }
}

impl TryFrom<i64> for ProtectionClass {
    type Error = UnknownWord;
    fn try_from(class: i64) -> Result<Self, UnknownWord> {
        match class {
            -1..=5 => Ok(Self(class as i8)),
            _ => Err(UnknownWord { word: class.to_string(), allowed: "-1, 0, 1, 2, 3, 4, 5" }),
        }
    }
}

impl From<ProtectionClass> for i64 {
    fn from(class: ProtectionClass) -> i64 {
        class.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_rise_and_words_read_back() {
        assert!(Assurance::ALL.is_sorted());
        for rung in Assurance::ALL {
            assert_eq!(rung.as_str().parse(), Ok(rung));
        }
        assert_eq!("aal3".parse(), Ok(Assurance::Phrh));
        assert!("AAL2".parse::<Assurance>().is_err());
        for level in Sensitivity::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
    }

    #[test]
    fn protection_classes_are_bounded() {
        assert!(ProtectionClass::try_from(-2).is_err());
        assert!(ProtectionClass::try_from(6).is_err());
        assert_eq!(ProtectionClass::try_from(5).unwrap().get(), 5);
    }
}
