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
//! **Changing the sealing key**, by an operator, with nodes running. Nodes read a changed key file within a minute, and
//! at once when they meet a key that they do not know; where each has a copy of its own, the file is copied to all of
//! them after each step.
//!
//! 1. [`SealingKeys::add_key`]: a new key, which opens and does not seal yet.
//! 2. [`SealingKeys::promote_key`]: it seals from now on, the old one still opens.
//! 3. [`reseal`]: every value is sealed anew. Where it is not run beside the key file it may be run on any node that
//!    has read it. Again until it answers 0.
//! 4. [`retire_key`]: the old key leaves the file, unless a value still needs it, or the file was changed less than two
//!    minutes ago, when some node may still seal with it.
//!
//! To add a signature algorithm: a variant of [`Alg`], its key pair in `pair.rs`, and a slot in `rotation.rs`.
//! To seal another column: a [`SealedColumn`] in the room that owns the table.

mod derive;
mod error;
mod evidence;
mod facts;
#[doc(hidden)]
pub mod fuzzing;
mod jwt;
mod key_file;
mod pair;
mod reseal;
mod ring;
mod rotation;
mod seal;
mod verified;

pub use error::KeysError;
pub use evidence::{Evidence, VerifyError, verify_evidence};
pub use facts::{FACTS, SigningKeyCreated, SigningKeyRetired, ValuesResealed};
pub use jwt::{Expect, JwtError};
pub use key_file::KeyFileError;
pub use pair::Alg;
pub use reseal::{RetireError, reseal, retire_key};
pub use ring::{Jwks, KeyRing, SIGNING_KEY};
pub use rotation::{Rotation, RotationPolicy};
pub use seal::{Place, SealError, SealedColumn, SealingKeys};
