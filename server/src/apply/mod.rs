//! `cardea apply`: brings clients, policies and doors to what one file declares.
//!
//! It shows the difference first; twice changes nothing; what the file does not name stays, unless `--prune`.
//! Everything is checked before anything is written, and written in one transaction.

mod devices;
mod doors;
mod file;
mod hours;
mod left_behind;
mod listening;
mod plan;

use std::path::Path;
use std::sync::Arc;

use bridge::connector::Connector;
use bridge::systems::{SECRET, Systems};
use directory::DirectoryError;
use directory::declared::{self, Item, Kind, Sealer};
use kernel::{Actor, Ctx, Secret};
use keys::SealingKeys;
use store::{Db, Origin};

pub use file::{Declaration, FileError};
pub use plan::{Change, Plan};

use self::devices::Devices;
use self::left_behind::Left;
use crate::policies;

/// Why a declaration was not applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The policies together are not acceptable.
    #[error("policies: {0}")]
    Policy(#[from] policy::PolicyError),
    /// A value is wrong, or something still rests on what should go.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Doors and cards do not fit together.
    #[error("{0}")]
    Doors(String),
}

impl From<store::StoreError> for ApplyError {
    fn from(error: store::StoreError) -> Self {
        Self::Directory(error.into())
    }
}

/// Seals door systems' secrets.
struct DoorSecrets<'a> {
    ctx: &'a Ctx,
    sealing: &'a SealingKeys,
}

impl Sealer for DoorSecrets<'_> {
    fn seal(&self, door_system: &str, secret: &Secret<String>) -> String {
        self.sealing.seal(self.ctx, SECRET.at(door_system), secret.expose().as_bytes())
    }

    fn open(&self, door_system: &str, sealed: &str) -> Result<Secret<String>, String> {
        let opened = self.sealing.open(SECRET.at(door_system), sealed);
        let opened = opened.map_err(|error| format!("door system {door_system}: {error}"))?;
        String::from_utf8(opened.expose().clone())
            .map(Secret::new)
            .map_err(|_| "its secret is not text".into())
    }
}

/// Whether cards may be left behind on a controller that nobody would speak to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandon {
    /// No: they go first, and that is proven.
    Nothing,
    /// Somebody vouches that the controller is gone, or is the same one at another address.
    Controllers,
}

/// Compares a declaration with what is there. Changes nothing.
pub async fn plan(
    db: &Db,
    sealing: &SealingKeys,
    wanted: Vec<Item>,
    prune: bool,
    abandon: Abandon,
) -> Result<Plan, ApplyError> {
    let secrets = DoorSecrets { ctx: db.ctx(), sealing };
    let present = declared::read_all(db, &secrets).await?;
    let plan = Plan::new(wanted, present, prune);
    check(db, sealing, &plan)?;
    // Asked again when it is carried out; here so that the difference of what cannot be is not shown for agreement.
    let left = left_behind::by(db, sealing, &plan, abandon)?;
    if !left.is_empty() {
        let mut tx = db.write(Origin::of(Actor::Operator)).await?;
        let refused = left_behind::refuse_cards(&mut tx, &left).await;
        tx.end(refused).await?;
    }
    Ok(plan)
}

/// Carries a plan out, in one transaction.
pub async fn carry_out(
    db: &Db,
    sealing: &SealingKeys,
    plan: &Plan,
    abandon: Abandon,
) -> Result<(), ApplyError> {
    if plan.is_empty() {
        return Ok(());
    }
    let secrets = DoorSecrets { ctx: db.ctx(), sealing };
    let left = left_behind::by(db, sealing, plan, abandon)?;
    let mut tx = db.write(Origin::of(Actor::Operator)).await?;
    let written = write(&mut tx, plan, &secrets, &left).await;
    tx.end(written).await
}

async fn write(
    tx: &mut store::Tx,
    plan: &Plan,
    secrets: &DoorSecrets<'_>,
    left: &[Left],
) -> Result<(), ApplyError> {
    for change in plan.changes() {
        match change {
            Change::Create(item) => declared::put(tx, item, None, secrets).await?,
            Change::Change { before, after, .. } => declared::put(tx, after, Some(before), secrets).await?,
            Change::Delete(item) => declared::delete(tx, item).await?,
        }
    }
    // INVARIANT: after the door systems' rows were taken. Whoever puts a card on a list holds its row until that is
    // noted: either we see the note, or they see that the door system is configured otherwise.
    left_behind::refuse_cards(tx, left).await
}

