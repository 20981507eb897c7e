//! What an administrator declares in a file: clients, SCIM connections, policies, areas, schedules, door systems,
//! access points, access profiles, card pools.
//!
//! Each is an [`Item`] in one canonical form, read from the database and from the file alike, so that
//! comparing is all that finding the difference takes. Writing one records what changed, without values.
//!
//! To add a kind: a variant of [`Kind`], a line in [`read_all`], an arm in `write.rs`, `delete.rs` and `version.rs`.

mod delete;
mod redirect_uri;
mod version;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use kernel::id::UserId;
use kernel::{Day, NotADay, Secret, Subject, constant_time_eq};
use serde_json::{Value, json};
use store::{Db, Fact, JsonText, Tx};

use crate::client::Client;
use crate::facts::ConfigurationChanged;
use crate::{DirectoryError, name};

pub use redirect_uri::check as check_redirect_uri;

/// Kinds, in the order in which they must be written; they are deleted in the reverse order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An application.
    Client,
    /// An HR system.
    ScimConnection,
    /// Cedar policies.
    Policy,
    /// What is behind doors.
    Area,
    /// Hours by a name.
    Schedule,
    /// A vendor's system.
    DoorSystem,
    /// Where a credential is shown.
    AccessPoint,
    /// Which access points together.
    AccessProfile,
    /// Numbers to hand out.
    CardPool,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 9] = [
        Kind::Client,
        Kind::ScimConnection,
        Kind::Policy,
        Kind::Area,
        Kind::Schedule,
        Kind::DoorSystem,
        Kind::AccessPoint,
        Kind::AccessProfile,
        Kind::CardPool,
    ];

    /// As facts and messages call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Client => "client",
            Kind::ScimConnection => "scim_connection",
            Kind::Policy => "policy",
            Kind::Area => "area",
            Kind::Schedule => "schedule",
            Kind::DoorSystem => "door_system",
            Kind::AccessPoint => "access_point",
            Kind::AccessProfile => "access_profile",
            Kind::CardPool => "card_pool",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One declared thing in canonical form.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Its name: unique within the kind.
    pub name: String,
    /// Its fields, `null` ones left out.
    pub fields: BTreeMap<String, Value>,
    /// A secret that must be kept readable (a door system's), as opposed to one kept as a hash in `fields`.
    pub secret: Option<Secret<String>>,
    /// Of what [`read_all`] found: the version that was read.
    pub version: Option<i64>,
}

impl Item {
    /// An item with these fields; `null` ones are left out, and sets are put in order.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<String>, fields: Value) -> Self {
        let mut fields: BTreeMap<String, Value> = match fields {
            Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => BTreeMap::new(),
        };
        if let Some(Value::Array(points)) = fields.get_mut("access_points") {
            points.sort_by(|a, b| named_point(a).cmp(&named_point(b)));
            points.dedup();
        }
        Self { kind, name: name.into(), fields, secret: None, version: None }
    }

    /// The same with a secret.
    #[must_use]
    pub fn with_secret(mut self, secret: Option<Secret<String>>) -> Self {
        self.secret = secret;
        self
    }

    fn of_version(mut self, version: i64) -> Self {
        self.version = Some(version);
        self
    }

    /// What it is called in facts.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::new(self.kind.as_str(), &self.name)
    }

    /// The names of fields that differ, the secret's among them.
    #[must_use]
    pub fn differing(&self, other: &Item) -> Vec<String> {
        let names = self.fields.keys().chain(other.fields.keys());
        let mut differing: Vec<String> =
            names.filter(|name| self.fields.get(*name) != other.fields.get(*name)).cloned().collect();
        if !same_secret(self.secret.as_ref(), other.secret.as_ref()) {
            differing.push("secret".into());
        }
        differing.sort();
        differing.dedup();
        differing
    }

    pub(crate) fn text(&self, field: &str) -> Option<String> {
        self.fields.get(field).and_then(Value::as_str).map(str::to_owned)
    }

    pub(crate) fn required(&self, field: &str) -> Result<String, DirectoryError> {
        self.text(field).ok_or_else(|| self.wrong(field, "must be a text"))
    }

    pub(crate) fn number(&self, field: &str) -> Result<i64, DirectoryError> {
        self.fields
            .get(field)
            .and_then(Value::as_i64)
            .ok_or_else(|| self.wrong(field, "must be a whole number"))
    }

    /// `None` when it is not said.
    pub(crate) fn yes_or_no(&self, field: &str) -> Result<Option<bool>, DirectoryError> {
        match self.fields.get(field) {
            None => Ok(None),
            Some(Value::Bool(said)) => Ok(Some(*said)),
            Some(_) => Err(self.wrong(field, "must be true or false")),
        }
    }

    pub(crate) fn texts(&self, field: &str) -> Vec<String> {
        let listed = self.fields.get(field).and_then(Value::as_array);
        listed
            .map(|values| values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default()
    }

    /// `None` when it is not said.
    pub(crate) fn day(&self, field: &str) -> Result<Option<Day>, DirectoryError> {
        match self.fields.get(field) {
            None => Ok(None),
            Some(_) => {
                let day = self.required(field)?.parse::<Day>();
                day.map(Some).map_err(|error: NotADay| self.wrong(field, &format!("is {error}")))
            }
        }
    }

    /// The access points of a profile, each with its schedule.
    pub(crate) fn profile_points(&self) -> Result<Vec<(String, Option<String>)>, DirectoryError> {
        let listed = self.fields.get("access_points").and_then(Value::as_array).into_iter().flatten();
        let points = listed.map(|point| {
            let schedule = match point.get("schedule") {
                None => None,
                Some(schedule) => Some(schedule.as_str()?.to_owned()),
            };
            Some((named_point(point)?.to_owned(), schedule))
        });
        let problem = "must be names, each perhaps with a schedule";
        points.collect::<Option<_>>().ok_or_else(|| self.wrong("access_points", problem))
    }

    /// Which time profile each schedule is.
    pub(crate) fn time_profiles(&self) -> Result<Vec<(String, i64)>, DirectoryError> {
        let listed = self.fields.get("schedules").and_then(Value::as_object).into_iter().flatten();
        let profiles = listed.map(|(schedule, number)| {
            let number = number.as_i64().filter(|number| TIME_PROFILES.contains(number));
            let problem = format!(": {schedule} must be the number of a time profile, 1 to 255");
            number.map(|number| (schedule.clone(), number)).ok_or_else(|| self.wrong("schedules", &problem))
        });
        profiles.collect()
    }

    pub(crate) fn wrong(&self, field: &str, problem: &str) -> DirectoryError {
        DirectoryError::Invalid(format!("{} {}: {field} {problem}", self.kind, self.name))
    }
}

