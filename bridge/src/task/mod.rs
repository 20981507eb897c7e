//! Tasks: what somebody does about a card while its revocation is not proven at a door system.
//!
//! Nothing here revokes. The reconciler tries for ever, revocations first, whatever is done or accepted; but until a
//! door system is reached, only people can keep a card out. So [`Watch`] opens one task for each card and door system,
//! with what the card may open, until when, and what could be done; and closes it when the revocation is proven.
//!
//! When: after [`PATIENCE`]; of a door of class 3 or more at once, which is when the first attempt did not prove it (or
//! none was made within the patience of an alert).
//!
//! A person notes what was done ([`note_done`]), or accepts the risk by name, with a reason and for a time
//! ([`accept`]). The task stays visible, and is open again when that time has passed unproven. What was accepted is
//! what the task had named: of a door that is added, or that leads to something worse by now, or of a card that was
//! ended anew, nobody has accepted anything.
//!
//! What it is not: an alert ([`crate::alert`]), which is about a door system and says that something is wrong; or
//! evidence ([`crate::receipt`]), which names what stands here.

mod proposal;
pub(crate) mod standing;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::time::Duration;

use kernel::id::{CredentialId, TaskId, UserId};
use kernel::{Subject, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Db, Fact, FactBody, Origin, Sql, StoreError, Tx, sql};

pub use proposal::{Measure, SENSITIVE, propose};
pub use watch::Watch;

use crate::exposure::at_worst;
use crate::facts::{RiskAccepted, TaskCompensated};
use crate::placement::json;
use standing::{Doors, Standing};

/// How long a revocation may be unproven before somebody must see to it.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// For how long a risk may be accepted at once.
pub const LONGEST_ACCEPTANCE: Duration = Duration::from_secs(90 * 86_400);
/// The most characters of who accepts or does something.
pub const LONGEST_NAME: usize = 200;
/// The most characters of why, and of what was done.
pub const LONGEST_TEXT: usize = 1_000;

/// A door that a card may open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenDoor {
    /// The access point.
    pub access_point: String,
    /// What is behind it, as it is shown. `None` when the access point is not configured any more.
    pub area: Option<String>,
    /// The area's protection class, -1 to 5.
    pub protection_class: Option<i64>,
}

impl OpenDoor {
    /// What is behind it; the door itself where that is not known.
    fn behind(&self) -> &str {
        self.area.as_deref().unwrap_or(&self.access_point)
    }
}

impl fmt::Display for OpenDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.area, self.protection_class) {
            (Some(area), Some(class)) => write!(f, "{} [{area}, class {class}]", self.access_point),
            _ => f.write_str(&self.access_point),
        }
    }
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody must see to it.
    Open,
    /// Somebody has accepted the risk of all that may be opened, and that time has not passed.
    Accepted,
    /// Nothing is left to do.
    Closed,
}

/// Who answers for the risk, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Who.
    pub by: String,
    /// Why.
    pub because: String,
    /// Since when (RFC 3339).
    pub at: String,
    /// Until when (RFC 3339).
    pub until: String,
    /// Of which access points. What may be opened beside them was not accepted.
    #[serde(default)]
    pub doors: Vec<String>,
}

/// An access point as a task names it, and as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Noted")]
struct Named {
    access_point: String,
    /// The protection class of what was behind it then; `None` where that is not known, and then any is worse.
    protection_class: Option<i64>,
}

/// How that stands in the database: a name alone was written before classes were.
#[derive(Deserialize)]
#[serde(untagged)]
enum Noted {
    Name(String),
    Door { access_point: String, protection_class: Option<i64> },
}

impl From<Noted> for Named {
    fn from(noted: Noted) -> Self {
        match noted {
            Noted::Name(access_point) => Self { access_point, protection_class: None },
            Noted::Door { access_point, protection_class } => Self { access_point, protection_class },
        }
    }
}

impl From<&OpenDoor> for Named {
    fn from(door: &OpenDoor) -> Self {
        Self { access_point: door.access_point.clone(), protection_class: door.protection_class }
    }
}

