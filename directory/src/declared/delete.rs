//! How each kind of item is deleted, and what it may not be deleted under.

use store::{StoreError, Tx, sql};

use super::{Item, Kind};
use crate::DirectoryError;
use crate::door::entitlement;

/// Deletes an item whose row was taken.
pub(super) async fn delete(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let name = &item.name;
    match item.kind {
        Kind::Client => delete_client(tx, name).await?,
        Kind::ScimConnection => tx.run(sql!("DELETE FROM scim_connection WHERE name = $1"), (name,)).await?,
        Kind::Policy => tx.run(sql!("DELETE FROM policy WHERE name = $1"), (name,)).await?,
        Kind::Area => {
            refuse_if_used(tx, item).await?;
            tx.run(sql!("DELETE FROM area WHERE name = $1"), (name,)).await?
        }
        Kind::Schedule => {
            refuse_if_scheduled(tx, item).await?;
            tx.run(sql!("DELETE FROM schedule WHERE name = $1"), (name,)).await?
        }
        Kind::DoorSystem => {
            refuse_if_used(tx, item).await?;
            refuse_if_it_holds_cards(tx, item).await?;
            tx.run(sql!("DELETE FROM door_system_schedule WHERE door_system = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM placement_due WHERE door_system = $1"), (name,)).await?;
            // Another door system of this name is another one: nobody's card is tolerated there.
            tx.run(sql!("DELETE FROM quarantine WHERE door_system = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM quarantine_brake WHERE door_system = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM door_system WHERE name = $1"), (name,)).await?
        }
        Kind::AccessPoint => {
            tx.run(sql!("DELETE FROM access_profile_point WHERE access_point = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM access_point WHERE name = $1"), (name,)).await?
        }
        Kind::AccessProfile => {
            entitlement::end_all_of(tx, name).await?;
            tx.run(sql!("DELETE FROM access_profile_point WHERE access_profile = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM access_profile WHERE name = $1"), (name,)).await?
        }
        Kind::CardPool => tx.run(sql!("DELETE FROM card_pool WHERE name = $1"), (name,)).await?,
    };
    Ok(())
}

/// Its grants die with it, and so do their tokens. In the order in which consents, codes and grants are locked
/// everywhere; one that is made meanwhile goes with the client itself.
async fn delete_client(tx: &mut Tx, id: &str) -> Result<u64, StoreError> {
    tx.run(sql!("DELETE FROM consent WHERE client_id = $1"), (id,)).await?;
    tx.run(
        sql!(
            "DELETE FROM authorization_code WHERE grant_id IN (SELECT id FROM oauth_grant WHERE client_id = $1)"
        ),
        (id,),
    )
    .await?;
    tx.run(sql!("DELETE FROM oauth_grant WHERE client_id = $1"), (id,)).await?;
    tx.run(sql!("DELETE FROM client WHERE id = $1"), (id,)).await
}

async fn refuse_if_used(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let by: Option<(String,)> = tx
        .opt(
            match item.kind {
                Kind::Area => {
                    sql!("SELECT name FROM access_point WHERE area = $1 OR area_from = $1 ORDER BY name LIMIT 1")
                }
                _ => sql!("SELECT name FROM access_point WHERE door_system = $1 ORDER BY name LIMIT 1"),
            },
            (&item.name,),
        )
        .await?;
    match by {
        None => Ok(()),
        Some((by,)) => Err(DirectoryError::Invalid(format!(
            "{} {} is still used by the access point {by}; delete that first",
            item.kind, item.name
        ))),
    }
}

async fn refuse_if_scheduled(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let text =
        sql!("SELECT door_system FROM door_system_schedule WHERE schedule = $1 ORDER BY door_system LIMIT 1");
    let system: Option<(String,)> = tx.opt(text, (&item.name,)).await?;
    let text = sql!(
        "SELECT access_profile FROM access_profile_point WHERE schedule = $1 ORDER BY access_profile LIMIT 1"
    );
    let profile: Option<(String,)> = tx.opt(text, (&item.name,)).await?;
    let by = match (profile, system) {
        (Some((profile,)), _) => format!("the access profile {profile}"),
        (None, Some((system,))) => format!("the door system {system}"),
        (None, None) => return Ok(()),
    };
    Err(DirectoryError::Invalid(format!(
        "schedule {} is still used by {by}; take it off there first",
        item.name
    )))
}

/// While it is not proven that a card is off its list, we must still be able to speak to it.
async fn refuse_if_it_holds_cards(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let (cards,): (i64,) = tx
        .one(
            sql!("SELECT COUNT(*) FROM placement WHERE door_system = $1 AND (wanted = 'present' OR ack < 2)"),
            (&item.name,),
        )
        .await?;
    match cards {
        0 => Ok(()),
        cards => Err(DirectoryError::Invalid(format!(
            "door system {} still holds {cards} card(s): take its access points off every access profile first, and \
             delete it when they are proven absent",
            item.name
        ))),
    }
}
