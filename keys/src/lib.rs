//! Sealing at rest, signing keys and their rotation, JOSE in and out.
//!
//! - [`SealingKeys`]: secrets in the database are sealed to their place; the key file is the one secret that
//!   an operator keeps.
//! - [`KeyRing`]: the keys that sign, made and rotated without anybody's doing, and their JWKS.
//! - [`Evidence`] and [`verify_evidence`]: what must still verify years later, signed with keys of its own
//!   and checked offline.
//!
//! What it is not: it knows no claim beyond the registered ones, no client and no door. A room decides what
//! a token says; this crate signs it, and on the way back says whether it is ours and in force.
//!
//! **Randomness.** Nonces come from [`kernel::Ctx`]. Key pairs and ECDSA signatures do not: aws-lc draws from
//! its own generator and cannot be told otherwise.
//!
//! To add a signature algorithm: a variant of [`Alg`], its key pair in `pair.rs`, and a slot in `rotation.rs`.
//! To seal another column: a [`SealedColumn`] in the room that owns the table.

mod derive;
mod error;
mod evidence;
mod facts;
mod jwt;
mod key_file;
mod pair;
mod reseal;
mod ring;
mod rotation;
mod seal;

pub use error::KeysError;
pub use evidence::{Evidence, VerifyError, verify_evidence};
pub use facts::{SigningKeyCreated, SigningKeyRetired, ValuesResealed};
pub use jwt::{Expect, JwtError};
pub use key_file::KeyFileError;
pub use pair::Alg;
pub use reseal::reseal;
pub use ring::{Jwks, KeyRing, SIGNING_KEY};
pub use rotation::{Rotation, RotationPolicy};
pub use seal::{Place, SealError, SealedColumn, SealingKeys};