impl Named {
    /// Whether that is this door, with nothing worse behind it than then.
    fn covers(&self, door: &OpenDoor) -> bool {
        self.access_point == door.access_point && door.protection_class <= self.protection_class
    }
}

impl Accepted {
    /// Whether that is all that may be opened.
    fn covers(&self, doors: &[OpenDoor]) -> bool {
        doors.iter().all(|door| self.doors.contains(&door.access_point))
    }
}

/// A compensation that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// By whom.
    pub by: String,
    /// What was done.
    pub what: String,
    /// When that was noted (RFC 3339).
    pub at: String,
}

/// What somebody does about a card at a door system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
    /// Which.
    pub id: TaskId,
    /// How it stands.
    pub state: State,
    /// Which credential.
    pub credential: CredentialId,
    /// As people write it.
    pub card: String,
    /// Whose it is.
    pub user: UserId,
    /// What that person signs in with; empty of one who was deleted.
    pub user_name: String,
    /// Where it is not proven.
    pub door_system: String,
    /// What the card may open and must not. Of a closed task: what it was opened for, or widened to last.
    pub doors: Vec<OpenDoor>,
    /// Since when it must not (RFC 3339).
    pub since: String,
    /// Until when it may, at worst, in words.
    pub until: String,
    /// When the task was opened (RFC 3339).
    pub opened_at: String,
    /// When it was closed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// What could be done, the most urgent first, in words.
    pub proposed: Vec<String>,
    /// What was done, as it was noted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// Who has accepted the risk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

impl Task {
    /// What is to be done, was done, and was accepted, in words.
    #[must_use]
    pub fn what(&self) -> String {
        let proposed = (!self.proposed.is_empty()).then(|| format!("proposed: {}", self.proposed.join("; ")));
        let done =
            self.done.as_ref().map(|done| format!("done by {} at {}: {}", done.by, done.at, done.what));
        let accepted = self.accepted.as_ref().map(|risk| {
            let of = match risk.covers(&self.doors) {
                true => String::new(),
                false => format!(" of {}", risk.doors.join(", ")),
            };
            format!("the risk{of} is accepted by {} until {}: {}", risk.by, risk.until, risk.because)
        });
        [accepted, done, proposed].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, card, door_system, since, until, opened_at, .. } = self;
        let holder = match self.user_name.as_str() {
            "" => format!("a deleted user ({})", self.user),
            name => name.to_owned(),
        };
        let doors: Vec<String> = self.doors.iter().map(ToString::to_string).collect();
        let at = match doors.is_empty() {
            true => door_system.clone(),
            false => format!("{} ({door_system})", doors.join(", ")),
        };
        write!(f, "{id}  {card} of {holder} at {at}: must not since {since}")?;
        match &self.closed_at {
            Some(closed_at) => write!(f, "; open from {opened_at} to {closed_at}")?,
            None => write!(f, ", at worst {until}; open since {opened_at}")?,
        }
        match self.what() {
            what if what.is_empty() => Ok(()),
            what => write!(f, "; {what}"),
        }
    }
}

/// Why a task was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// No such task.
    #[error("there is no task {0}; see: cardea task list --all")]
    NotFound(TaskId),
    /// It is too late.
    #[error(
        "task {id} was closed at {at}: nothing is left to be done or accepted; see: cardea task list --all"
    )]
    Closed {
        /// Which.
        id: TaskId,
        /// When.
        at: Timestamp,
    },
    /// What was said cannot be taken: the message says what to write.
    #[error("{0}")]
    Invalid(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose card, where: what every fact about a task names.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Concern {
    door_system: String,
    credential_id: CredentialId,
    user_id: UserId,
}

impl Concern {
    fn fact<B: FactBody>(&self, task: TaskId, body: &B) -> Fact {
        Fact::new(task.subject(), body)
            .about(self.credential_id.subject())
            .about(self.user_id.subject())
            .about(Subject::new("door_system", &self.door_system))
    }
}

/// A risk as somebody accepts it.
struct Risk<'a> {
    who: &'a str,
    because: &'a str,
    until: Timestamp,
    /// Of these access points, each as the task had named it.
    doors: Vec<Named>,
    /// Of the credential as it was then.
    version: i64,
}

