//! What only a process that runs lanes does beside them: it sees to it that it may, watches its clock, and gives back
//! what processes that died have claimed.
//!
//! On SQLite one process runs lanes: a lock on a file beside the database sees to that, and is gone with whoever
//! held it. So are all leases: nobody else is there to hold one. On PostgreSQL there may be many.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::db::Pools;
use crate::delivery::release_dead;
use crate::{Db, Origin, StartError, sql};

/// How soon a clock that went wrong and a node that died are noticed.
const WATCH: Duration = Duration::from_secs(1);

/// As long as this lives, this process runs lanes.
#[derive(Debug)]
pub struct Serving {
    /// Held for its lock.
    _alone: Option<File>,
    watch: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl Db {
    /// To be called by whoever runs lanes, before they start, and held until they have ended.
    ///
    /// # Errors
    /// [`StartError::Served`] when another process runs lanes on this SQLite file.
    pub async fn serve(&self) -> Result<Serving, StartError> {
        let alone = match &self.engine {
            Pools::Sqlite { path, .. } => Some(lock(path)?),
            Pools::Postgres { .. } => None,
        };
        if alone.is_some() {
            let released = self.change(Origin::system(), sql!("DELETE FROM lease"), (), Vec::new()).await;
            released.map_err(StartError::failed)?;
        }
        self.wait_for_number().await;
        release_dead(self).await.map_err(StartError::failed)?;
        // Alone on its machine, it has nobody's clock to differ from and nobody's claims to give back.
        let watch = self.is_postgres().then(|| tokio::spawn(watch(self.clone())));
        Ok(Serving { _alone: alone, watch })
    }
}

async fn watch(db: Db) {
    while !db.is_closed() {
        tokio::time::sleep(WATCH).await;
        if let Err(error) = look_around(&db).await
            && !db.is_closed()
        {
            tracing::warn!(%error, "watching clock and claims failed");
        }
    }
}

async fn look_around(db: &Db) -> Result<(), StartError> {
    db.check().await?;
    release_dead(db).await.map_err(StartError::failed)
}

fn lock(database: &Path) -> Result<File, StartError> {
    let path = beside(database);
    let failed = |error: std::io::Error| StartError::Failed(format!("{}: {error}", path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Served(database.into())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name: OsString = database.into();
    name.push(".serving");
    name.into()
}
