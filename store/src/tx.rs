//! One transaction, whichever engine is behind it.

use kernel::id::FactId;
use kernel::{Ctx, Timestamp};
use sqlx::Postgres;

use crate::db::{Row, Shared, fetch_pg, run_pg};
use crate::journal::{Buffer, Reconcile};
use crate::writer::Member;
use crate::{Fact, Origin, Params, Sql, StoreError, Value};

/// An open transaction. Every change records a fact in it: [`Tx::record`].
///
/// INVARIANT: awaits nothing but SQL while open. On SQLite it is the one writer's turn; a second
/// [`Db::write`](crate::Db::write) inside it would wait for itself.
///
/// Dropping it undoes its work. When what was read in it decides an answer, leave by [`Tx::refuse`] or
/// [`Tx::end`] instead: on SQLite it may have read what others have not committed yet.
#[derive(Debug)]
pub struct Tx {
    pub(crate) shared: std::sync::Arc<Shared>,
    pub(crate) origin: Origin,
    pub(crate) buffer: Buffer,
    pub(crate) wakes: Vec<String>,
    pub(crate) engine: Engine,
}

#[derive(Debug)]
pub(crate) enum Engine {
    Sqlite(Member),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Tx {
    /// Now, by the house's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.ctx.now()
    }

    /// Clock and entropy.
    #[must_use]
    pub fn ctx(&self) -> &Ctx {
        &self.shared.ctx
    }

    /// On whose behalf this runs.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The row, if there is one. More than one row: the first.
    pub async fn opt<T: Row>(&mut self, sql: Sql, params: impl Params) -> Result<Option<T>, StoreError> {
        Ok(self.all(sql, params).await?.into_iter().next())
    }

    /// The row. None is an [`StoreError::Inconsistent`]: for counts and rows known to exist.
    pub async fn one<T: Row>(&mut self, sql: Sql, params: impl Params) -> Result<T, StoreError> {
        let text = sql.text().to_owned();
        self.opt(sql, params).await?.ok_or(StoreError::Inconsistent(format!("no row: {text}")))
    }

    /// All rows. A statement that writes with RETURNING is one, too.
    pub async fn all<T: Row>(&mut self, sql: Sql, params: impl Params) -> Result<Vec<T>, StoreError> {
        let values = params.values();
        match &mut self.engine {
            Engine::Sqlite(member) => member.fetch(sql, values).await,
            Engine::Postgres(tx) => fetch_pg(&mut **tx, sql, values).await,
        }
    }

    /// Runs a statement; how many rows it changed.
    pub async fn run(&mut self, sql: Sql, params: impl Params) -> Result<u64, StoreError> {
        let values = params.values();
        match &mut self.engine {
            Engine::Sqlite(member) => member.run(sql, values).await,
            Engine::Postgres(tx) => run_pg(&mut **tx, sql, values).await,
        }
    }

    /// Runs an `UPDATE … WHERE id = … AND version = …` and demands that it met exactly one row.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the row has moved on: a lost update is refused.
    pub async fn run_versioned(&mut self, sql: Sql, params: impl Params) -> Result<(), StoreError> {
        match self.run(sql, params).await? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict),
        }
    }

    /// Records a fact, with a delivery for each sink that wants it. Written at the commit.
    pub fn record(&mut self, fact: Fact) -> FactId {
        self.buffer.record(&self.shared.ctx, &self.origin, &self.shared.sinks, fact)
    }

    pub(crate) fn raise(&mut self, reconcile: Reconcile) {
        self.buffer.reconciles.push(reconcile);
    }

    pub(crate) fn wake(&mut self, sink: &str) {
        self.wakes.push(sink.to_owned());
    }

    /// Makes it durable. When this returns, it survives a power cut.
    pub async fn commit(self) -> Result<(), StoreError> {
        let mut wakes = self.buffer.wakes();
        wakes.extend(self.wakes);
        match self.engine {
            Engine::Sqlite(member) => member.commit(self.buffer).await?,
            Engine::Postgres(mut tx) => {
                for (sql, values) in self.buffer.statements(&self.shared.ctx) {
                    run_pg(&mut *tx, sql, values).await?;
                }
                for sink in &wakes {
                    let values: Vec<Value> = vec![crate::WAKE_CHANNEL.into(), sink.into()];
                    run_pg(&mut *tx, crate::sql!("SELECT pg_notify($1, $2)"), values).await?;
                }
                commit_pg(tx).await?;
            }
        }
        for sink in wakes {
            self.shared.wake(&sink);
        }
        Ok(())
    }

    /// Undoes its own work, then waits until what it read is durable: only then may a refusal that rests on
    /// it be answered.
    pub async fn refuse(self) -> Result<(), StoreError> {
        match self.engine {
            Engine::Sqlite(member) => member.refuse().await,
            Engine::Postgres(tx) => Ok(tx.rollback().await?),
        }
    }

    /// Commits when the outcome is `Ok`, refuses when it is `Err`; answers after the group's commit.
    pub async fn end<T, E: From<StoreError>>(self, outcome: Result<T, E>) -> Result<T, E> {
        match outcome {
            Ok(value) => self.commit().await.map(|()| value).map_err(E::from),
            Err(error) => {
                self.refuse().await?;
                Err(error)
            }
        }
    }
}

/// A server that answers with an error has rolled back; one that does not answer leaves it open.
async fn commit_pg(tx: sqlx::Transaction<'static, Postgres>) -> Result<(), StoreError> {
    tx.commit().await.map_err(|error| match error {
        sqlx::Error::Database(_) => StoreError::from(error),
        _ => StoreError::OutcomeUnknown,
    })
}