/// Accepts the risk of a task by name, for a time; over what was accepted before. The revocation is tried on. Answers
/// of which access points: of those that the task had named, as far as they are not proven.
///
/// # Errors
/// [`TaskError::NotFound`], [`TaskError::Closed`]; [`TaskError::Invalid`] when somebody or the reason is not named,
/// or the time has passed or is longer than [`LONGEST_ACCEPTANCE`], or nothing is open any more that the task had
/// named.
pub async fn accept(
    db: &Db,
    origin: Origin,
    id: TaskId,
    who: &str,
    because: &str,
    until: Timestamp,
) -> Result<Vec<String>, TaskError> {
    let who = one_line("who accepts the risk", who, LONGEST_NAME).map_err(TaskError::Invalid)?;
    let because = one_line("why the risk is accepted", because, LONGEST_TEXT).map_err(TaskError::Invalid)?;
    check_until(until, db.ctx().now())?;
    let (doors, version) = named_and_open(db, id).await?;
    let risk = Risk { who, because, until, doors, version };
    let mut tx = db.write(origin).await?;
    let accepted = accept_in(&mut tx, id, &risk).await;
    tx.end(accepted).await?;
    Ok(names(&risk.doors))
}

/// What a task has named and may still be opened, and the version of the credential of which that is so. Nobody accepts
/// what no fact has told: what is added later, or leads to something worse by now, is told first.
async fn named_and_open(db: &Db, id: TaskId) -> Result<(Vec<Named>, i64), StoreError> {
    let row: Option<Row> = db.opt(Sql::assembled(format!("{TASKS} WHERE t.id = $1")), (id,)).await?;
    let Some(Row { standing, doors, .. }) = row else { return Ok((Vec::new(), 0)) };
    let still = standing.still_opens(db, &Doors::read(db).await?).await?;
    let is_open = |told: &Named| still.iter().any(|door| told.covers(door));
    let open = named(&doors).into_iter().filter(is_open);
    Ok((open.collect(), standing.credential_version))
}

async fn accept_in(tx: &mut Tx, id: TaskId, risk: &Risk<'_>) -> Result<(), TaskError> {
    let Risk { who, because, until, doors, version } = risk;
    let found: Option<Concern> = tx
        .opt(
            sql!(
                "UPDATE task SET accepted_by = $2, accepted_because = $3, accepted_at = $4, accepted_until = $5, \
                 accepted_doors = $6, accepted_version = $7 \
                 WHERE id = $1 AND closed_at IS NULL RETURNING door_system, credential_id, user_id"
            ),
            (id, *who, *because, tx.now(), *until, json(doors), *version),
        )
        .await?;
    let Some(concern) = found else { return Err(none_open(tx, id).await?) };
    if doors.is_empty() {
        let message = format!(
            "nothing is open any more as task {id} has named it; see what is, and accept that: cardea task list"
        );
        return Err(TaskError::Invalid(message));
    }
    let body = RiskAccepted {
        credential: concern.credential_id,
        user: concern.user_id,
        door_system: concern.door_system.clone(),
        who: (*who).to_owned(),
        because: (*because).to_owned(),
        until: *until,
        doors: names(doors),
    };
    tx.record(concern.fact(id, &body));
    Ok(())
}

/// Notes that a compensation was carried out. The task stays open: only proof closes it.
///
/// # Errors
/// [`TaskError::NotFound`], [`TaskError::Closed`]; [`TaskError::Invalid`] when somebody or the deed is not named.
pub async fn note_done(db: &Db, origin: Origin, id: TaskId, who: &str, what: &str) -> Result<(), TaskError> {
    let who = one_line("who did it", who, LONGEST_NAME).map_err(TaskError::Invalid)?;
    let what = one_line("what was done", what, LONGEST_TEXT).map_err(TaskError::Invalid)?;
    let mut tx = db.write(origin).await?;
    let noted = note_done_in(&mut tx, id, who, what).await;
    tx.end(noted).await
}

