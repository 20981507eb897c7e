//! Opens, closes, widens and opens again.
//!
//! Each look is bounded, however many revocations wait: it reads one page of them and one of open tasks, and changes so
//! many tasks at most; the next one goes on from there. Both pages are cut along an index that holds nothing else and
//! gives their order, so nothing is sorted, and nothing grows with the journal or with what waits. (What is tried again
//! moves back in its lane: it is met again, and found to have its task.)
//!
//! On several nodes each looks for itself: of two that open the same task one finds it open.

use std::sync::{Mutex, PoisonError};

use kernel::Timestamp;
use kernel::id::TaskId;
use store::{Db, Origin, Sql, StoreError, Tx, sql};

use super::standing::{Doors, Standing};
use super::{Concern, Named, OpenDoor, PATIENCE, SENSITIVE, named, names, propose};
use crate::alert::REVOCATION_PATIENCE;
use crate::connector::AckLevel;
use crate::exposure::at_worst;
use crate::facts::{TaskClosed, TaskOpened, TaskReopened, TaskWidened};
use crate::placement::{Wanted, json, sink_name};

/// How many revocations, and how many open tasks, are read in one look.
const PAGE: u32 = 500;
/// How many tasks are opened in one look, how many are closed or widened, and how many are opened again.
const AT_ONCE: u32 = 100;

/// Why a task is closed: what must not open was read not to.
const PROVEN: &str = "proven";
/// Why a task is closed: all that may be opened is wanted.
const WANTED_AGAIN: &str = "wanted-again";
/// Why a task is closed: nobody speaks any more to what the card may open.
const ABANDONED: &str = "abandoned";

/// Revocations that wait in the lane `$1` of the door system `$2`, behind `($4, $5)` in the order of that lane, each
/// with its card as it stands; `is_late`: it was tried in vain, or has waited since before `$3`. The page is cut before
/// anything is joined to it, along the index that the lane itself takes its rows from.
pub(super) const WAITING: Sql = sql!(
    "WITH page AS (SELECT SUBSTR(subject, 12) AS credential_id, created_at, due_at, position, \
     created_at <= $3 OR (attempt > 0 AND last_error IS NOT NULL) AS is_late FROM delivery \
     WHERE sink = $1 AND priority = 1 AND due_at IS NOT NULL AND dead_at IS NULL AND (due_at, position) > ($4, $5) \
     ORDER BY due_at, position LIMIT $6) \
     SELECT CAST($2 AS TEXT) AS door_system, w.credential_id, c.user_id, u.user_name, c.format, c.facility, c.number, \
     c.version AS credential_version, c.state = 'active' AND u.active AS is_in_order, p.wanted, p.rights, p.points, \
     p.credential_version = c.version AS is_current, w.created_at AS since, w.due_at, w.position, w.is_late, \
     t.id IS NOT NULL AS is_open \
     FROM page w JOIN credential c ON c.id = w.credential_id JOIN users u ON u.id = c.user_id \
     LEFT JOIN placement p ON p.door_system = $2 AND p.credential_id = w.credential_id \
     LEFT JOIN task t ON t.credential_id = w.credential_id AND t.door_system = $2 AND t.closed_at IS NULL"
);

/// Open tasks behind `($1, $2)`, each with its card as it stands, and the revocation that waits, if one does. The page
/// is cut before anything is joined to it.
pub(super) const OPEN: Sql = sql!(
    "WITH page AS (SELECT id, door_system, credential_id, user_id, doors, opened_at, accepted_by, accepted_at, \
     accepted_doors, accepted_version FROM task \
     WHERE closed_at IS NULL AND (credential_id, door_system) > ($1, $2) \
     ORDER BY credential_id, door_system LIMIT $3) \
     SELECT o.id, o.door_system, o.credential_id, o.user_id, u.user_name, c.format, c.facility, c.number, \
     c.version AS credential_version, c.state = 'active' AND u.active AS is_in_order, p.wanted, p.rights, p.points, \
     p.credential_version = c.version AS is_current, p.ack, o.doors, o.opened_at, o.accepted_by, o.accepted_at, \
     o.accepted_doors, o.accepted_version, d.created_at AS waits_since, d.due_at, \
     d.attempt > 0 AND d.last_error IS NOT NULL AND d.claimed_by IS NULL AS was_tried \
     FROM page o JOIN credential c ON c.id = o.credential_id JOIN users u ON u.id = o.user_id \
     LEFT JOIN placement p ON p.door_system = o.door_system AND p.credential_id = o.credential_id \
     LEFT JOIN delivery d ON d.sink = 'door:' || o.door_system AND d.subject = 'credential:' || o.credential_id \
     AND d.reconcile AND d.priority = 1 AND d.due_at IS NOT NULL AND d.dead_at IS NULL"
);

