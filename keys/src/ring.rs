//! The key ring: the keys that sign and verify now, in memory, and their upkeep in the database.
//!
//! Reading is a lock held for a clone of a pointer; nothing on the way of a request touches the database.
//! Rows are made only by inserting a generation that is not there yet, so two nodes cannot both make it, and
//! a key is retired once. What a row seals says what the key is: a key that somebody wrote into the table
//! without the sealing key does not open, and is never published.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use kernel::id::NodeId;
use kernel::{Subject, Timestamp, sha256};
use serde::Serialize;
use serde_json::Value;
use store::{Db, Fact, Lease, Origin, StoreError, Tx, sql};
use tokio::sync::watch;

use crate::jwt::{self, Expect, JwtError, MAX_JWT_BYTES};
use crate::pair::KeyPair;
use crate::rotation::{self, Age, Purpose, RotationPolicy, Slot, Step};
use crate::verified::Verified;
use crate::{
    Alg, Evidence, KeysError, SealError, SealedColumn, SealingKeys, SigningKeyCreated, SigningKeyRetired,
    evidence,
};

/// Where signing keys are sealed.
pub const SIGNING_KEY: SealedColumn = SealedColumn::new("signing_key", "sealed", "kid");

/// How long a signature waits for the first key of its algorithm.
const FIRST_KEY_WAIT: Duration = Duration::from_secs(10);
/// Longer than an upkeep takes; another node may go on after that.
const UPKEEP_LEASE: Duration = Duration::from_secs(60);

/// A JSON Web Key Set (RFC 7517, section 5), ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Jwks {
    /// The JSON text.
    pub bytes: Vec<u8>,
    /// A strong entity tag, with its quotes (RFC 9110, section 8.8.3).
    pub etag: String,
}

/// The keys of this house. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct KeyRing(Arc<Ring>);

struct Ring {
    db: Db,
    sealing: SealingKeys,
    policy: RotationPolicy,
    lease: Lease,
    keys: watch::Sender<Arc<Keys>>,
    verified: Verified,
}

/// The keys as they were last read.
struct Keys {
    all: Vec<Arc<Key>>,
    ages: Vec<Age>,
    token_jwks: Arc<Jwks>,
    evidence_jwks: Arc<Jwks>,
}

struct Key {
    kid: String,
    age: Age,
    /// The text this was opened from: as long as it stands in the row, there is nothing to open.
    sealed: String,
    jwk: Jwk,
    verifier: DecodingKey,
    /// `None` once it is retired.
    pair: Option<KeyPair>,
}

impl KeyRing {
    /// Reads all keys, and makes the first ones where there are none: ES256 at once, RS256 in the background
    /// (it takes a third of a second at worst).
    ///
    /// # Errors
    /// [`KeysError::Sealed`] when the key file is not the one that this database was used with.
    pub async fn open(db: Db, sealing: SealingKeys, policy: RotationPolicy) -> Result<Self, KeysError> {
        let ring = Self::read(db, sealing, policy).await?;
        let is_slow = |step: &Step| matches!(step, Step::Create { slot, .. } if slot.alg == Alg::Rs256);
        let (slow, fast): (Vec<Step>, Vec<Step>) = ring.due().into_iter().filter(is_first).partition(is_slow);
        ring.carry_out(fast).await?;
        if !slow.is_empty() {
            let ring = ring.clone();
            tokio::spawn(async move {
                // The next upkeep tries again.
                if let Err(error) = ring.carry_out(slow).await {
                    tracing::error!(%error, "making the first RS256 key failed");
                }
            });
        }
        Ok(ring)
    }

    /// Reads all keys and makes none, for commands that look only: it may verify, and cannot sign where
    /// nothing ever has.
    ///
    /// # Errors
    /// As [`KeyRing::open`].
    pub async fn read(db: Db, sealing: SealingKeys, policy: RotationPolicy) -> Result<Self, KeysError> {
        policy.check()?;
        let lease = Lease::new("signing_keys", NodeId::new(db.ctx()), UPKEEP_LEASE);
        let keys = watch::Sender::new(Arc::new(Keys::of(Vec::new(), &policy, db.ctx().now())));
        let verified = Verified::default();
        let ring = Self(Arc::new(Ring { db, sealing, policy, lease, keys, verified }));
        ring.reload().await?;
        Ok(ring)
    }

    /// Opens every stored key and makes none; answers how many there are. For `cardea check`.
    pub async fn check(db: &Db, sealing: &SealingKeys) -> Result<usize, KeysError> {
        let ring = Self::read(db.clone(), sealing.clone(), RotationPolicy::default()).await?;
        Ok(ring.keys().all.len())
    }

