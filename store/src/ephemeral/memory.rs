//! Ephemeral in this process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Ctx, Timestamp};

use super::EphemeralError;

#[derive(Clone, Debug)]
pub(super) struct Memory {
    ctx: Ctx,
    capacity: usize,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    /// What dies first stands first.
    by_death: BTreeSet<(Timestamp, String)>,
}

#[derive(Debug)]
struct Entry {
    held: Held,
    dies: Timestamp,
}

#[derive(Debug)]
enum Held {
    Count(u64),
    Value(String),
}

impl Memory {
    pub(super) fn new(ctx: Ctx, capacity: usize) -> Self {
        Self { ctx, capacity, entries: Arc::default() }
    }

    /// The live entries: what has died is dropped first, so it can never be seen.
    fn live(&self) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.ctx.now();
        while entries.by_death.first().is_some_and(|(dies, _)| *dies <= now) {
            if let Some((_, key)) = entries.by_death.pop_first() {
                entries.by_key.remove(&key);
            }
        }
        entries
    }

    fn insert(&self, entries: &mut Entries, key: &str, held: Held, ttl: Duration) -> Result<(), EphemeralError> {
        entries.remove(key);
        if entries.by_key.len() >= self.capacity {
            return Err(EphemeralError::Full);
        }
        let dies = self.ctx.now().plus(ttl);
        entries.by_death.insert((dies, key.to_owned()));
        entries.by_key.insert(key.to_owned(), Entry { held, dies });
        Ok(())
    }

    pub(super) fn count(&self, key: &str, window: Duration) -> Result<u64, EphemeralError> {
        let mut entries = self.live();
        if let Some(Entry { held: Held::Count(count), .. }) = entries.by_key.get_mut(key) {
            *count += 1;
            return Ok(*count);
        }
        self.insert(&mut entries, key, Held::Count(1), window)?;
        Ok(1)
    }

    pub(super) fn put_once(&self, key: &str, value: &str, ttl: Duration) -> Result<bool, EphemeralError> {
        let mut entries = self.live();
        if entries.by_key.contains_key(key) {
            return Ok(false);
        }
        self.insert(&mut entries, key, Held::Value(value.to_owned()), ttl)?;
        Ok(true)
    }

    pub(super) fn put(&self, key: &str, value: &str, ttl: Duration) -> Result<(), EphemeralError> {
        let mut entries = self.live();
        self.insert(&mut entries, key, Held::Value(value.to_owned()), ttl)
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        match self.live().by_key.get(key)?.held {
            Held::Value(ref value) => Some(value.clone()),
            Held::Count(count) => Some(count.to_string()),
        }
    }

    pub(super) fn take(&self, key: &str) -> Option<String> {
        match self.live().remove(key)?.held {
            Held::Value(value) => Some(value),
            Held::Count(count) => Some(count.to_string()),
        }
    }

    pub(super) fn forget(&self, key: &str) {
        self.live().remove(key);
    }
}

impl Entries {
    fn remove(&mut self, key: &str) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        self.by_death.remove(&(entry.dies, key.to_owned()));
        Some(entry)
    }
}