/// Open tasks whose risk was accepted until before now (`$1`).
pub(super) const PASSED: Sql = sql!(
    "SELECT id, door_system, credential_id, user_id, accepted_by, accepted_until FROM task \
     WHERE closed_at IS NULL AND accepted_until <= $1 ORDER BY accepted_until LIMIT $2"
);

/// Where a revocation stands among those that wait. The default is before all of them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    door_system: String,
    due_at: Timestamp,
    position: i64,
}

/// Credential and door system of a task; empty is before all of them.
type Position = (String, String);

/// How far a walk has come. Only one look at a time goes on from there.
#[derive(Default)]
struct Walked<P>(Mutex<P>);

impl<P: Clone> Walked<P> {
    fn get(&self) -> P {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, after: P) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = after;
    }
}

/// Looks after tasks: run [`Watch::look`] again and again.
pub struct Watch {
    db: Db,
    /// Over the revocations that wait.
    waiting: Walked<Place>,
    /// Over the tasks that are open.
    open: Walked<Position>,
}

#[derive(sqlx::FromRow)]
struct Waiting {
    #[sqlx(flatten)]
    standing: Standing,
    since: Timestamp,
    due_at: Timestamp,
    position: i64,
    is_late: bool,
    /// There is a task about it.
    is_open: bool,
}

/// A revocation that somebody must see to, and what is told about it.
struct Due {
    waiting: Waiting,
    told: TaskOpened,
}

/// A task that is open, and how its card stands now.
#[derive(sqlx::FromRow)]
struct OpenTask {
    id: TaskId,
    #[sqlx(flatten)]
    standing: Standing,
    /// How far what is wanted is proven; `None` when nothing was ever noted.
    ack: Option<i64>,
    doors: String,
    opened_at: Timestamp,
    accepted_by: Option<String>,
    accepted_at: Option<Timestamp>,
    accepted_doors: Option<String>,
    accepted_version: Option<i64>,
    /// Since when a revocation waits, if one does; when it is due, and whether it was tried in vain since it was told.
    waits_since: Option<Timestamp>,
    due_at: Option<Timestamp>,
    was_tried: Option<bool>,
}

