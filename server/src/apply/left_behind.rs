//! Cards that a change would leave behind: on the list of a controller that nobody would speak to any more.
//!
//! A door system whose configuration drops an access point, or has another controller decide there, loses the way to
//! the list that stands on the old one. So that is refused while a card may stand there: first the cards go, which is
//! proven, and then the controller.
//!
//! What it is not: it judges no door system that is deleted. That one may not hold a single card
//! ([`directory::declared::delete`]).

use bridge::placement;
use directory::declared::{Item, Kind};
use keys::SealingKeys;
use store::{Db, Tx};

use super::{Abandon, ApplyError, Change, Plan, open_declared};

/// An access point whose list nobody would speak to any more.
pub(super) struct Left {
    door_system: String,
    /// `None`: nobody can tell which, so all of the system's.
    access_point: Option<String>,
    /// What becomes of it, in words.
    because: String,
}

/// What a plan would leave behind.
///
/// # Errors
/// When the new configuration cannot be opened. The old one may be beyond that for this release: then nobody can tell
/// which controllers it spoke to, and any of them may be left behind.
pub(super) fn by(
    db: &Db,
    sealing: &SealingKeys,
    plan: &Plan,
    abandon: Abandon,
) -> Result<Vec<Left>, ApplyError> {
    let mut left = Vec::new();
    if abandon == Abandon::Controllers {
        return Ok(left);
    }
    for change in plan.changes() {
        if let Change::Change { before, after, .. } = change
            && after.kind == Kind::DoorSystem
        {
            left.extend(between(db, sealing, before, after)?);
        }
    }
    Ok(left)
}

fn between(db: &Db, sealing: &SealingKeys, before: &Item, after: &Item) -> Result<Vec<Left>, ApplyError> {
    let new = open_declared(db, sealing, after)?.units();
    let Ok(old) = open_declared(db, sealing, before) else {
        let because =
            "this release cannot read its old configuration, nor tell which controllers it spoke to".into();
        return Ok(vec![Left { door_system: after.name.clone(), access_point: None, because }]);
    };
    let left = old.units().into_iter().filter_map(|(point, was)| {
        let because = match new.get(&point) {
            None => format!("controller {} would not be spoken to any more", was.id),
            Some(now) if now.id != was.id => format!("{} would take the place of {}", now.id, was.id),
            Some(now) if now.address != was.address => {
                format!("{} would be looked for at {} instead of {}", now.id, now.address, was.address)
            }
            Some(_) => return None,
        };
        Some(Left { door_system: after.name.clone(), access_point: Some(point.0), because })
    });
    Ok(left.collect())
}

/// Refuses when a card stands, or may stand, where nobody would look any more.
pub(super) async fn refuse_cards(tx: &mut Tx, left: &[Left]) -> Result<(), ApplyError> {
    for Left { door_system, access_point, because } in left {
        let cards = placement::that_may_stand_at(tx, door_system, access_point.as_deref()).await?;
        if cards > 0 {
            let point = access_point.as_deref().unwrap_or("each of its access points");
            return Err(ApplyError::Doors(format!(
                "door system {door_system}: {because}, and {cards} card(s) may stand on the list for \
                 {point:?}. First take {point:?} off every access profile and apply that; when the \
                 cards are proven absent, apply this, and then give the access point back. If the controller is gone for good, or \
                 only moved to another address, say --abandon"
            )));
        }
    }
    Ok(())
}