/// How door systems may number their time profiles; each has bounds of its own within.
const TIME_PROFILES: std::ops::RangeInclusive<i64> = 1..=255;

/// An access point of a profile, as fields hold it: its name, or an object where a schedule says when it opens.
#[must_use]
pub fn profile_point(access_point: &str, schedule: Option<&str>) -> Value {
    match schedule {
        None => json!(access_point),
        Some(schedule) => json!({ "access_point": access_point, "schedule": schedule }),
    }
}

fn named_point(point: &Value) -> Option<&str> {
    point.as_str().or_else(|| point.get("access_point")?.as_str())
}

fn same_secret(a: Option<&Secret<String>>, b: Option<&Secret<String>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => constant_time_eq(a.expose().as_bytes(), b.expose().as_bytes()),
        _ => false,
    }
}

/// How a door system's secret is sealed and opened: the keeper of the sealing key does it.
pub trait Sealer: Send + Sync {
    /// Seals a secret of this door system.
    fn seal(&self, door_system: &str, secret: &Secret<String>) -> String;
    /// Opens it.
    ///
    /// # Errors
    /// In words for the administrator.
    fn open(&self, door_system: &str, sealed: &str) -> Result<Secret<String>, String>;
}

/// Everything that is declared now.
///
/// # Errors
/// [`DirectoryError::Invalid`] when a secret cannot be opened.
pub async fn read_all(db: &Db, sealer: &dyn Sealer) -> Result<Vec<Item>, DirectoryError> {
    let mut items = Vec::new();
    for client in crate::client::all(db).await? {
        items.push(client_item(client));
    }
    for (name, version, token_hash) in crate::scim_connection::declared(db).await? {
        let fields = json!({ "token_hash": token_hash });
        items.push(Item::new(Kind::ScimConnection, name, fields).of_version(version));
    }
    for policy in crate::policy::all(db).await? {
        let fields = json!({ "text": policy.text });
        items.push(Item::new(Kind::Policy, policy.name, fields).of_version(policy.version));
    }
    read_doors(db, sealer, &mut items).await?;
    Ok(items)
}

/// Only what differs from the rule is written down, as in the file.
fn client_item(client: Client) -> Item {
    let pkce = (client.pkce != "required").then_some(&client.pkce);
    let returns = Some(&client.post_logout_redirect_uris.0).filter(|uris| !uris.is_empty());
    let session_required = client.backchannel_logout_session_required.then_some(true);
    let third_party = client.third_party.then_some(true);
    let fields = json!({
        "name": client.name, "secret_hash": client.secret_hash, "redirect_uris": client.redirect_uris.0,
        "sensitivity": client.sensitivity, "project": client.project, "id_token_alg": client.id_token_alg,
        "pkce": pkce, "refresh_tokens": client.refresh_tokens, "post_logout_redirect_uris": returns,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "backchannel_logout_session_required": session_required, "third_party": third_party,
    });
    Item::new(Kind::Client, client.id, fields).of_version(client.version)
}

