//! One transaction, whichever engine is behind it.

use std::sync::Arc;

use kernel::id::FactId;
use kernel::{Ctx, Subject, Timestamp};
use sqlx::Postgres;

use crate::db::{Row, Shared, answered, fetch_pg, run_pg};
use crate::delivery::{Hint, raise_reconcilers};
use crate::error::of_commit;
use crate::journal::Buffer;
use crate::listen::Neighbours;
use crate::writer::Member;
use crate::{Fact, Origin, Params, Sql, StoreError};

/// An open transaction. Every change records a fact in it: [`Tx::record`].
///
/// INVARIANT: awaits nothing but SQL while open. On SQLite it is the one writer's turn; a second
/// [`Db::write`](crate::Db::write) inside it would wait for itself.
///
/// After an error of any of its statements nothing of it can be kept: [`Tx::commit`] answers that error.
/// (PostgreSQL rules so; SQLite would go on.) To go on after a value was taken, ask with `ON CONFLICT DO
/// NOTHING` instead.
///
/// Dropping it undoes its work. When what was read in it decides an answer, leave by [`Tx::refuse`] or
/// [`Tx::end`] instead: on SQLite it may have read what others have not committed yet.
#[derive(Debug)]
pub struct Tx {
    pub(crate) shared: Arc<Shared>,
    pub(crate) origin: Origin,
    pub(crate) buffer: Buffer,
    /// Why it cannot be committed any more. Set also while a statement runs: one that was dropped half-way may
    /// have failed unseen.
    pub(crate) broken: Option<StoreError>,
    pub(crate) engine: Engine,
}

#[derive(Debug)]
pub(crate) enum Engine {
    Sqlite(Member),
    Postgres { tx: sqlx::Transaction<'static, Postgres>, neighbours: Arc<Neighbours> },
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
        let row = self.opt(sql.clone(), params).await?;
        let row = row.ok_or_else(|| StoreError::no_row(&sql));
        self.end_statement(row)
    }

    /// All rows. A statement that writes with RETURNING is one, too.
    pub async fn all<T: Row>(&mut self, sql: Sql, params: impl Params) -> Result<Vec<T>, StoreError> {
        self.begin_statement()?;
        let values = params.values();
        let rows = match &mut self.engine {
            Engine::Sqlite(member) => member.statement(sql, values).await.map(|(rows, _)| rows),
            Engine::Postgres { tx, .. } => fetch_pg(&mut **tx, sql, values).await,
        };
        self.end_statement(rows)
    }

    /// Runs a statement; how many rows it changed.
    pub async fn run(&mut self, sql: Sql, params: impl Params) -> Result<u64, StoreError> {
        self.begin_statement()?;
        let values = params.values();
        let changed = match &mut self.engine {
            Engine::Sqlite(member) => member.statement::<()>(sql, values).await.map(|(_, changed)| changed),
            Engine::Postgres { tx, .. } => run_pg(&mut **tx, sql, values).await,
        };
        self.end_statement(changed)
    }

    fn begin_statement(&mut self) -> Result<(), StoreError> {
        self.shared.count_statement();
        match self.broken.replace(StoreError::Conflict) {
            None => Ok(()),
            Some(error) => {
                self.broken = Some(error.clone());
                Err(error)
            }
        }
    }

    fn end_statement<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.broken = outcome.as_ref().err().cloned();
        outcome
    }

    /// Runs an `UPDATE … WHERE id = … AND version = …` and demands that it met exactly one row.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the row has moved on: a lost update is refused.
    pub async fn run_versioned(&mut self, sql: Sql, params: impl Params) -> Result<(), StoreError> {
        match self.run(sql, params).await? {
            1 => Ok(()),
            _ => self.end_statement(Err(StoreError::Conflict)),
        }
    }

    /// Records a fact, with a delivery for each sink that wants it. Written at the commit.
    pub fn record(&mut self, fact: Fact) -> FactId {
        self.buffer.record(&self.shared.ctx, &self.origin, &self.shared.sinks, fact)
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    pub(crate) fn raise(&mut self, hint: Hint) {
        self.buffer.raise(hint);
    }

    /// Raises now, not at the commit, the reconcilers that come before this one in the order in which all
    /// transactions lock them: whoever completes a row and raises others must not lock out of order.
    pub(crate) async fn flush_raises_before(
        &mut self,
        sink: &str,
        subject: &Subject,
    ) -> Result<(), StoreError> {
        if !self.is_postgres() {
            return Ok(());
        }
        let hints = self.buffer.take_raises_before(sink, subject);
        hints.iter().for_each(|hint| self.buffer.wake(&hint.address.sink));
        for (sql, values) in raise_reconcilers(&self.shared.ctx, &self.shared.positions, hints) {
            self.run(sql, values).await?;
        }
        Ok(())
    }

    pub(crate) fn wake(&mut self, sink: &str) {
        self.buffer.wake(sink);
    }

    /// Makes it durable. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// That of a statement that failed before: then nothing is committed.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if let Some(error) = self.broken.take() {
            self.refuse().await?;
            return Err(error);
        }
        match self.engine {
            Engine::Sqlite(member) => member.commit(self.buffer).await,
            Engine::Postgres { tx, neighbours } => {
                commit_pg(tx, self.buffer, &self.shared, &neighbours).await
            }
        }
    }

    /// Undoes its own work, then waits until what it read is durable: only then may a refusal that rests on
    /// it be answered.
    pub async fn refuse(self) -> Result<(), StoreError> {
        match self.engine {
            Engine::Sqlite(member) => member.refuse().await,
            Engine::Postgres { tx, .. } => {
                // Only committed rows were read, and a connection that fails here is rolled back by the server.
                if let Err(error) = answered(tx.rollback()).await {
                    tracing::debug!(%error, "a rollback was not confirmed");
                }
                Ok(())
            }
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

async fn commit_pg(
    mut tx: sqlx::Transaction<'static, Postgres>,
    buffer: Buffer,
    shared: &Shared,
    neighbours: &Neighbours,
) -> Result<(), StoreError> {
    let wakes = buffer.wakes();
    for (sql, values) in buffer.statements(shared) {
        run_pg(&mut *tx, sql, values).await?;
    }
    let committed = answered(tx.commit()).await.map_err(of_commit);
    // Also of an unknown outcome: whoever looks finds out.
    if matches!(committed, Ok(()) | Err(StoreError::OutcomeUnknown)) {
        wakes.iter().for_each(|sink| shared.wake(sink));
        neighbours.tell(&wakes);
    }
    committed
}
