//! Passkeys and security keys (W3C WebAuthn, level 3): a key pair that the browser uses for our name only.
//!
//! A *ceremony* has two halves. The first makes a challenge and a state, which the caller keeps on this side,
//! single-use and bound to the browser; the second takes the browser's answer and that state. User verification
//! (PIN or biometric) is demanded in both ceremonies, so a passkey is two factors by itself. Whether its key may
//! leave the device is told by the flag *backup eligible* of each answer.
//!
//! What it is not: it demands no attestation. Which makes of key may be used is not decided here.

use kernel::Timestamp;
use kernel::id::{AuthenticatorId, UserId};
use serde::{Deserialize, Serialize};
use store::{Db, Fact, JsonText, StoreError, Tx, sql};
use url::Url;
use webauthn_rs::prelude::{
    AuthenticationResult, DiscoverableAuthentication, DiscoverableKey, Passkey, PasskeyAuthentication,
    PasskeyRegistration, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use super::{Kind, has_place, tidy_name};
use crate::DirectoryError;
use crate::facts::{AuthenticatorAdded, AuthenticatorUsed};
use crate::user::{self, User};

pub use webauthn_rs::prelude::{
    CreationChallengeResponse as Creation, PublicKeyCredential as Assertion,
    RegisterPublicKeyCredential as Attestation, RequestChallengeResponse as Request,
};

/// Why a ceremony did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// The browser's answer is not what was asked for: another challenge, origin, user or key, a bad signature, a
    /// counter that went back, or no user verification. The text is for the log.
    #[error("the passkey's answer does not verify: {0}")]
    NotVerified(String),
    /// Nobody here has this passkey.
    #[error("nobody has this passkey")]
    Unknown,
    /// The configured address cannot have passkeys.
    #[error("passkeys cannot work at {0}: {1}")]
    Address(String, String),
    /// The database failed.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl From<WebauthnError> for PasskeyError {
    fn from(error: WebauthnError) -> Self {
        Self::NotVerified(error.to_string())
    }
}

impl From<StoreError> for PasskeyError {
    fn from(error: StoreError) -> Self {
        Self::Directory(error.into())
    }
}

/// The state of a registration between its two halves.
#[derive(Debug, Serialize, Deserialize)]
pub struct Adding(PasskeyRegistration);

/// The state of an authentication between its two halves.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asking(Asked);

#[derive(Debug, Serialize, Deserialize)]
enum Asked {
    /// Somebody who is known already, for one of the keys of theirs.
    User(PasskeyAuthentication),
    /// Whoever has a passkey here.
    Anybody(DiscoverableAuthentication),
}

/// What an answer proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whose passkey.
    pub user: UserId,
    /// Which.
    pub authenticator: AuthenticatorId,
    /// Whether its key cannot leave the device.
    pub device_bound: bool,
    /// Whether the device verified its user.
    pub user_verified: bool,
    version: i64,
    passkey: String,
}

/// One that a user has.
#[derive(sqlx::FromRow)]
struct Row {
    id: AuthenticatorId,
    user_id: UserId,
    version: i64,
    verifier: JsonText<Passkey>,
}

/// The ceremonies of one deployment. Cheap to clone.
#[derive(Clone)]
pub struct Passkeys(std::sync::Arc<Webauthn>);

impl std::fmt::Debug for Passkeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passkeys")
    }
}

impl Passkeys {
    /// For exactly this origin: not for its subdomains, not for another port.
    pub fn new(origin: &Url, name: &str) -> Result<Self, PasskeyError> {
        let refused = |why: String| PasskeyError::Address(origin.to_string(), why);
        let host = origin.host_str().ok_or_else(|| refused("it names no host".into()))?;
        let built = WebauthnBuilder::new(host, origin).and_then(|builder| builder.rp_name(name).build());
        Ok(Self(std::sync::Arc::new(built.map_err(|error| refused(error.to_string()))?)))
    }

    /// Begins to add a passkey: what the browser is asked, and the state to keep.
    pub async fn begin_adding(&self, db: &Db, user: &User) -> Result<(Creation, Adding), PasskeyError> {
        let held = of_user(db, user.id).await?;
        let held = held.iter().map(|row| row.verifier.0.cred_id().clone()).collect();
        let shown = user.display_name.as_deref().unwrap_or(&user.user_name);
        let handle = handle_of(user.id);
        let (mut asked, state) =
            self.0.start_passkey_registration(handle, &user.user_name, shown, Some(held))?;
        if let Some(selection) = &mut asked.public_key.authenticator_selection {
            // To be found without a user name, where the device can; one that cannot will do as well.
            selection.resident_key = Some(webauthn_rs_proto::ResidentKeyRequirement::Preferred);
        }
        Ok((asked, Adding(state)))
    }

    /// Finishes it. What is to be stored with [`add`].
    pub fn finish_adding(&self, answer: &Attestation, state: &Adding) -> Result<New, PasskeyError> {
        Ok(New(self.0.finish_passkey_registration(answer, &state.0)?))
    }

    /// Asks a known user for one of their passkeys; `None` when there is none.
    pub async fn ask_user(&self, db: &Db, user: UserId) -> Result<Option<(Request, Asking)>, PasskeyError> {
        let held: Vec<Passkey> = of_user(db, user).await?.into_iter().map(|row| row.verifier.0).collect();
        if held.is_empty() {
            return Ok(None);
        }
        let (asked, state) = self.0.start_passkey_authentication(&held)?;
        Ok(Some((asked, Asking(Asked::User(state)))))
    }

