//! Ephemeral on Redis.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{AsyncCommands as _, ExistenceCheck, Script, SetExpiry, SetOptions};
use kernel::Secret;

use super::EphemeralError;

#[derive(Clone)]
pub(super) struct Redis {
    manager: ConnectionManager,
    prefix: String,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

/// How long to wait for a connection, and for an answer: a call takes at most twice this.
const PATIENCE: Duration = Duration::from_millis(500);

impl From<::redis::RedisError> for EphemeralError {
    fn from(error: ::redis::RedisError) -> Self {
        EphemeralError::Failed(error.to_string())
    }
}

/// Counts, and starts the window with the first count: one step, so that no counter is left without an end.
const COUNT: &str = "local n = redis.call('INCR', KEYS[1]) \
                     if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n";

/// Counts down what is there and above zero: a counter made by this would have no end.
const UNCOUNT: &str = "local n = tonumber(redis.call('GET', KEYS[1])) \
                       if n and n > 0 then redis.call('DECR', KEYS[1]) end";

impl Redis {
    pub(super) async fn open(url: &Secret<String>, prefix: &str) -> Result<Self, EphemeralError> {
        let client = ::redis::Client::open(url.expose().as_str())?;
        // Each call to a server that is down tries to reach it once: an answer in time is worth more than one
        // in the end.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let manager = ConnectionManager::new_with_config(client, config).await?;
        Ok(Self { manager, prefix: prefix.to_owned() })
    }

    fn key(&self, key: &str) -> String {
        format!("{}:{key}", self.prefix)
    }

    pub(super) async fn count(&self, key: &str, window: Duration) -> Result<u64, EphemeralError> {
        let mut manager = self.manager.clone();
        let script = Script::new(COUNT);
        Ok(script.key(self.key(key)).arg(millis(window)).invoke_async(&mut manager).await?)
    }

    pub(super) async fn uncount(&self, key: &str) -> Result<(), EphemeralError> {
        let mut manager = self.manager.clone();
        let _: () = Script::new(UNCOUNT).key(self.key(key)).invoke_async(&mut manager).await?;
        Ok(())
    }

    pub(super) async fn put_once(
        &self,
        key: &str,
        value: &str,
        ttl: Duration,
    ) -> Result<bool, EphemeralError> {
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::PX(millis(ttl)));
        let stored: Option<String> = self.manager.clone().set_options(self.key(key), value, options).await?;
        Ok(stored.is_some())
    }

    pub(super) async fn put(&self, key: &str, value: &str, ttl: Duration) -> Result<(), EphemeralError> {
        let options = SetOptions::default().with_expiration(SetExpiry::PX(millis(ttl)));
        let _: () = self.manager.clone().set_options(self.key(key), value, options).await?;
        Ok(())
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, EphemeralError> {
        Ok(self.manager.clone().get(self.key(key)).await?)
    }

    pub(super) async fn take(&self, key: &str) -> Result<Option<String>, EphemeralError> {
        Ok(self.manager.clone().get_del(self.key(key)).await?)
    }

    pub(super) async fn forget(&self, key: &str) -> Result<(), EphemeralError> {
        let _: u64 = self.manager.clone().del(self.key(key)).await?;
        Ok(())
    }
}

/// Redis refuses an expiry of zero.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}