    /// One pass of upkeep: reads the sealing key file, if it changed, and what other nodes did, makes the next
    /// generation when its time comes, retires what is spent. Run it each minute; at least once in
    /// [`Rotation::announced`](crate::Rotation).
    pub async fn maintain(&self) -> Result<(), KeysError> {
        // What was read before still opens what it opened.
        if let Err(error) = self.0.sealing.refresh() {
            tracing::error!(%error, "the sealing key file was changed and cannot be read again");
        }
        self.reload().await?;
        let steps = self.due();
        // The lease spares the work of making a key twice; the rows themselves do not take a second one.
        if steps.is_empty() || !self.0.lease.hold(&self.0.db).await? {
            return Ok(());
        }
        self.carry_out(steps).await
    }

    /// The keys that tokens are verified with.
    #[must_use]
    pub fn jwks(&self) -> Arc<Jwks> {
        self.keys().token_jwks.clone()
    }

    /// The keys that receipts and checkpoints are verified with: all there ever were.
    #[must_use]
    pub fn evidence_jwks(&self) -> Arc<Jwks> {
        self.keys().evidence_jwks.clone()
    }

    /// Signs a token of this type. Waits while the first key of the algorithm is being made.
    ///
    /// # Errors
    /// [`KeysError::NotReady`] when it is not there after ten seconds; [`KeysError::NotAnObject`].
    pub async fn sign_jwt(&self, alg: Alg, typ: &str, claims: &impl Serialize) -> Result<String, KeysError> {
        let slot = Slot { purpose: Purpose::Token, alg };
        if self.signer(slot).is_none() {
            let mut keys = self.0.keys.subscribe();
            let first = keys.wait_for(|keys| keys.ages.iter().any(|age| age.slot == slot));
            // Whichever way the wait ends, what is there now decides.
            let _ = tokio::time::timeout(FIRST_KEY_WAIT, first).await;
        }
        self.sign(slot, typ, claims)
    }

    /// Verifies a token of ours: form, type, algorithm, key, signature, issuer, audience, time.
    pub fn verify_jwt(&self, token: &str, expect: &Expect<'_>) -> Result<Value, JwtError> {
        let claims = self.opened(token, expect)?;
        jwt::check_claims(&claims, expect, self.now())?;
        Ok(claims)
    }

    /// The same for a token whose time may be over: an ID token that comes back as a hint. Keys are known for
    /// as long as they may verify, so one that is much older is not taken.
    pub fn verify_past_jwt(&self, token: &str, expect: &Expect<'_>) -> Result<Value, JwtError> {
        let claims = self.opened(token, expect)?;
        jwt::check_parties(&claims, expect)?;
        Ok(claims)
    }

    fn opened(&self, token: &str, expect: &Expect<'_>) -> Result<Value, JwtError> {
        if token.len() > MAX_JWT_BYTES {
            return Err(JwtError::TooLarge);
        }
        let (keys, now) = (self.keys(), self.now());
        let find = |kid: &str| keys.token_key(kid, &self.0.policy, now);
        let decode = |token: &str, alg, key: &DecodingKey| self.0.verified.decode(token, alg, key);
        jwt::open_by(token, expect.typ, expect.algs, find, decode)
    }

    /// What its own keys are sealed with.
    #[must_use]
    pub fn sealing(&self) -> &SealingKeys {
        &self.0.sealing
    }

    /// What follows from an input and the sealing key: [`SealingKeys::derive`].
    #[must_use]
    pub fn derive(&self, purpose: &str, input: &[u8]) -> Vec<[u8; 32]> {
        self.0.sealing.derive(purpose, input)
    }

    /// Signs a document that must verify for years. The content must be a JSON object.
    pub fn sign_evidence(&self, kind: Evidence, content: &impl Serialize) -> Result<String, KeysError> {
        self.sign(Slot { purpose: Purpose::Evidence, alg: evidence::ALG }, kind.typ(), content)
    }

    fn sign(&self, slot: Slot, typ: &str, claims: &impl Serialize) -> Result<String, KeysError> {
        let key = self.signer(slot).ok_or(KeysError::NotReady(slot.alg))?;
        let pair = key.pair.as_ref().ok_or(KeysError::NotReady(slot.alg))?;
        jwt::sign(pair, slot.alg, &key.kid, typ, claims)
    }

    fn signer(&self, slot: Slot) -> Option<Arc<Key>> {
        let keys = self.keys();
        let generation = rotation::signer(&keys.ages, slot, self.now())?;
        keys.all.iter().find(|key| key.age.slot == slot && key.age.generation == generation).cloned()
    }