async fn note_done_in(tx: &mut Tx, id: TaskId, who: &str, what: &str) -> Result<(), TaskError> {
    let found: Option<Concern> = tx
        .opt(
            sql!(
                "UPDATE task SET done_by = $2, done_what = $3, done_at = $4 WHERE id = $1 AND closed_at IS NULL \
                 RETURNING door_system, credential_id, user_id"
            ),
            (id, who, what, tx.now()),
        )
        .await?;
    let Some(concern) = found else { return Err(none_open(tx, id).await?) };
    let body = TaskCompensated {
        credential: concern.credential_id,
        user: concern.user_id,
        door_system: concern.door_system.clone(),
        who: who.to_owned(),
        what: what.to_owned(),
    };
    tx.record(concern.fact(id, &body));
    Ok(())
}

/// Why no open task of this id was found.
async fn none_open(tx: &mut Tx, id: TaskId) -> Result<TaskError, StoreError> {
    let found: Option<(Option<Timestamp>,)> =
        tx.opt(sql!("SELECT closed_at FROM task WHERE id = $1"), (id,)).await?;
    Ok(match found {
        Some((Some(at),)) => TaskError::Closed { id, at },
        _ => TaskError::NotFound(id),
    })
}

/// A text that stands in one line of a list.
///
/// # Errors
/// What to write instead.
pub(crate) fn one_line<'a>(what: &str, text: &'a str, longest: usize) -> Result<&'a str, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("say {what}: it must not be empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("say {what} in one line, without control characters"));
    }
    if text.chars().count() > longest {
        return Err(format!("say {what} in {longest} characters at most"));
    }
    Ok(text)
}

fn check_until(until: Timestamp, now: Timestamp) -> Result<(), TaskError> {
    if until <= now {
        return Err(TaskError::Invalid(format!(
            "{until} is not to come: say until when the risk is accepted"
        )));
    }
    let last = now.plus(LONGEST_ACCEPTANCE);
    if until > last {
        let days = LONGEST_ACCEPTANCE.as_secs() / 86_400;
        let message =
            format!("{until} is too far: a risk is accepted for {days} days at most, now until {last}");
        return Err(TaskError::Invalid(message));
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: TaskId,
    #[sqlx(flatten)]
    standing: Standing,
    doors: String,
    since: Timestamp,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
    accepted_by: Option<String>,
    accepted_because: Option<String>,
    accepted_at: Option<Timestamp>,
    accepted_until: Option<Timestamp>,
    accepted_doors: Option<String>,
    accepted_version: Option<i64>,
    done_by: Option<String>,
    done_what: Option<String>,
    done_at: Option<Timestamp>,
}

const TASKS: &str = "SELECT t.id, t.door_system, t.credential_id, t.user_id, u.user_name, c.format, \
     c.facility, c.number, c.version AS credential_version, c.state = 'active' AND u.active AS is_in_order, \
     p.wanted, p.rights, p.points, p.credential_version = c.version AS is_current, t.doors, t.since, t.opened_at, \
     t.closed_at, t.accepted_by, t.accepted_because, t.accepted_at, t.accepted_until, t.accepted_doors, \
     t.accepted_version, t.done_by, t.done_what, t.done_at \
     FROM task t JOIN credential c ON c.id = t.credential_id JOIN users u ON u.id = t.user_id \
     LEFT JOIN placement p ON p.door_system = t.door_system AND p.credential_id = t.credential_id";

/// Tasks that are not closed, the oldest first; with `all` every one, the newest first. `limit` at most.
pub async fn list(db: &Db, all: bool, limit: i64) -> Result<Vec<Task>, StoreError> {
    let which = match all {
        true => "ORDER BY t.id DESC LIMIT $1",
        false => "WHERE t.closed_at IS NULL ORDER BY t.opened_at, t.id LIMIT $1",
    };
    told(db, db.all(Sql::assembled(format!("{TASKS} {which}")), (limit,)).await?).await
}

/// Tasks about one user's cards that are not closed.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Task>, StoreError> {
    let which = "WHERE c.user_id = $1 AND t.closed_at IS NULL ORDER BY t.opened_at, t.id";
    told(db, db.all(Sql::assembled(format!("{TASKS} {which}")), (user,)).await?).await
}

