//! Hearing from other nodes, on PostgreSQL: which sink has work to do.
//!
//! A notice may be lost; lanes look by themselves once a second.

use std::sync::Weak;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::task::JoinHandle;

use crate::db::Shared;

/// The channel that carries sink names.
pub(crate) const WAKE_CHANNEL: &str = "cardea_wake";

/// Listens until dropped.
#[derive(Debug)]
pub(crate) struct Listening(JoinHandle<()>);

impl Listening {
    pub(crate) fn start(pool: PgPool, shared: Weak<Shared>) -> Self {
        Self(tokio::spawn(listen(pool, shared)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(pool: PgPool, shared: Weak<Shared>) {
    while !pool.is_closed() {
        if let Err(error) = hear(&pool, &shared).await
            && !pool.is_closed()
        {
            tracing::warn!(%error, "listening for other nodes failed; polling until it works again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn hear(pool: &PgPool, shared: &Weak<Shared>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(WAKE_CHANNEL).await?;
    loop {
        // What was said while nobody listened is unknown: everybody looks.
        if let Some(shared) = shared.upgrade() {
            shared.wake_all();
        }
        // `None`: the connection was lost, and is restored by now.
        while let Some(notice) = listener.try_recv().await? {
            let Some(shared) = shared.upgrade() else { return Ok(()) };
            shared.wake(notice.payload());
        }
    }
}
