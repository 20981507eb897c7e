//! What this crate records.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{FactBody, FactKind};

/// Every kind of fact that this crate records.
pub const FACTS: &[FactKind] = &[
    FactKind::of::<SigningKeyCreated>(),
    FactKind::of::<SigningKeyRetired>(),
    FactKind::of::<ValuesResealed>(),
];

/// A signing key was made; it is published from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyCreated {
    /// The key's id: the RFC 7638 thumbprint of its public half.
    pub kid: String,
    /// `token` or `evidence`.
    pub purpose: String,
    /// `ES256` or `RS256`.
    pub alg: String,
    /// When it begins to sign, in milliseconds since 1970.
    pub signs_from: i64,
}

impl FactBody for SigningKeyCreated {
    const KIND: &'static str = "signing_key.created";
    const ABOUT: &'static [&'static str] = &["signing_key"];
}

/// A signing key's private half was destroyed. Of a `token` key the public half is no longer published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyRetired {
    /// The key's id.
    pub kid: String,
    /// `token` or `evidence`.
    pub purpose: String,
    /// `ES256` or `RS256`.
    pub alg: String,
}

impl FactBody for SigningKeyRetired {
    const KIND: &'static str = "signing_key.retired";
    const ABOUT: &'static [&'static str] = &["signing_key"];
}

/// Sealed values were sealed anew with the current sealing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValuesResealed {
    /// Whose values.
    pub table: String,
    /// Which column of it.
    pub column: String,
    /// How many.
    pub values: u64,
}

impl FactBody for ValuesResealed {
    const KIND: &'static str = "sealing_key.values-resealed";
    const ABOUT: &'static [&'static str] = &["sealing_key"];
}