async fn read_doors(db: &Db, sealer: &dyn Sealer, items: &mut Vec<Item>) -> Result<(), DirectoryError> {
    for area in crate::door::areas(db).await? {
        let fields = json!({ "title": area.title, "protection_class": area.protection_class });
        items.push(Item::new(Kind::Area, area.name, fields).of_version(area.version));
    }
    for schedule in crate::door::schedules(db).await? {
        let fields = json!({ "title": schedule.title });
        items.push(Item::new(Kind::Schedule, schedule.name, fields).of_version(schedule.version));
    }
    read_door_systems(db, sealer, items).await?;
    for point in crate::door::access_points(db).await? {
        let fields = json!({ "door_system": point.door_system, "area": point.area, "from": point.area_from });
        items.push(Item::new(Kind::AccessPoint, point.name, fields).of_version(point.version));
    }
    read_access_profiles(db, items).await?;
    for pool in crate::credential::pools(db).await? {
        let fields = json!({
            "format": pool.format, "facility": pool.facility, "first": pool.first_number, "last": pool.last_number,
        });
        items.push(Item::new(Kind::CardPool, pool.name, fields).of_version(pool.version));
    }
    Ok(())
}

async fn read_door_systems(
    db: &Db,
    sealer: &dyn Sealer,
    items: &mut Vec<Item>,
) -> Result<(), DirectoryError> {
    let mut schedules: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (system, schedule, time_profile) in crate::door::time_profiles(db).await? {
        schedules.entry(system).or_default().insert(schedule, time_profile);
    }
    for system in crate::door::systems(db).await? {
        let secret = match &system.secret_sealed {
            Some(sealed) => Some(sealer.open(&system.name, sealed).map_err(DirectoryError::Invalid)?),
            None => None,
        };
        let fields = json!({
            "connector": system.connector, "config": system.config.0, "schedules": schedules.remove(&system.name),
            "unknown_cards": system.unknown_cards().said(),
        });
        let item = Item::new(Kind::DoorSystem, system.name, fields);
        items.push(item.with_secret(secret).of_version(system.version));
    }
    Ok(())
}

async fn read_access_profiles(db: &Db, items: &mut Vec<Item>) -> Result<(), DirectoryError> {
    let points = crate::door::profile_points(db).await?;
    let scheduled = crate::door::scheduled_points(db).await?;
    for profile in crate::door::access_profiles(db).await? {
        let schedule_at = |point: &str| {
            let here = scheduled.iter().find(|(name, at, _)| *name == profile.name && at == point);
            here.map(|(.., schedule)| schedule.as_str())
        };
        let its_own = points.iter().filter(|(name, ..)| *name == profile.name);
        let its_own: Vec<Value> =
            its_own.map(|(_, point, ..)| profile_point(point, schedule_at(point))).collect();
        let fields = json!({
            "title": profile.title, "project": profile.project, "access_points": its_own,
            "valid_from": profile.valid_from, "valid_until": profile.valid_until,
        });
        items.push(Item::new(Kind::AccessProfile, profile.name, fields).of_version(profile.version));
    }
    Ok(())
}

/// Writes an item as it should be, and records which fields changed. `before` is what [`read_all`] found there,
/// if anything.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`] when `before` is not what is there now; [`DirectoryError::Invalid`] names
/// the item and the field.
pub async fn put(
    tx: &mut Tx,
    item: &Item,
    before: Option<&Item>,
    sealer: &dyn Sealer,
) -> Result<(), DirectoryError> {
    check(item)?;
    let fields = match before {
        Some(before) => item.differing(before),
        None => item.differing(&Item::new(item.kind, "", Value::Null)),
    };
    if fields.is_empty() && before.is_some() {
        return Ok(());
    }
    let over = match before {
        Some(before) => Some(version::take(tx, before).await?),
        None => None,
    };
    write::put(tx, item, over, sealer).await?;
    let change = if before.is_some() { "changed" } else { "created" };
    tx.record(Fact::new(item.subject(), &ConfigurationChanged { change: change.into(), fields }));
    Ok(())
}

/// What neither engine's indexes nor their texts can hold, and names that are somebody else's.
fn check(item: &Item) -> Result<(), DirectoryError> {
    name::check(&format!("the name of a {}", item.kind), &item.name)?;
    // A service is the `sub` of its tokens, and so is a person: whoever reads one must not take it for the other
    // (RFC 9700, section 4.15).
    if item.kind == Kind::Client && name::fold(&item.name).parse::<UserId>().is_ok() {
        return Err(item.wrong("its name", "must not be a UUID, as people's ids are; take a word"));
    }
    let has_nul = |value: &Value| value.as_str().is_some_and(|text| text.contains('\0'));
    match item.fields.iter().find(|(_, value)| has_nul(value)) {
        Some((field, _)) => Err(item.wrong(field, "must not contain NUL")),
        None => Ok(()),
    }
}

/// Deletes an item that [`read_all`] found.
///
/// # Errors
/// [`DirectoryError::VersionMismatch`] when it is not what is there now; [`DirectoryError::Invalid`] when
/// something still rests on it.
pub async fn delete(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    version::take(tx, item).await?;
    delete::delete(tx, item).await?;
    let body = ConfigurationChanged { change: "deleted".into(), fields: Vec::new() };
    let mut fact = Fact::new(item.subject(), &body);
    // What a policy, a profile or a pool gave may have to be taken away.
    fact.revokes = true;
    tx.record(fact);
    Ok(())
}

pub(crate) fn as_json(value: Option<&Value>) -> JsonText<Value> {
    JsonText(value.cloned().unwrap_or(Value::Null))
}
