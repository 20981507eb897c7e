//! The door systems that run: each with an opened connector, a lane, an event feed and a sweep of its own.
//!
//! Configuration is followed: a door system that was changed is stopped, and its successor begins when it has
//! ended, so that two never speak to the same doors in this process. What fails is begun again.
//!
//! What it is not: it keeps no other node from speaking to the same doors. Between nodes the deliveries'
//! versions decide ([`crate::placement`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use directory::door::{self, DoorSystem};
use kernel::id::{CredentialId, FactId};
use kernel::{Ctx, Secret, Subject};
use keys::{SealedColumn, SealingKeys};
use store::{Address, Db, Lane, Origin, StoreError, delivery, sql};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::card::Card;
use crate::condition;
use crate::connector::{
    self, Access, AccessPointAddress, Connector, Decider, Descriptor, DesiredCredential, Nobody, Opening,
    Rights, Version, Want,
};
use crate::entrance::Entrance;
use crate::feed::Feed;
use crate::placement::{self, Door, sink_name};
use crate::sweep;

/// Where a door system's secret is sealed.
pub const SECRET: SealedColumn = SealedColumn::new("door_system", "secret_sealed", "name").versioned();

/// How often everything a door system holds is compared with what is wanted, unless it is said otherwise.
pub const SWEEP: Duration = Duration::from_secs(300);
/// How long a sweep that a returning part asks for stands off from the one before, at first.
const CALM: Duration = Duration::from_secs(1);
/// How often the list of door systems is compared with what runs.
const RELOAD: Duration = Duration::from_secs(1);

/// The shortest claim of a lane, and what a claim has beyond its verbs: for the database.
const SHORTEST_LEASE: Duration = Duration::from_secs(30);
const LEASE_AIR: Duration = Duration::from_secs(5);

/// How many that wait are tried again at once when a door system is back.
const BACK: i64 = 1_000;

/// The door systems that are open in this process. Cheap to clone.
#[derive(Clone)]
pub struct Systems {
    open: Arc<RwLock<HashMap<String, Open>>>,
    /// What waits for door systems that are gone, and is told of them, was forgotten, and nothing has gone since.
    is_tidy: Arc<AtomicBool>,
    /// Decides at doors whose system asks us; without it nobody enters there.
    entrance: Option<Entrance>,
    /// How often everything that they hold is compared with what is wanted.
    sweep: Duration,
}

impl Default for Systems {
    fn default() -> Self {
        Self { open: Arc::default(), is_tidy: Arc::default(), entrance: None, sweep: SWEEP }
    }
}

struct Open {
    /// Of its configuration.
    version: i64,
    /// What its configuration alone says of it.
    described: Option<Descriptor>,
    /// `None` when it cannot be opened as it is configured: that is said once.
    connector: Option<Arc<dyn Connector>>,
}

/// What runs for a door system.
struct Running {
    /// Of the configuration that it runs by.
    version: i64,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What each configured door system's configuration says of it, whether or not it is open in this process.
pub(crate) async fn described(db: &Db) -> Result<BTreeMap<String, Descriptor>, StoreError> {
    let systems = door::systems(db).await?.into_iter();
    let described = systems.filter_map(|DoorSystem { name, connector, config, .. }| {
        Some((name, connector::described(&connector, &config.0)?))
    });
    Ok(described.collect())
}

/// Opens a door system's connector, with its secret unsealed, to look at it: it lets nobody in.
///
/// # Errors
/// In words for the administrator: unknown connector, wrong setting, missing sealing key.
pub fn open_connector(
    db: &Db,
    sealing: &SealingKeys,
    system: &DoorSystem,
) -> Result<Arc<dyn Connector>, String> {
    open_deciding(db, sealing, system, Arc::new(Nobody))
}

/// The same for use, with who decides at its doors where it asks us.
fn open_deciding(
    db: &Db,
    sealing: &SealingKeys,
    system: &DoorSystem,
    decider: Arc<dyn Decider>,
) -> Result<Arc<dyn Connector>, String> {
    let secret = match &system.secret_sealed {
        None => None,
        Some(sealed) => {
            let opened = sealing.open(SECRET.at(&system.name), sealed).map_err(|error| error.to_string())?;
            let text = String::from_utf8(opened.expose().clone())
                .map_err(|_| "its secret is not text".to_owned())?;
            Some(Secret::new(text))
        }
    };
    let opening = Opening { ctx: db.ctx(), config: &system.config.0, secret, decider };
    connector::open(&system.connector, opening).map_err(|error| error.to_string())
}

impl Systems {
    /// Door systems that may ask us who enters.
    #[must_use]
    pub fn deciding(entrance: Entrance) -> Self {
        Self { entrance: Some(entrance), ..Self::default() }
    }