/// What is to be done about an open task.
enum Change {
    /// Nothing is left to do: why.
    Close(&'static str),
    /// More may be opened than it names, or than was accepted. What is told about it.
    Widen(TaskWidened),
}

type Judged = (OpenTask, Change);

#[derive(sqlx::FromRow)]
struct Passed {
    id: TaskId,
    #[sqlx(flatten)]
    concern: Concern,
    accepted_by: String,
    accepted_until: Timestamp,
}

impl Watch {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, waiting: Walked::default(), open: Walked::default() }
    }

    /// One look: closes what is proven, widens what may open more, opens again what was accepted until now, and opens
    /// what must be seen to.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.review().await?;
        self.reopen_passed().await?;
        self.open_due().await
    }

    async fn review(&self) -> Result<(), StoreError> {
        let from = self.open.get();
        let is_behind = from != Position::default();
        let mut page = self.open_tasks(from).await?;
        if page.is_empty() && is_behind {
            // Behind the last one: from the beginning.
            page = self.open_tasks(Position::default()).await?;
        }
        let (changes, after) = self.judge_open(page).await?;
        if !changes.is_empty() {
            let mut tx = self.db.write(Origin::system()).await?;
            let changed = change(&mut tx, &changes).await;
            let Changed { closed, widened } = tx.end(changed).await?;
            if closed > 0 {
                tracing::info!(count = closed, "tasks closed");
            }
            if widened > 0 {
                tracing::error!(
                    count = widened,
                    "tasks widened: cards open more than was told or accepted; see: cardea task list"
                );
            }
        }
        self.open.set(after);
        Ok(())
    }

    async fn open_tasks(&self, after: Position) -> Result<Vec<OpenTask>, StoreError> {
        let (credential, door_system) = after;
        let mut page: Vec<OpenTask> = self.db.all(OPEN, (credential, door_system, PAGE)).await?;
        page.sort_by_key(OpenTask::position);
        Ok(page)
    }

    /// What of a page must be changed, and how far it was looked at.
    async fn judge_open(&self, page: Vec<OpenTask>) -> Result<(Vec<Judged>, Position), StoreError> {
        let (mut changes, mut after) = (Vec::new(), Position::default());
        if page.is_empty() {
            return Ok((changes, after));
        }
        let (doors, now) = (Doors::read(&self.db).await?, self.db.ctx().now());
        for task in page {
            if changes.len() == AT_ONCE as usize {
                break;
            }
            after = task.position();
            let wanted = task.standing.wanted_now(&self.db).await?;
            if let Some(change) = task.change(&wanted, &doors, now) {
                changes.push((task, change));
            }
        }
        Ok((changes, after))
    }

    async fn reopen_passed(&self) -> Result<(), StoreError> {
        let passed: Vec<Passed> = self.db.all(PASSED, (self.db.ctx().now(), AT_ONCE)).await?;
        if passed.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(Origin::system()).await?;
        let reopened = reopen(&mut tx, &passed).await;
        let count = tx.end(reopened).await?;
        if count > 0 {
            tracing::error!(
                count,
                "tasks are open again: their risk was accepted until now; see: cardea task list"
            );
        }
        Ok(())
    }

    async fn open_due(&self) -> Result<(), StoreError> {
        let (from, now) = (self.waiting.get(), self.db.ctx().now());
        let mut page = self.page(&from, now).await?;
        if page.is_empty() && from != Place::default() {
            // Behind the last one: from the beginning.
            page = self.page(&Place::default(), now).await?;
        }
        let (due, after) = self.judge(page, now).await?;
        if !due.is_empty() {
            let mut tx = self.db.write(Origin::system()).await?;
            let opened = open(&mut tx, &due).await;
            let count = tx.end(opened).await?;
            if count > 0 {
                tracing::error!(count, "tasks opened: cards open what they must not; see: cardea task list");
            }
        }
        self.waiting.set(after);
        Ok(())
    }

    /// So many revocations behind a place, door system by door system.
    async fn page(&self, after: &Place, now: Timestamp) -> Result<Vec<Waiting>, StoreError> {
        let text = sql!("SELECT name FROM door_system WHERE name >= $1 ORDER BY name");
        let systems: Vec<(String,)> = self.db.all(text, (&after.door_system,)).await?;
        let mut page: Vec<Waiting> = Vec::new();
        for (name,) in systems {
            let left = PAGE.saturating_sub(u32::try_from(page.len()).unwrap_or(PAGE));
            if left == 0 {
                break;
            }
            let Place { due_at, position, .. } = match name == after.door_system {
                true => after.clone(),
                false => Place::default(),
            };
            let (sink, late) = (sink_name(&name), now.minus(REVOCATION_PATIENCE));
            let mut waiting: Vec<Waiting> =
                self.db.all(WAITING, (sink, &name, late, due_at, position, left)).await?;
            waiting.sort_by_key(|waiting| (waiting.due_at, waiting.position));
            page.append(&mut waiting);
        }
        Ok(page)
    }

    /// What of a page must be seen to, and how far it was looked at.
    async fn judge(&self, page: Vec<Waiting>, now: Timestamp) -> Result<(Vec<Due>, Place), StoreError> {
        let mut after = Place::default();
        let mut due = Vec::new();
        if page.is_empty() {
            return Ok((due, after));
        }
        let doors = Doors::read(&self.db).await?;
        for waiting in page {
            if due.len() == AT_ONCE as usize {
                break;
            }
            after = waiting.place();
            if waiting.is_open || !waiting.is_late {
                continue;
            }
            let standing = &waiting.standing;
            // Without the directory first: most that wait need nothing yet.
            if standing.is_noted() && is_due(&standing.opens(&doors), waiting.since, now) {
                let still = standing.still_opens(&self.db, &doors).await?;
                if is_due(&still, waiting.since, now) {
                    let told = standing.opened(waiting.since, still, &doors);
                    due.push(Due { waiting, told });
                }
            }
        }
        Ok((due, after))
    }
}

