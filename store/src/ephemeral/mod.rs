//! Values that may be lost: counters for throttling, short-lived single-use values.
//!
//! Two implementations under one suite (`tests/suite/ephemeral.rs`): in memory for one process, Redis for many.
//! What must survive a restart does not belong here.

mod memory;
mod redis;

use std::time::Duration;

use kernel::{Ctx, Secret};

/// Why Ephemeral could not answer.
#[derive(Debug, thiserror::Error)]
pub enum EphemeralError {
    /// Redis is not reachable or refused.
    #[error("the ephemeral store failed: {0}")]
    Failed(String),
    /// The in-process store holds its maximum of live values.
    #[error("the ephemeral store is full")]
    Full,
    /// The key or the value is longer than may be stored.
    #[error("the key or value is too long for the ephemeral store")]
    TooLong,
}

/// Counters and short-lived values, in this process or on Redis. Keys up to [`Ephemeral::KEY_BYTES`], values up
/// to [`Ephemeral::VALUE_BYTES`].
#[derive(Clone, Debug)]
pub struct Ephemeral(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Memory(memory::Memory),
    Redis(redis::Redis),
}

impl Ephemeral {
    /// The longest key, in bytes.
    pub const KEY_BYTES: usize = 512;
    /// The longest value, in bytes.
    pub const VALUE_BYTES: usize = 65_536;

    /// In this process: gone when it ends. Holds 1,000,000 live values and 128 MiB at most.
    #[must_use]
    pub fn in_memory(ctx: Ctx) -> Self {
        Self(Kind::Memory(memory::Memory::new(ctx, memory::Bounds { entries: 1_000_000, bytes: 128 << 20 })))
    }

    /// On a Redis server. `prefix` keeps deployments that share one apart.
    pub async fn on_redis(url: &Secret<String>, prefix: &str) -> Result<Self, EphemeralError> {
        Ok(Self(Kind::Redis(redis::Redis::open(url, prefix).await?)))
    }

    /// Adds one to a counter and answers the new count. The counter disappears `window` after its first
    /// count. Exact under any number of callers at once.
    pub async fn count(&self, key: &str, window: Duration) -> Result<u64, EphemeralError> {
        bounded(key, "")?;
        match &self.0 {
            Kind::Memory(memory) => memory.count(key, window),
            Kind::Redis(redis) => redis.count(key, window).await,
        }
    }

    /// Takes one back that was counted for nothing. A counter that has disappeared stays so, and its window is the
    /// same.
    pub async fn uncount(&self, key: &str) -> Result<(), EphemeralError> {
        match &self.0 {
            Kind::Memory(memory) => {
                memory.uncount(key);
                Ok(())
            }
            Kind::Redis(redis) => redis.uncount(key).await,
        }
    }

    /// Forgets a counter or a value.
    pub async fn forget(&self, key: &str) -> Result<(), EphemeralError> {
        match &self.0 {
            Kind::Memory(memory) => {
                memory.forget(key);
                Ok(())
            }
            Kind::Redis(redis) => redis.forget(key).await,
        }
    }

    /// Stores a value unless one is there already. `true` when it was stored: of many callers, for one.
    pub async fn put_once(&self, key: &str, value: &str, ttl: Duration) -> Result<bool, EphemeralError> {
        bounded(key, value)?;
        match &self.0 {
            Kind::Memory(memory) => memory.put_once(key, value, ttl),
            Kind::Redis(redis) => redis.put_once(key, value, ttl).await,
        }
    }

    /// Stores a value, replacing what is there.
    pub async fn put(&self, key: &str, value: &str, ttl: Duration) -> Result<(), EphemeralError> {
        bounded(key, value)?;
        match &self.0 {
            Kind::Memory(memory) => memory.put(key, value, ttl),
            Kind::Redis(redis) => redis.put(key, value, ttl).await,
        }
    }

    /// Reads a value without taking it.
    pub async fn get(&self, key: &str) -> Result<Option<String>, EphemeralError> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.get(key)),
            Kind::Redis(redis) => redis.get(key).await,
        }
    }

    /// Takes a value: of many callers, one gets it.
    pub async fn take(&self, key: &str) -> Result<Option<String>, EphemeralError> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.take(key)),
            Kind::Redis(redis) => redis.take(key).await,
        }
    }

    /// Whether it answers.
    pub async fn check(&self) -> Result<(), EphemeralError> {
        self.get("check").await.map(drop)
    }
}

fn bounded(key: &str, value: &str) -> Result<(), EphemeralError> {
    let fits = key.len() <= Ephemeral::KEY_BYTES && value.len() <= Ephemeral::VALUE_BYTES;
    if fits { Ok(()) } else { Err(EphemeralError::TooLong) }
}
