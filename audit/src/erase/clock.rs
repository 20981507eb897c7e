//! Whether the clock may be believed when something goes for ever by its age.
//!
//! A machine that boots two years ahead is put right within minutes; by then two years of evidence would be gone. So
//! each look is noted, and a clock that has gone further since the last one than any rest explains is believed only
//! when it has gone on as it should for [`STEADY`], counted by looks and not by its own word. A house that rested for
//! days waits as long: nothing hurries.
//!
//! What it is not: a clock, nor a comparison with another one. On SQLite, and beside a database on the same machine,
//! there is none to compare with.

use std::time::Duration;

use kernel::Timestamp;
use store::{Db, Origin, StoreError, sql};

use super::DAY;

/// Further than this from one look to the next, forward or back, a clock has leapt.
const LEAP: Duration = Duration::from_secs(2 * 24 * 3600);
/// For so long a clock must have gone on.
const STEADY: Duration = DAY;
/// One look shows no more than this: they come each minute.
const BETWEEN: Duration = Duration::from_secs(600);

/// The looks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Looks {
    /// When the last one was, by the clock.
    looked_at: Timestamp,
    /// For how long the clock has gone on since it leapt, in milliseconds.
    steady: i64,
}

impl Looks {
    /// With one more; `None` when the clock has leapt.
    fn and(self, now: Timestamp) -> Option<Self> {
        let (forward, back) = (now.since(self.looked_at), self.looked_at.since(now));
        let steady = self.steady.saturating_add(millis(forward.min(BETWEEN))).min(millis(STEADY));
        (forward.max(back) <= LEAP).then_some(Self { looked_at: now, steady })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Notes a look; what time it is, if that may be believed.
pub(super) async fn believed(db: &Db) -> Result<Option<Timestamp>, StoreError> {
    let now = db.ctx().now();
    let before: Option<Looks> =
        db.opt(sql!("SELECT looked_at, steady FROM erasure_look WHERE id = 1"), ()).await?;
    let looks = match before {
        None => Looks { looked_at: now, steady: 0 },
        Some(before) => before.and(now).unwrap_or_else(|| {
            tracing::warn!(
                last = %before.looked_at, %now,
                "the clock has leapt, or nothing ran for days: no body is erased until it has gone on for a day; if it \
                 is wrong, put it right"
            );
            Looks { looked_at: now, steady: 0 }
        }),
    };
    let noted = sql!(
        "INSERT INTO erasure_look (id, looked_at, steady) VALUES (1, $1, $2) ON CONFLICT (id) DO UPDATE \
         SET looked_at = excluded.looked_at, steady = excluded.steady"
    );
    db.change(Origin::system(), noted, (looks.looked_at, looks.steady), Vec::new()).await?;
    Ok((looks.steady >= millis(STEADY)).then_some(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn steady(gaps: &[i64]) -> Option<i64> {
        let begun = Timestamp::from_secs(1_795_305_600);
        let mut looks = Looks { looked_at: begun, steady: 0 };
        for gap in gaps {
            looks = looks.and(Timestamp::from_millis(looks.looked_at.as_millis() + gap))?;
        }
        Some(looks.steady)
    }

    #[test]
    fn a_clock_is_steady_for_as_long_as_looks_have_shown() {
        let (minute, day) = (60_000, millis(DAY));
        for (gaps, expect) in [
            (vec![minute; 3], Some(3 * minute)),
            (vec![minute; 1_440], Some(day)),
            (vec![minute; 3_000], Some(day)),
            // A rest and a small step show no more than a look does, and none shows less than nothing.
            (vec![millis(47 * HOUR); 2], Some(2 * millis(BETWEEN))),
            (vec![minute, -millis(HOUR), minute], Some(2 * minute)),
            (vec![minute, millis(49 * HOUR)], None),
            (vec![minute, -millis(49 * HOUR)], None),
            (vec![730 * day], None),
        ] {
            assert_eq!(steady(&gaps), expect, "{:?}", &gaps[..gaps.len().min(3)]);
        }
    }
}