impl Waiting {
    fn place(&self) -> Place {
        let door_system = self.standing.door_system.clone();
        Place { door_system, due_at: self.due_at, position: self.position }
    }
}

/// Whether somebody must see to what was tried in vain since then.
fn is_due(doors: &[OpenDoor], since: Timestamp, now: Timestamp) -> bool {
    let is_sensitive = |door: &OpenDoor| door.protection_class >= Some(SENSITIVE);
    !doors.is_empty() && (since <= now.minus(PATIENCE) || doors.iter().any(is_sensitive))
}

/// Opens each unless it is open. Answers how many are new.
async fn open(tx: &mut Tx, due: &[Due]) -> Result<usize, StoreError> {
    let mut count = 0;
    for Due { waiting, told } in due {
        let standing = &waiting.standing;
        let id = TaskId::new(tx.ctx());
        let opened = tx
            .run(
                sql!(
                    "INSERT INTO task (id, door_system, credential_id, user_id, doors, since, opened_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
                ),
                (
                    id,
                    &standing.door_system,
                    standing.credential_id,
                    standing.user_id,
                    named_by(&told.doors),
                    waiting.since,
                    tx.now(),
                ),
            )
            .await?;
        if opened == 1 {
            tx.record(standing.concern().fact(id, told));
            count += 1;
        }
    }
    Ok(count)
}

/// How many tasks were changed.
#[derive(Default)]
struct Changed {
    closed: usize,
    widened: usize,
}

async fn change(tx: &mut Tx, changes: &[Judged]) -> Result<Changed, StoreError> {
    let mut changed = Changed::default();
    for (task, change) in changes {
        match change {
            Change::Close(by) => changed.closed += usize::from(task.close(tx, by).await?),
            Change::Widen(told) => changed.widened += usize::from(task.widen(tx, told).await?),
        }
    }
    Ok(changed)
}

async fn reopen(tx: &mut Tx, passed: &[Passed]) -> Result<usize, StoreError> {
    let mut count = 0;
    for task in passed {
        // Only what was accepted until then: somebody may have accepted it for longer meanwhile.
        let text = sql!(
            "UPDATE task SET accepted_by = NULL, accepted_because = NULL, accepted_at = NULL, accepted_until = NULL, \
             accepted_doors = NULL, accepted_version = NULL \
             WHERE id = $1 AND closed_at IS NULL AND accepted_until = $2"
        );
        if tx.run(text, (task.id, task.accepted_until)).await? == 1 {
            let Concern { door_system, credential_id, user_id } = task.concern.clone();
            let body = TaskReopened {
                credential: credential_id,
                user: user_id,
                door_system,
                who: task.accepted_by.clone(),
                until: task.accepted_until,
            };
            tx.record(task.concern.fact(task.id, &body));
            count += 1;
        }
    }
    Ok(count)
}

impl Standing {
    fn concern(&self) -> Concern {
        Concern {
            door_system: self.door_system.clone(),
            credential_id: self.credential_id,
            user_id: self.user_id,
        }
    }

    fn opened(&self, since: Timestamp, still: Vec<OpenDoor>, doors: &Doors) -> TaskOpened {
        TaskOpened {
            credential: self.credential_id,
            user: self.user_id,
            door_system: self.door_system.clone(),
            card: self.card(),
            since,
            until: at_worst(doors.descriptor(&self.door_system)),
            proposed: self.proposed(&still, doors),
            doors: still,
        }
    }

    /// What to do about what may still be opened, in words.
    fn proposed(&self, still: &[OpenDoor], doors: &Doors) -> Vec<String> {
        let decides = doors.descriptor(&self.door_system).map(|descriptor| descriptor.revocation);
        propose(&self.door_system, decides, still).iter().map(ToString::to_string).collect()
    }
}

/// The access points of doors, as a task names them.
fn named_by(doors: &[OpenDoor]) -> String {
    json(&doors.iter().map(Named::from).collect::<Vec<_>>())
}