/// How many are not closed, and of how many of those somebody has accepted the risk. (A door that was added, or leads
/// to something worse, since the last look is not seen here.)
pub async fn count(db: &Db) -> Result<(i64, i64), StoreError> {
    let text = sql!(
        "SELECT COUNT(*), COUNT(CASE WHEN t.accepted_until > $1 AND t.accepted_version = c.version THEN 1 END) \
         FROM task t JOIN credential c ON c.id = t.credential_id WHERE t.closed_at IS NULL"
    );
    db.one(text, (db.ctx().now(),)).await
}

async fn told(db: &Db, rows: Vec<Row>) -> Result<Vec<Task>, StoreError> {
    let mut tasks = Vec::with_capacity(rows.len());
    if rows.is_empty() {
        return Ok(tasks);
    }
    let (doors, now) = (Doors::read(db).await?, db.ctx().now());
    for row in rows {
        let opens = match row.closed_at {
            None => row.standing.still_opens(db, &doors).await?,
            Some(_) => names(&named(&row.doors)).into_iter().map(|point| doors.describe(point)).collect(),
        };
        tasks.push(row.told(opens, &doors, now));
    }
    Ok(tasks)
}

/// The access points that a task names. A text that cannot be read names none.
fn named(doors: &str) -> Vec<Named> {
    serde_json::from_str(doors).unwrap_or_default()
}

fn names(doors: &[Named]) -> Vec<String> {
    doors.iter().map(|door| door.access_point.clone()).collect()
}

impl Row {
    fn told(self, doors: Vec<OpenDoor>, all: &Doors, now: Timestamp) -> Task {
        let accepted = self.accepted(all, now);
        let state = match (self.closed_at, &accepted) {
            (Some(_), _) => State::Closed,
            (None, Some(risk)) if risk.covers(&doors) => State::Accepted,
            (None, _) => State::Open,
        };
        let done = self.done_by.zip(self.done_what).zip(self.done_at);
        let descriptor = all.descriptor(&self.standing.door_system);
        let decides = descriptor.map(|descriptor| descriptor.revocation);
        let proposed = match state {
            State::Closed => Vec::new(),
            State::Open | State::Accepted => propose(&self.standing.door_system, decides, &doors),
        };
        Task {
            id: self.id,
            state,
            credential: self.standing.credential_id,
            card: self.standing.card(),
            user: self.standing.user_id,
            user_name: self.standing.user_name,
            door_system: self.standing.door_system,
            doors,
            since: self.since.to_string(),
            until: at_worst(descriptor),
            opened_at: self.opened_at.to_string(),
            closed_at: self.closed_at.map(|at| at.to_string()),
            proposed: proposed.iter().map(ToString::to_string).collect(),
            done: done.map(|((by, what), at)| Done { by, what, at: at.to_string() }),
            accepted,
        }
    }

    /// Who has accepted the risk until after `now`; of a closed task, who had when it was closed. What was accepted of
    /// an older state of the credential, was not of this one; nor is a door that leads to something worse by now the
    /// one that was accepted.
    fn accepted(&self, all: &Doors, now: Timestamp) -> Option<Accepted> {
        let until = self.accepted_until.filter(|until| *until > self.closed_at.unwrap_or(now))?;
        let mut doors = named(self.accepted_doors.as_deref().unwrap_or_default());
        if self.closed_at.is_none() {
            doors.retain(|door| door.covers(&all.describe(door.access_point.clone())));
            if doors.is_empty() || self.accepted_version != Some(self.standing.credential_version) {
                return None;
            }
        }
        Some(Accepted {
            by: self.accepted_by.clone()?,
            because: self.accepted_because.clone()?,
            at: self.accepted_at?.to_string(),
            until: until.to_string(),
            doors: names(&doors),
        })
    }
}