    fn keys(&self) -> Arc<Keys> {
        self.0.keys.borrow().clone()
    }

    fn now(&self) -> Timestamp {
        self.0.db.ctx().now()
    }

    fn due(&self) -> Vec<Step> {
        rotation::due(&self.keys().ages, &self.0.policy, self.now())
    }

    /// Reads the rows; opens only what is new. On failure everything stays as it was.
    async fn reload(&self) -> Result<(), KeysError> {
        let known = self.keys();
        let rows = read_rows(&self.0.db).await?;
        let open =
            |row: Row| match known.all.iter().find(|key| key.kid == row.kid && key.sealed == row.sealed) {
                Some(key) => Ok(key.clone()),
                None => Key::open(row, &self.0.sealing).map(Arc::new),
            };
        let all = rows.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        self.0.keys.send_replace(Arc::new(Keys::of(all, &self.0.policy, self.now())));
        Ok(())
    }

    /// Makes and retires keys in one transaction, then reads what has become of them: another node may have
    /// been faster.
    async fn carry_out(&self, steps: Vec<Step>) -> Result<(), KeysError> {
        let mut changes = Vec::new();
        for step in steps {
            changes.extend(self.prepare(step).await?);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let mut tx = self.0.db.write(Origin::system()).await?;
        let outcome = write(&mut tx, changes).await;
        tx.end(outcome).await?;
        self.reload().await
    }

    /// Everything that takes time, before the transaction.
    async fn prepare(&self, step: Step) -> Result<Option<Change>, KeysError> {
        match step {
            Step::Create { slot, generation, signs_from } => {
                let pair = generate(slot.alg).await?;
                let kid = pair.public_jwk().common.key_id.ok_or(KeysError::Crypto("naming a key"))?;
                let sealed = self.seal(&kid, pair.to_pkcs8()?.expose());
                Ok(Some(Change::Create { kid, slot, generation, signs_from, sealed }))
            }
            Step::Retire { slot, generation } => {
                let keys = self.keys();
                let key =
                    keys.all.iter().find(|key| key.age.slot == slot && key.age.generation == generation);
                Ok(key.map(|key| Change::Retire {
                    kid: key.kid.clone(),
                    slot,
                    public: (slot.purpose == Purpose::Evidence).then(|| self.seal(&key.kid, &json(&key.jwk))),
                }))
            }
        }
    }

    fn seal(&self, kid: &str, value: &[u8]) -> String {
        self.0.sealing.seal(self.0.db.ctx(), SIGNING_KEY.at(kid), value)
    }
}

/// Shows no key.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRing")
    }
}

fn is_first(step: &Step) -> bool {
    matches!(step, Step::Create { generation: 1, .. })
}

async fn generate(alg: Alg) -> Result<KeyPair, KeysError> {
    match alg {
        Alg::Es256 => KeyPair::generate(alg),
        Alg::Rs256 => tokio::task::spawn_blocking(move || KeyPair::generate(alg))
            .await
            .unwrap_or(Err(KeysError::Crypto("making a key pair"))),
    }
}

fn json(jwk: &Jwk) -> Vec<u8> {
    // A JWK is texts in a struct: it always serialises.
    serde_json::to_vec(jwk).unwrap_or_default()
}

#[derive(sqlx::FromRow)]
struct Row {
    kid: String,
    purpose: String,
    alg: String,
    generation: i64,
    signs_from: Timestamp,
    retired_at: Option<Timestamp>,
    sealed: String,
}

async fn read_rows(db: &Db) -> Result<Vec<Row>, StoreError> {
    db.all(
        sql!(
            "SELECT kid, purpose, alg, generation, signs_from, retired_at, sealed FROM signing_key \
             WHERE sealed IS NOT NULL ORDER BY purpose, alg, generation"
        ),
        (),
    )
    .await
}

enum Change {
    Create { kid: String, slot: Slot, generation: i64, signs_from: Timestamp, sealed: String },
    Retire { kid: String, slot: Slot, public: Option<String> },
}

async fn write(tx: &mut Tx, changes: Vec<Change>) -> Result<(), StoreError> {
    for change in changes {
        match change {
            Change::Create { kid, slot, generation, signs_from, sealed } => {
                create(tx, &kid, slot, generation, signs_from, sealed).await?;
            }
            Change::Retire { kid, slot, public } => retire(tx, &kid, slot, public).await?,
        }
    }
    Ok(())
}

