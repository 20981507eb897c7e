//! Ephemeral in this process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Ctx, Timestamp};

use super::EphemeralError;

#[derive(Clone, Debug)]
pub(super) struct Memory {
    ctx: Ctx,
    bounds: Bounds,
    entries: Arc<Mutex<Entries>>,
}

/// How much may live at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    /// Of keys and values.
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    /// What dies first stands first.
    by_death: BTreeSet<(Timestamp, String)>,
    /// The sum of [`size`] of all.
    bytes: usize,
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
    pub(super) fn new(ctx: Ctx, bounds: Bounds) -> Self {
        Self { ctx, bounds, entries: Arc::default() }
    }

    /// The live entries: what has died is dropped first, so it can never be seen.
    fn live(&self) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.ctx.now();
        while entries.by_death.first().is_some_and(|(dies, _)| *dies <= now) {
            if let Some((_, key)) = entries.by_death.pop_first() {
                entries.remove(&key);
            }
        }
        entries
    }

    fn insert(
        &self,
        entries: &mut Entries,
        key: &str,
        held: Held,
        ttl: Duration,
    ) -> Result<(), EphemeralError> {
        let replaced = entries.by_key.get(key).map(|entry| size(key, &entry.held));
        let others = entries.by_key.len() - usize::from(replaced.is_some());
        let bytes = entries.bytes - replaced.unwrap_or(0) + size(key, &held);
        if others >= self.bounds.entries || bytes > self.bounds.bytes {
            return Err(EphemeralError::Full);
        }
        entries.remove(key);
        let dies = self.ctx.now().plus(ttl);
        entries.bytes = bytes;
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

    pub(super) fn uncount(&self, key: &str) {
        if let Some(Entry { held: Held::Count(count), .. }) = self.live().by_key.get_mut(key) {
            *count = count.saturating_sub(1);
        }
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
        self.bytes -= size(key, &entry.held);
        Some(entry)
    }
}

/// A key is held twice.
fn size(key: &str, held: &Held) -> usize {
    let value = match held {
        Held::Count(_) => size_of::<u64>(),
        Held::Value(value) => value.len(),
    };
    2 * key.len() + value
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn memory(entries: usize, bytes: usize) -> (Ctx, Memory) {
        let ctx = Ctx::for_tests(1);
        (ctx.clone(), Memory::new(ctx, Bounds { entries, bytes }))
    }

    #[test]
    fn full_refuses_what_is_new_until_something_dies() {
        let (ctx, memory) = memory(2, 1_000);
        memory.put("a", "1", MINUTE).unwrap();
        memory.put("b", "1", MINUTE * 2).unwrap();
        assert!(matches!(memory.put("c", "1", MINUTE), Err(EphemeralError::Full)));
        assert!(matches!(memory.put_once("c", "1", MINUTE), Err(EphemeralError::Full)));
        assert!(matches!(memory.count("c", MINUTE), Err(EphemeralError::Full)));
        memory.put("b", "2", MINUTE * 2).expect("what is there may be replaced");
        ctx.advance_for_tests(MINUTE);
        memory.put("c", "1", MINUTE).expect("a has died");
        assert_eq!(memory.get("b").as_deref(), Some("2"));
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let (ctx, memory) = memory(1_000, 100);
        memory.put("key", &"v".repeat(94), MINUTE).unwrap();
        assert!(matches!(memory.put("k", "", MINUTE), Err(EphemeralError::Full)));
        assert!(matches!(memory.put("key", &"v".repeat(95), MINUTE), Err(EphemeralError::Full)));
        assert!(memory.get("key").is_some(), "what could not be replaced stays");
        memory.take("key").expect("it is there");
        memory.put("key", &"v".repeat(94), MINUTE).unwrap();
        ctx.advance_for_tests(MINUTE);
        memory.put("yek", &"v".repeat(94), MINUTE).unwrap();
        memory.forget("yek");
        assert_eq!(memory.live().bytes, 0);
    }

    #[test]
    fn a_value_lives_up_to_its_time_and_not_at_it() {
        let (ctx, memory) = memory(10, 1_000);
        memory.put("a", "1", MINUTE).unwrap();
        ctx.advance_for_tests(MINUTE - Duration::from_millis(1));
        assert_eq!(memory.get("a").as_deref(), Some("1"));
        ctx.advance_for_tests(Duration::from_millis(1));
        assert_eq!(memory.get("a"), None);
    }
}