    /// Asks whoever is there for a passkey of theirs.
    pub fn ask_anybody(&self) -> Result<(Request, Asking), PasskeyError> {
        let (asked, state) = self.0.start_discoverable_authentication()?;
        Ok((asked, Asking(Asked::Anybody(state))))
    }

    /// What the answer proves. Nothing is written yet: that is [`used`]'s.
    pub async fn verify(&self, db: &Db, answer: &Assertion, state: Asking) -> Result<Proof, PasskeyError> {
        let row = by_key_id(db, answer).await?.ok_or(PasskeyError::Unknown)?;
        let result = match state.0 {
            Asked::User(state) => self.0.finish_passkey_authentication(answer, &state)?,
            Asked::Anybody(state) => {
                // The handle is the browser's word for whose it is: it must agree with ours.
                let (handle, _) = self.0.identify_discoverable_authentication(answer)?;
                if handle != handle_of(row.user_id) {
                    return Err(PasskeyError::Unknown);
                }
                self.0.finish_discoverable_authentication_v2(
                    answer,
                    state,
                    DiscoverableKey::from(&row.verifier.0),
                )?
            }
        };
        // WebAuthn, level 3, section 7.2, step 18. The library looks only where nobody is known yet.
        if is_device_bound(&json_of(&row.verifier.0)) == result.backup_eligible() {
            return Err(PasskeyError::NotVerified("its key can be copied now and could not before".into()));
        }
        Ok(proof(row, &result))
    }
}

fn proof(row: Row, result: &AuthenticationResult) -> Proof {
    let mut passkey = row.verifier.0;
    passkey.update_credential(result);
    Proof {
        user: row.user_id,
        authenticator: row.id,
        device_bound: !result.backup_eligible(),
        user_verified: result.user_verified(),
        version: row.version,
        passkey: json_of(&passkey),
    }
}

/// A passkey that was just made.
#[derive(Debug)]
pub struct New(Passkey);

impl New {
    /// Whether its key cannot leave the device.
    #[must_use]
    pub fn is_device_bound(&self) -> bool {
        is_device_bound(&json_of(&self.0))
    }
}

/// As it is stored. What was read from JSON becomes JSON again.
fn json_of(passkey: &Passkey) -> String {
    serde_json::to_string(passkey).unwrap_or_default()
}

/// Whether the key of a stored passkey cannot leave the device. What cannot be read is not trusted with that.
pub(super) fn is_device_bound(stored: &str) -> bool {
    #[derive(Deserialize)]
    struct Stored {
        cred: Flags,
    }
    #[derive(Deserialize)]
    struct Flags {
        backup_eligible: bool,
    }
    serde_json::from_str::<Stored>(stored).is_ok_and(|stored| !stored.cred.backup_eligible)
}

/// The user handle (WebAuthn, section 5.4.3): the id itself, which names nobody.
fn handle_of(user: UserId) -> Uuid {
    user.to_string().parse().unwrap_or_default()
}

fn key_id(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

async fn of_user(db: &Db, user: UserId) -> Result<Vec<Row>, StoreError> {
    let sql = sql!(
        "SELECT id, user_id, version, verifier FROM authenticator WHERE user_id = $1 AND kind = 'passkey' \
         ORDER BY created_at, id"
    );
    db.all(sql, (user,)).await
}

async fn by_key_id(db: &Db, answer: &Assertion) -> Result<Option<Row>, StoreError> {
    let sql = sql!("SELECT id, user_id, version, verifier FROM authenticator WHERE key_id = $1");
    db.opt(sql, (key_id(answer.get_credential_id()),)).await
}

/// Adds a passkey to a user.
///
/// # Errors
/// [`DirectoryError::NotFound`] when the user is not active (any more); [`DirectoryError::Taken`] when somebody
/// has it already; [`DirectoryError::Invalid`] when there are too many.
pub async fn add(
    tx: &mut Tx,
    user: UserId,
    name: &str,
    New(passkey): &New,
) -> Result<AuthenticatorId, DirectoryError> {
    if !user::hold(tx, user).await? {
        return Err(DirectoryError::NotFound("active user"));
    }
    if !has_place(tx, user, Kind::Passkey).await? {
        return Err(DirectoryError::too_many("authenticators"));
    }
    let id = AuthenticatorId::new(tx.ctx());
    tx.run(
        sql!(
            "INSERT INTO authenticator (id, user_id, kind, verifier, version, created_at, name, key_id) \
             VALUES ($1, $2, 'passkey', $3, 1, $4, $5, $6)"
        ),
        (id, user, &JsonText(passkey.clone()), tx.now(), tidy_name(name), key_id(passkey.cred_id())),
    )
    .await?;
    let body = AuthenticatorAdded { kind: Kind::Passkey.to_string() };
    tx.record(Fact::new(user.subject(), &body).about(id.subject()));
    Ok(id)
}

/// Notes that a passkey was used, with its new counter: of two answers from one state of the counter one gets
/// `true`. `false` also when it was taken away meanwhile.
pub async fn used(tx: &mut Tx, proof: &Proof) -> Result<bool, StoreError> {
    let now: Timestamp = tx.now();
    let noted = tx
        .run(
            sql!(
                "UPDATE authenticator SET verifier = $3, version = version + 1, last_used_at = $4 \
                 WHERE id = $1 AND version = $2"
            ),
            (proof.authenticator, proof.version, &proof.passkey, now),
        )
        .await?;
    if noted == 1 {
        let body = AuthenticatorUsed { kind: Kind::Passkey.to_string(), left: None };
        tx.record(Fact::new(proof.user.subject(), &body).about(proof.authenticator.subject()));
    }
    Ok(noted == 1)
}
