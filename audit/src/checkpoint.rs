//! Checkpoints: how the chain stood at one place, signed.
//!
//! Each names the one before, so that one that is taken out is missed. Each is also written to the log,
//! since whoever cuts the end off a journal can cut the checkpoints off, too, but not out of the log server.

use kernel::Timestamp;
use keys::{Evidence, KeyRing, VerifyError, verify_evidence};
use serde::{Deserialize, Serialize};
use store::{Db, Origin, StoreError, Tx, sql};

use crate::AuditError;
use crate::chain::Link;
use crate::sequence::Head;

/// What a checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The last fact it covers.
    pub seq: i64,
    /// The chain up to and with that fact.
    pub chain: Link,
    /// When it was signed.
    pub at: Timestamp,
    /// The place of the checkpoint before, 0 for the first.
    pub previous: i64,
}

impl Checkpoint {
    /// Verifies a signed checkpoint against the published evidence keys and reads it.
    pub fn read(document: &str, jwks: &[u8]) -> Result<Self, VerifyError> {
        let content = verify_evidence(Evidence::Checkpoint, document, jwks)?;
        serde_json::from_value(content).map_err(|_| VerifyError::Malformed("the checkpoint has another form"))
    }
}

/// Signs where the chain ends now. `None` when the latest checkpoint covers all, or somebody else was faster.
pub async fn checkpoint(db: &Db, ring: &KeyRing) -> Result<Option<Checkpoint>, AuditError> {
    let head = Head::read(db).await?;
    if head.seq == head.checkpoint_seq {
        return Ok(None);
    }
    let chain = head.link().ok_or(AuditError::Head)?;
    let checkpoint = Checkpoint { seq: head.seq, chain, at: db.ctx().now(), previous: head.checkpoint_seq };
    let document = ring.sign_evidence(Evidence::Checkpoint, &checkpoint)?;
    let mut tx = db.write(Origin::system()).await?;
    let kept = keep(&mut tx, &checkpoint, &document).await;
    match tx.end(kept).await {
        Ok(()) => {}
        Err(StoreError::Conflict) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    tracing::info!(audit.seq = checkpoint.seq, audit.checkpoint = %document, "the journal's chain was signed");
    Ok(Some(checkpoint))
}

async fn keep(tx: &mut Tx, checkpoint: &Checkpoint, document: &str) -> Result<(), StoreError> {
    tx.run_versioned(
        sql!("UPDATE chain_head SET checkpoint_seq = $1, checkpoint_at = $2 WHERE checkpoint_seq = $3"),
        (checkpoint.seq, checkpoint.at, checkpoint.previous),
    )
    .await?;
    tx.run(
        sql!("INSERT INTO checkpoint (seq, at, jws) VALUES ($1, $2, $3)"),
        (checkpoint.seq, checkpoint.at, document),
    )
    .await
    .map(drop)
}