async fn create(
    tx: &mut Tx,
    kid: &str,
    slot: Slot,
    generation: i64,
    signs_from: Timestamp,
    sealed: String,
) -> Result<(), StoreError> {
    let (purpose, alg) = (slot.purpose.as_str(), slot.alg.as_str());
    let now = tx.now();
    let created = tx
        .run(
            sql!(
                "INSERT INTO signing_key (kid, purpose, alg, generation, sealed, created_at, signs_from) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (purpose, alg, generation) DO NOTHING"
            ),
            (kid, purpose, alg, generation, sealed, now, signs_from),
        )
        .await?;
    if created == 1 {
        let body = SigningKeyCreated {
            kid: kid.into(),
            purpose: purpose.into(),
            alg: alg.into(),
            signs_from: signs_from.as_millis(),
        };
        tx.record(Fact::new(Subject::new("signing_key", kid), &body));
    }
    Ok(())
}

async fn retire(tx: &mut Tx, kid: &str, slot: Slot, public: Option<String>) -> Result<(), StoreError> {
    let now = tx.now();
    let retired = tx
        .run(
            sql!("UPDATE signing_key SET sealed = $2, retired_at = $3 WHERE kid = $1 AND retired_at IS NULL"),
            (kid, public, now),
        )
        .await?;
    if retired == 1 {
        let body = SigningKeyRetired {
            kid: kid.into(),
            purpose: slot.purpose.as_str().into(),
            alg: slot.alg.as_str().into(),
        };
        tx.record(Fact::new(Subject::new("signing_key", kid), &body));
    }
    Ok(())
}

impl Keys {
    fn of(all: Vec<Arc<Key>>, policy: &RotationPolicy, now: Timestamp) -> Self {
        let ages: Vec<Age> = all.iter().map(|key| key.age).collect();
        let token = |key: &&Arc<Key>| {
            key.age.slot.purpose == Purpose::Token && !rotation::is_spent(&key.age, &ages, policy, now)
        };
        let evidence = |key: &&Arc<Key>| key.age.slot.purpose == Purpose::Evidence;
        let token_jwks = Arc::new(Jwks::of(all.iter().filter(token)));
        let evidence_jwks = Arc::new(Jwks::of(all.iter().filter(evidence)));
        Self { all, ages, token_jwks, evidence_jwks }
    }

    fn token_key(&self, kid: &str, policy: &RotationPolicy, now: Timestamp) -> Option<(Alg, &DecodingKey)> {
        let key = self.all.iter().find(|key| key.kid == kid && key.age.slot.purpose == Purpose::Token)?;
        let in_force = !rotation::is_spent(&key.age, &self.ages, policy, now);
        in_force.then_some((key.age.slot.alg, &key.verifier))
    }
}

impl Key {
    fn open(row: Row, sealing: &SealingKeys) -> Result<Self, KeysError> {
        let broken = || KeysError::Sealed { kid: row.kid.clone(), source: SealError::Broken };
        let purpose = Purpose::parse(&row.purpose).ok_or_else(broken)?;
        let alg: Alg = row.alg.parse().map_err(|_| broken())?;
        let value = sealing
            .open(SIGNING_KEY.at(&row.kid), &row.sealed)
            .map_err(|source| KeysError::Sealed { kid: row.kid.clone(), source })?;
        let (pair, jwk) = if row.retired_at.is_some() {
            (None, serde_json::from_slice::<Jwk>(value.expose()).map_err(|_| broken())?)
        } else {
            let pair = KeyPair::from_pkcs8(alg, value.expose()).map_err(|_| broken())?;
            let jwk = pair.public_jwk();
            (Some(pair), jwk)
        };
        // The id is the thumbprint of what is sealed: neither can be exchanged alone.
        if jwk.common.key_id.as_deref() != Some(&row.kid) {
            return Err(broken());
        }
        let verifier = DecodingKey::from_jwk(&jwk).map_err(|_| broken())?;
        let age = Age {
            slot: Slot { purpose, alg },
            generation: row.generation,
            signs_from: row.signs_from,
            retired: row.retired_at.is_some(),
        };
        Ok(Self { kid: row.kid, age, sealed: row.sealed, jwk, verifier, pair })
    }
}

impl Jwks {
    fn of<'k>(keys: impl Iterator<Item = &'k Arc<Key>>) -> Self {
        let keys: Vec<&Jwk> = keys.map(|key| &key.jwk).collect();
        let bytes = serde_json::to_vec(&serde_json::json!({ "keys": keys })).unwrap_or_default();
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&sha256(&bytes)[..12]));
        Self { bytes, etag }
    }
}