    /// The same; each is swept so often, beside whenever a part of it is back.
    #[must_use]
    pub fn sweeping_every(self, sweep: Duration) -> Self {
        Self { sweep, ..self }
    }

    /// Opens what is configured, and follows changes until `stop` turns true. Returns once all have ended.
    pub async fn run(self, db: Db, sealing: SealingKeys, mut stop: watch::Receiver<bool>) {
        let mut running = HashMap::new();
        let (rest, resting) = watch::channel(false);
        let journal = self.entrance.clone().map(|entrance| tokio::spawn(entrance.record_until(resting)));
        while !*stop.borrow() {
            if journal.as_ref().is_some_and(JoinHandle::is_finished) {
                tracing::error!("what is decided at doors is recorded no more");
                break;
            }
            if let Err(error) = self.load(&db, &sealing).await {
                tracing::warn!(%error, "the list of door systems cannot be read");
            }
            self.serve_all(&db, &mut running);
            // Behind the lanes: it waits for whoever writes, and no door may.
            if let Err(error) = self.forget_gone(&db).await {
                tracing::warn!(%error, "what is left of door systems that are gone cannot be forgotten");
            }
            tokio::select! {
                () = tokio::time::sleep(RELOAD) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        for running in running.values() {
            running.stop.send_replace(true);
        }
        for Running { task, .. } in running.into_values() {
            if let Err(error) = task.await {
                tracing::error!(%error, "a door system did not end well");
            }
        }
        // Behind the last decision.
        rest.send_replace(true);
        if let Some(journal) = journal
            && let Err(error) = journal.await
        {
            tracing::error!(%error, "what was decided at doors may not be recorded");
        }
    }

    /// Opens connectors and routes for what is configured now, and closes what is not any more; lanes run only
    /// under [`Systems::run`]. At start before anything is recorded, and for commands.
    pub async fn load(&self, db: &Db, sealing: &SealingKeys) -> Result<(), StoreError> {
        let configured = door::systems(db).await?;
        self.close_missing(db, &configured);
        for system in configured {
            let known = self.write().get(&system.name).map(|open| open.version);
            if known != Some(system.version) {
                // Whatever its connector says, its lane collects what is recorded for it.
                placement::route(db.sinks(), &system.name);
                let connector = opened(db, sealing, &system, self.decider(&system));
                let described = connector::described(&system.connector, &system.config.0);
                let open = Open { version: system.version, described, connector };
                self.write().insert(system.name, open);
                // It may have other access points than before.
                self.is_tidy.store(false, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Forgets what waits for door systems that are gone. A door system goes only when every card is proven absent
    /// there, so nothing of it is lost; but whoever had not heard of its end may have recorded something for it since.
    /// And closes what is told of them, and of access points that are gone.
    pub async fn forget_gone(&self, db: &Db) -> Result<(), StoreError> {
        if self.is_tidy.load(Ordering::Acquire) {
            return Ok(());
        }
        let text = sql!(
            "DELETE FROM delivery WHERE reconcile AND SUBSTR(sink, 1, 5) = 'door:' \
             AND SUBSTR(sink, 6) NOT IN (SELECT name FROM door_system)"
        );
        db.change(Origin::system(), text, (), Vec::new()).await?;
        let connectors = self.connectors().into_iter();
        let points = connectors.flat_map(|(_, connector)| connector.access_points()).collect();
        condition::forget_gone(db, &points).await?;
        self.is_tidy.store(true, Ordering::Release);
        Ok(())
    }

    /// Begins what is open and does not run, and ends what runs and is not open any more as it was.
    fn serve_all(&self, db: &Db, running: &mut HashMap<String, Running>) {
        let open = self.read();
        running.retain(|name, running| {
            if open.get(name).is_none_or(|open| open.version != running.version) {
                running.stop.send_replace(true);
            }
            let has_ended = running.task.is_finished();
            if has_ended {
                // Its last sweep may have told of something that is gone.
                self.is_tidy.store(false, Ordering::Release);
            }
            !has_ended
        });
        for (name, Open { version, connector, .. }) in open.iter() {
            let Some(connector) = connector.as_ref().filter(|_| !running.contains_key(name)) else {
                continue;
            };
            let (stop, stopped) = watch::channel(false);
            let feed = Feed::new(db.clone(), name, connector.clone()).deciding(self.entrance.clone());
            let (db, name, pace) = (db.clone(), name.clone(), Pace::every(self.sweep));
            let serving = serve(db, name.clone(), *version, connector.clone(), feed, pace, stopped);
            let task = tokio::spawn(serving);
            running.insert(name.clone(), Running { version: *version, stop, task });
        }
    }

    fn decider(&self, system: &DoorSystem) -> Arc<dyn Decider> {
        match &self.entrance {
            Some(entrance) => entrance.of(&system.name, system.version),
            None => Arc::new(Nobody),
        }
    }

    fn close_missing(&self, db: &Db, configured: &[DoorSystem]) {
        self.write().retain(|name, _| {
            let stays = configured.iter().any(|system| system.name == *name);
            if !stays {
                db.sinks().remove(&sink_name(name));
                self.is_tidy.store(false, Ordering::Release);
            }
            stays
        });
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Open>> {
        // Nobody panics while holding it: only map operations run inside.
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn connectors(&self) -> Vec<(String, Arc<dyn Connector>)> {
        let open = self.read();
        let connectors = open.iter().filter_map(|(name, open)| Some((name.clone(), open.connector.clone()?)));
        let mut all: Vec<_> = connectors.collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The connector of a door system that is open here.
    #[must_use]
    pub fn connector(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.read().get(name)?.connector.clone()
    }

    /// What a door system's connector says of itself; of one that cannot be opened, what its configuration says.
    #[must_use]
    pub fn descriptor(&self, name: &str) -> Option<Descriptor> {
        let open = self.read();
        let Open { described, connector, .. } = open.get(name)?;
        match connector {
            Some(connector) => Some(connector.descriptor().clone()),
            None => described.clone(),
        }
    }

    /// Whether every open door system that has one of these access points can hold this card there.
    ///
    /// # Errors
    /// The first refusal, with the system's name.
    pub fn check(&self, ctx: &Ctx, card: Card, points: &[String]) -> Result<(), String> {
        for (name, connector) in self.connectors() {
            let its_own = connector.access_points();
            let access: BTreeMap<AccessPointAddress, Access> = points
                .iter()
                .map(|point| AccessPointAddress(point.clone()))
                .filter(|point| its_own.contains(point))
                .map(|point| (point, Access::Always))
                .collect();
            if access.is_empty() {
                continue;
            }
            let desired = DesiredCredential {
                // Nobody has it yet: any id will do.
                version: Version { credential: CredentialId::new(ctx), number: 0 },
                card,
                want: Want::Present(Rights { access, valid_from: None, valid_to: None }),
            };
            connector.check(&desired).map_err(|refusal| format!("{name}: {refusal}"))?;
        }
        Ok(())
    }
}

fn opened(
    db: &Db,
    sealing: &SealingKeys,
    system: &DoorSystem,
    decider: Arc<dyn Decider>,
) -> Option<Arc<dyn Connector>> {
    match open_deciding(db, sealing, system, decider) {
        Ok(connector) => {
            tracing::info!(
                door_system = %system.name, connector = %system.connector,
                tested_against = connector.descriptor().tested_against, "door system opened"
            );
            Some(connector)
        }
        Err(error) => {
            tracing::error!(
                door_system = %system.name, %error,
                "a door system cannot be opened; what it should do waits until its configuration changes"
            );
            None
        }
    }
}

/// Everything that runs for one door system. Ends when it is stopped, or when a part of it has failed.
///
/// The lane finishes what it has claimed, and then it is over: reading events and sweeping may take minutes, and
/// whoever comes next has revocations that wait. They are dropped where they stand; both begin anew anywhere. What the
/// door system asks is answered until then: with a no, if its configuration has changed ([`crate::entrance`]).
async fn serve(
    db: Db,
    name: String,
    version: i64,
    connector: Arc<dyn Connector>,
    feed: Feed,
    pace: Pace,
    stop: watch::Receiver<bool>,
) {
    let (look, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let door = Door::new(db.clone(), name.clone(), connector.clone());
    let door = door.as_configured(version).ringing(look.clone());
    let lane = Lane { lease: lease(connector.descriptor()), ..Lane::new(sink_name(&name)) };
    let mut parts = JoinSet::new();
    parts.spawn(feed.between(look, back.clone()).run(stop.clone()));
    let asked = connector.clone();
    parts.spawn(async move { asked.attend().await });
    parts.spawn(look_after(db.clone(), name.clone(), connector, back, pace, stop.clone()));
    let mut lane = std::pin::pin!(lane.run(db, Arc::new(door), stop.clone()));
    loop {
        tokio::select! {
            () = &mut lane => return,
            Some(ended) = parts.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(door_system = %name, %error, "a part of a door system failed; all of it begins anew");
                    return;
                }
                if !*stop.borrow() {
                    return;
                }
            }
        }
    }
}

/// How long a claim of a door system's lane lasts: longer than the longest attempt, which reads what was proven, sends,
/// reads back, takes off what opens more, and reads once more.
fn lease(descriptor: &Descriptor) -> Duration {
    (descriptor.verb_limit * 5 + LEASE_AIR).max(SHORTEST_LEASE)
}

/// Sweeps and asks how it is, now and then, and when a part of the door system answers again; then what waited is
/// tried at once, too.
async fn look_after(
    db: Db,
    name: String,
    connector: Arc<dyn Connector>,
    back: Arc<Notify>,
    mut pace: Pace,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        tokio::select! {
            () = tokio::time::sleep_until(pace.next) => {}
            () = back.notified() => {
                match try_again(&db, &name).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(door_system = %name, count, "it answers: what waited is tried again"),
                    Err(error) => tracing::warn!(door_system = %name, %error, "what waits is tried again later"),
                }
                pace.hurry(Instant::now());
                continue;
            }
            changed = stop.changed() => { if changed.is_err() { return } continue }
        }
        match sweep::sweep(&db, &name, &connector).await {
            Ok(findings) if findings.deviations() == 0 => {
                tracing::debug!(door_system = %name, ?findings, "swept")
            }
            Ok(findings) => tracing::warn!(door_system = %name, ?findings, "swept"),
            Err(error) => tracing::warn!(door_system = %name, %error, "a sweep ended early"),
        }
        if let Err(error) = condition::tell(&db, &name, &connector.health().await).await {
            tracing::warn!(door_system = %name, %error, "how it is cannot be told");
        }
        pace.swept(Instant::now());
    }
}

/// When the next sweep is due: after some time, and at once when a part of the door system is back. For one that comes
/// and goes each such sweep stands off twice as long from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    every: Duration,
    next: Instant,
    /// No sweep is hurried before.
    calm: Instant,
    stands_off: Duration,
    hurried: bool,
}

impl Pace {
    fn every(every: Duration) -> Self {
        Self::from(Instant::now(), every)
    }

    fn from(now: Instant, every: Duration) -> Self {
        Self { every, next: now + every, calm: now, stands_off: CALM, hurried: false }
    }

    /// A part is back.
    fn hurry(&mut self, now: Instant) {
        self.next = self.next.min(self.calm.max(now));
        self.hurried = true;
    }

    /// A sweep has ended.
    fn swept(&mut self, now: Instant) {
        self.stands_off = if self.hurried { (self.stands_off * 2).min(self.every) } else { CALM };
        *self = Self { next: now + self.every, calm: now + self.stands_off, hurried: false, ..*self };
    }
}

/// Makes due at once what failed before and waits for its next try, or is being tried. Answers how many. What waits for
/// longer than a lane has anything wait after a failure is not to be tried for so long ([`store::SinkError::Later`]).
pub async fn try_again(db: &Db, name: &str) -> Result<usize, StoreError> {
    let (sink, now) = (sink_name(name), db.ctx().now());
    let longest = Lane::new(sink.clone()).longest_pause;
    let waiting: Vec<(String, FactId, i64)> = db
        .all(
            sql!(
                "SELECT subject, fact, priority FROM delivery WHERE sink = $1 AND due_at > $2 \
                 AND (due_at <= $3 OR claimed_by IS NOT NULL) AND dead_at IS NULL AND last_error IS NOT NULL ORDER BY priority DESC, due_at LIMIT $4"
            ),
            (&sink, now, now.plus(longest), BACK),
        )
        .await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let mut tx = db.write(Origin::system()).await?;
    for (subject, fact, priority) in &waiting {
        let Ok(subject) = subject.parse::<Subject>() else { continue };
        delivery::hint(&mut tx, Address::reconcile(&sink, subject).revoking(*priority > 0), *fact);
    }
    tx.commit().await?;
    Ok(waiting.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_back_is_swept_at_once_and_what_comes_and_goes_ever_more_rarely() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut pace = Pace::from(begin, SWEEP);
        assert_eq!(pace.next, begin + SWEEP, "nothing has answered yet");
        pace.hurry(at(3));
        assert_eq!(pace.next, at(3), "at once");
        pace.swept(at(3));
        assert_eq!(pace.next, at(3) + SWEEP);
        // It comes and goes every second, and each sweep takes no time.
        let (mut now, mut sweeps) = (at(3), Vec::new());
        while now < at(3_603) {
            now += Duration::from_secs(1);
            pace.hurry(now);
            if pace.next <= now {
                pace.swept(now);
                sweeps.push((now - at(3)).as_secs());
            }
        }
        assert_eq!(sweeps[..7], [2, 6, 14, 30, 62, 126, 254], "{sweeps:?}");
        assert!(sweeps.windows(2).skip(7).all(|pair| pair[1] - pair[0] == SWEEP.as_secs()), "{sweeps:?}");
        // A while later it has been quiet for a whole round.
        pace.swept(at(4_000));
        pace.swept(at(4_300));
        pace.hurry(at(4_400));
        assert_eq!(pace.next, at(4_400), "at once again");
    }

    /// A claim that runs out while its attempt is under way is claimed again: two at one door, and no end of it.
    #[test]
    fn a_claim_outlasts_the_longest_attempt_that_any_permitted_configuration_makes() {
        for (timeout_ms, attempts) in [(50, 1), (500, 3), (5_000, 1), (500, 10), (2_500, 2)] {
            let config = serde_json::json!({
                "controllers": [{"serial": 7, "address": "10.0.0.5:60000", "doors": {"1": "main"}}],
                "timeout_ms": timeout_ms, "attempts": attempts,
            });
            let ctx = Ctx::for_tests(1);
            let connector = connector::open("uhppote", Opening::new(&ctx, &config)).expect("permitted");
            let descriptor = connector.descriptor();
            assert!(lease(descriptor) > descriptor.verb_limit * 5, "{timeout_ms} ms, {attempts} times");
            assert!(lease(descriptor) <= Duration::from_secs(155), "who hangs gives its revocations back");
        }
    }
}