/// Reads, plans and carries out: for the demo and for tests.
pub async fn apply(db: &Db, sealing: &SealingKeys, text: &str, folder: &Path) -> Result<Plan, ApplyError> {
    let wanted = Declaration::parse(text)?.items(folder)?;
    let plan = plan(db, sealing, wanted, false, Abandon::Nothing).await?;
    carry_out(db, sealing, &plan, Abandon::Nothing).await?;
    Ok(plan)
}

/// What must fit together before anything is written: policies with each other, doors with their connectors,
/// cards with the doors they are for.
fn check(db: &Db, sealing: &SealingKeys, plan: &Plan) -> Result<(), ApplyError> {
    let after = plan.after();
    let texts: Vec<(String, String)> = after
        .iter()
        .filter(|item| item.kind == Kind::Policy)
        .map(|item| (item.name.clone(), text(item, "text")))
        .collect();
    policies::parse(&texts)?;
    let mut devices = Devices::default();
    for system in after.iter().filter(|item| item.kind == Kind::DoorSystem) {
        let connector = check_door_system(db, sealing, system, &after)?;
        devices.add(system, connector.as_ref())?;
    }
    listening::check(&after)?;
    hours::check_profiles(&after)?;
    check_cards(&after)
}

fn text(item: &Item, field: &str) -> String {
    item.fields.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// The connector of a declared door system.
fn open_declared(db: &Db, sealing: &SealingKeys, system: &Item) -> Result<Arc<dyn Connector>, ApplyError> {
    let secrets = DoorSecrets { ctx: db.ctx(), sealing };
    bridge::systems::open_connector(
        db,
        sealing,
        &directory::door::DoorSystem {
            name: system.name.clone(),
            version: 0,
            connector: text(system, "connector"),
            config: store::JsonText(system.fields.get("config").cloned().unwrap_or_default()),
            secret_sealed: system.secret.as_ref().map(|secret| secrets.seal(&system.name, secret)),
            unknown_cards: text(system, "unknown_cards"),
        },
    )
    .map_err(|problem| ApplyError::Doors(format!("door system {}: {problem}", system.name)))
}

/// The connector can be opened, and its doors are the declared access points. Answers it.
fn check_door_system(
    db: &Db,
    sealing: &SealingKeys,
    system: &Item,
    after: &[Item],
) -> Result<Arc<dyn Connector>, ApplyError> {
    let wrong = |problem: String| ApplyError::Doors(format!("door system {}: {problem}", system.name));
    let opened = open_declared(db, sealing, system)?;
    let on_the_wire: Vec<String> = opened.access_points().into_iter().map(|point| point.0).collect();
    let declared = after
        .iter()
        .filter(|item| item.kind == Kind::AccessPoint && text(item, "door_system") == system.name);
    for point in declared {
        if !on_the_wire.contains(&point.name) {
            return Err(wrong(format!(
                "access point {:?} is not one of its doors ({}); name it in config",
                point.name,
                on_the_wire.join(", ")
            )));
        }
    }
    hours::check_time_profiles(db.ctx(), system, opened.as_ref(), after)?;
    Ok(opened)
}

/// Each door system that a plan makes or changes, with what its connector was tested against.
#[must_use]
pub fn tested(plan: &Plan) -> Vec<(String, &'static str)> {
    let items = plan.changes().iter().filter_map(|change| match change {
        Change::Create(item) | Change::Change { after: item, .. } => Some(item),
        Change::Delete(_) => None,
    });
    let systems = items.filter(|item| item.kind == Kind::DoorSystem).filter_map(|system| {
        let config = system.fields.get("config").cloned().unwrap_or_default();
        let described = bridge::connector::described(&text(system, "connector"), &config)?;
        Some((system.name.clone(), described.tested_against))
    });
    systems.collect()
}

/// Every pool's cards exist in their format.
fn check_cards(after: &[Item]) -> Result<(), ApplyError> {
    for pool in after.iter().filter(|item| item.kind == Kind::CardPool) {
        let number = |field: &str| pool.fields.get(field).and_then(serde_json::Value::as_i64).unwrap_or(-1);
        for edge in [number("first"), number("last")] {
            bridge::placement::card(&text(pool, "format"), number("facility"), edge)
                .map_err(|error| ApplyError::Doors(format!("card pool {}: {error}", pool.name)))?;
        }
    }
    Ok(())
}

/// Opens the door systems that are declared now, so that what is recorded next reaches them.
pub async fn open_doors(db: &Db, sealing: &SealingKeys) -> Result<Systems, store::StoreError> {
    let systems = Systems::default();
    systems.load(db, sealing).await?;
    Ok(systems)
}
