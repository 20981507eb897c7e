//! A lease: what only one node does at a time, for as long as it keeps saying so.
//!
//! It spares work, it does not protect data: whatever is done under a lease must also be fenced, since a
//! holder that was paused does not know that its lease ran out. Where one process serves alone (SQLite) it waits for no
//! lease of one before it: see [`Db::serve`].

use std::time::Duration;

use kernel::id::NodeId;

use crate::{Db, Origin, StoreError, Tx, sql};

/// One node's claim to a name.
#[derive(Clone, Debug)]
pub struct Lease {
    name: String,
    holder: NodeId,
    time: Duration,
}

impl Lease {
    /// A lease not yet taken.
    #[must_use]
    pub fn new(name: impl Into<String>, holder: NodeId, time: Duration) -> Self {
        Self { name: name.into(), holder, time }
    }

    /// Takes or prolongs it. `false` when another node has it.
    pub async fn hold(&self, db: &Db) -> Result<bool, StoreError> {
        let now = db.ctx().now();
        let held = db
            .change(
                Origin::system(),
                sql!(
                    "INSERT INTO lease (name, holder, until) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE \
                     SET holder = excluded.holder, until = excluded.until \
                     WHERE lease.holder = excluded.holder OR lease.until < $4"
                ),
                (&self.name, self.holder, now.plus(self.time), now),
                Vec::new(),
            )
            .await?;
        Ok(held == 1)
    }

    /// Whether it is this node's now, and stays so until the transaction ends: what is written in it is fenced. It is
    /// neither taken nor prolonged; that it ran out does not matter while nobody else took it.
    pub async fn stays(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        // A write, so that whoever wants to take it waits for the end of the transaction.
        let sql = sql!("UPDATE lease SET until = until WHERE name = $1 AND holder = $2");
        Ok(tx.run(sql, (&self.name, self.holder)).await? == 1)
    }

    /// Gives it up, so that another node need not wait.
    pub async fn release(&self, db: &Db) -> Result<(), StoreError> {
        let sql = sql!("DELETE FROM lease WHERE name = $1 AND holder = $2");
        db.change(Origin::system(), sql, (&self.name, self.holder), Vec::new()).await.map(drop)
    }
}