impl OpenTask {
    fn position(&self) -> Position {
        (self.standing.credential_id.to_string(), self.standing.door_system.clone())
    }

    /// What is to be done about it, if anything. `wanted`: of its card, there and now.
    fn change(&self, wanted: &Wanted, doors: &Doors, now: Timestamp) -> Option<Change> {
        let Some(since) = self.waits_since else {
            let is_proven = self.ack.is_none_or(|ack| ack >= AckLevel::ReadBack as i64);
            return match is_proven {
                true => Some(Change::Close(self.by(wanted))),
                // What waits for doors that are configured no more is done or forgotten; they can never be read.
                false => self.standing.is_abandoned(doors).then_some(Change::Close(ABANDONED)),
            };
        };
        let still = self.standing.opens_beyond(wanted, doors);
        if still.is_empty() && !self.standing.opens(doors).is_empty() {
            return Some(Change::Close(WANTED_AGAIN));
        }
        // While its first attempt is under way it may be proven in a moment.
        let is_nobody_at_it = self.due_at.is_some_and(|due| due <= now.minus(REVOCATION_PATIENCE));
        let is_in_vain = self.was_tried == Some(true) || is_nobody_at_it;
        let is_more = self.is_void(&still) || is_due(&self.added(&still), since, now);
        (is_in_vain && is_more).then(|| Change::Widen(self.widened(still, doors)))
    }

    fn widened(&self, still: Vec<OpenDoor>, doors: &Doors) -> TaskWidened {
        let standing = &self.standing;
        TaskWidened {
            credential: standing.credential_id,
            user: standing.user_id,
            door_system: standing.door_system.clone(),
            proposed: standing.proposed(&still, doors),
            doors: still,
            void: self.accepted_by.clone(),
        }
    }

    /// What may be opened and it does not name, or names with something less behind it.
    fn added(&self, still: &[OpenDoor]) -> Vec<OpenDoor> {
        let told = named(&self.doors);
        still.iter().filter(|door| !told.iter().any(|told| told.covers(door))).cloned().collect()
    }

    /// Whether somebody has accepted less than what may be opened, or of an older state of the credential.
    fn is_void(&self, still: &[OpenDoor]) -> bool {
        let accepted = named(self.accepted_doors.as_deref().unwrap_or_default());
        let is_covered = self.accepted_version == Some(self.standing.credential_version)
            && still.iter().all(|door| accepted.iter().any(|accepted| accepted.covers(door)));
        self.accepted_by.is_some() && !is_covered && !still.is_empty()
    }

    /// Why nothing is left to do.
    fn by(&self, wanted: &Wanted) -> &'static str {
        match !wanted.is_to_come && self.standing.is_told_to_open(&names(&named(&self.doors))) {
            true => WANTED_AGAIN,
            false => PROVEN,
        }
    }

    /// `false` when it was closed meanwhile.
    async fn close(&self, tx: &mut Tx, by: &str) -> Result<bool, StoreError> {
        let text = sql!("UPDATE task SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL");
        if tx.run(text, (self.id, tx.now())).await? == 0 {
            return Ok(false);
        }
        let concern = self.standing.concern();
        let body = TaskClosed {
            credential: concern.credential_id,
            user: concern.user_id,
            door_system: concern.door_system.clone(),
            by: by.into(),
            opened_at: self.opened_at,
        };
        tx.record(concern.fact(self.id, &body));
        Ok(true)
    }

    /// `false` when somebody has accepted it, widened or closed it since it was judged.
    async fn widen(&self, tx: &mut Tx, told: &TaskWidened) -> Result<bool, StoreError> {
        let text = sql!(
            "UPDATE task SET doors = $2, accepted_by = NULL, accepted_because = NULL, accepted_at = NULL, \
             accepted_until = NULL, accepted_doors = NULL, accepted_version = NULL \
             WHERE id = $1 AND closed_at IS NULL AND doors = $3 AND COALESCE(accepted_at, 0) = $4"
        );
        let accepted_at = self.accepted_at.unwrap_or(Timestamp::EPOCH);
        if tx.run(text, (self.id, named_by(&told.doors), &self.doors, accepted_at)).await? == 0 {
            return Ok(false);
        }
        tx.record(self.standing.concern().fact(self.id, told));
        Ok(true)
    }
}
