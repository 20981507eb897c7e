//! How each kind of item is written and deleted.

use kernel::id::ScimConnectionId;
use kernel::{ProtectionClass, Sensitivity};
use store::{JsonText, StoreError, Tx, sql};

use super::{Item, Kind, Sealer, as_json, placed_on};
use crate::DirectoryError;

pub(super) async fn put(tx: &mut Tx, item: &Item, sealer: &dyn Sealer) -> Result<(), DirectoryError> {
    match item.kind {
        Kind::Client => put_client(tx, item).await,
        Kind::ScimConnection => put_scim_connection(tx, item).await,
        Kind::Policy => put_policy(tx, item).await,
        Kind::Area => put_area(tx, item).await,
        Kind::DoorSystem => put_door_system(tx, item, sealer).await,
        Kind::AccessPoint => put_access_point(tx, item).await,
        Kind::AccessProfile => put_access_profile(tx, item).await,
        Kind::CardPool => put_card_pool(tx, item).await,
    }
}

pub(super) async fn delete(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let name = &item.name;
    match item.kind {
        Kind::Client => delete_client(tx, name).await?,
        Kind::ScimConnection => tx.run(sql!("DELETE FROM scim_connection WHERE name = $1"), (name,)).await?,
        Kind::Policy => tx.run(sql!("DELETE FROM policy WHERE name = $1"), (name,)).await?,
        Kind::Area => tx.run(sql!("DELETE FROM area WHERE name = $1"), (name,)).await.map_err(|_| in_use(item))?,
        Kind::DoorSystem => {
            let placed = placed_on(tx, name).await?;
            if placed > 0 {
                return Err(DirectoryError::Invalid(format!(
                    "door system {name} still holds {placed} card(s): take its access points off every access \
                     profile first, and delete it when they are proven absent"
                )));
            }
            tx.run(sql!("DELETE FROM door_system WHERE name = $1"), (name,)).await.map_err(|_| in_use(item))?
        }
        Kind::AccessPoint => {
            tx.run(sql!("DELETE FROM access_profile_point WHERE access_point = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM access_point WHERE name = $1"), (name,)).await?
        }
        Kind::AccessProfile => {
            tx.run(sql!("DELETE FROM entitlement WHERE access_profile = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM access_profile_point WHERE access_profile = $1"), (name,)).await?;
            tx.run(sql!("DELETE FROM access_profile WHERE name = $1"), (name,)).await?
        }
        Kind::CardPool => tx.run(sql!("DELETE FROM card_pool WHERE name = $1"), (name,)).await?,
    };
    Ok(())
}

fn in_use(item: &Item) -> DirectoryError {
    DirectoryError::Invalid(format!("{} {} is still used by an access point; delete that first", item.kind, item.name))
}

async fn put_client(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let sensitivity: Sensitivity =
        item.required("sensitivity")?.parse().map_err(|error| item.wrong("sensitivity", &format!(": {error}")))?;
    let alg = item.required("id_token_alg")?;
    if !matches!(alg.as_str(), "RS256" | "ES256") {
        return Err(item.wrong("id_token_alg", "must be RS256 or ES256"));
    }
    let uris = item.texts("redirect_uris");
    for uri in &uris {
        check_redirect_uri(uri).map_err(|problem| item.wrong("redirect_uris", &format!("{uri:?} {problem}")))?;
    }
    tx.run(
        sql!(
            "INSERT INTO client (id, version, name, secret_hash, redirect_uris, sensitivity, project, id_token_alg, \
             updated_at) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET \
             version = client.version + 1, name = excluded.name, secret_hash = excluded.secret_hash, \
             redirect_uris = excluded.redirect_uris, sensitivity = excluded.sensitivity, project = excluded.project, \
             id_token_alg = excluded.id_token_alg, updated_at = excluded.updated_at"
        ),
        (
            &item.name,
            item.required("name")?,
            item.text("secret_hash"),
            &JsonText(uris),
            sensitivity.as_str(),
            item.text("project"),
            alg,
            tx.now(),
        ),
    )
    .await?;
    Ok(())
}

/// Absolute, without fragment (RFC 6749, section 3.1.2); https, or http on a loopback name (RFC 8252,
/// section 7.3), or a private scheme with a dot in it (section 7.1).
fn check_redirect_uri(uri: &str) -> Result<(), &'static str> {
    let parsed = url::Url::parse(uri).map_err(|_| "is not an absolute URI")?;
    if parsed.fragment().is_some() {
        return Err("must not have a fragment");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not have user information");
    }
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) => Ok(()),
        "http" => Err("must be https (http is for localhost only)"),
        private if private.contains('.') => Ok(()),
        _ => Err("must be https, or a private scheme such as com.example.app"),
    }
}

async fn delete_client(tx: &mut Tx, id: &str) -> Result<u64, StoreError> {
    tx.run(sql!("DELETE FROM authorization_code WHERE client_id = $1"), (id,)).await?;
    tx.run(sql!("DELETE FROM oauth_grant WHERE client_id = $1"), (id,)).await?;
    tx.run(sql!("DELETE FROM client WHERE id = $1"), (id,)).await
}

async fn put_scim_connection(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let id = ScimConnectionId::new(tx.ctx());
    tx.run(
        sql!(
            "INSERT INTO scim_connection (id, version, name, token_hash, updated_at) VALUES ($1, 1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET version = scim_connection.version + 1, \
             token_hash = excluded.token_hash, updated_at = excluded.updated_at"
        ),
        (id, &item.name, item.required("token_hash")?, tx.now()),
    )
    .await?;
    Ok(())
}

async fn put_policy(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    tx.run(
        sql!(
            "INSERT INTO policy (name, version, text, updated_at) VALUES ($1, 1, $2, $3) ON CONFLICT (name) \
             DO UPDATE SET version = policy.version + 1, text = excluded.text, updated_at = excluded.updated_at"
        ),
        (&item.name, item.required("text")?, tx.now()),
    )
    .await?;
    Ok(())
}

async fn put_area(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let class = ProtectionClass::try_from(item.number("protection_class")?)
        .map_err(|error| item.wrong("protection_class", &format!(": {error}")))?;
    tx.run(
        sql!(
            "INSERT INTO area (name, version, title, protection_class, updated_at) VALUES ($1, 1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET version = area.version + 1, title = excluded.title, \
             protection_class = excluded.protection_class, updated_at = excluded.updated_at"
        ),
        (&item.name, item.required("title")?, i64::from(class), tx.now()),
    )
    .await?;
    Ok(())
}

async fn put_door_system(tx: &mut Tx, item: &Item, sealer: &dyn Sealer) -> Result<(), DirectoryError> {
    let sealed = item.secret.as_ref().map(|secret| sealer.seal(&item.name, secret));
    tx.run(
        sql!(
            "INSERT INTO door_system (name, version, connector, config, secret_sealed, updated_at) \
             VALUES ($1, 1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET version = door_system.version + 1, \
             connector = excluded.connector, config = excluded.config, secret_sealed = excluded.secret_sealed, \
             updated_at = excluded.updated_at"
        ),
        (&item.name, item.required("connector")?, &as_json(item.fields.get("config")), sealed, tx.now()),
    )
    .await?;
    Ok(())
}

async fn put_access_point(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let area = item.required("area")?;
    let known: Option<(String,)> = tx.opt(sql!("SELECT name FROM area WHERE name = $1"), (&area,)).await?;
    if known.is_none() {
        return Err(item.wrong("area", &format!("{area:?} is not declared")));
    }
    tx.run(
        sql!(
            "INSERT INTO access_point (name, version, door_system, area, updated_at) VALUES ($1, 1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET version = access_point.version + 1, \
             door_system = excluded.door_system, area = excluded.area, updated_at = excluded.updated_at"
        ),
        (&item.name, item.required("door_system")?, area, tx.now()),
    )
    .await?;
    Ok(())
}

async fn put_access_profile(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    tx.run(
        sql!(
            "INSERT INTO access_profile (name, version, title, project, updated_at) VALUES ($1, 1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET version = access_profile.version + 1, title = excluded.title, \
             project = excluded.project, updated_at = excluded.updated_at"
        ),
        (&item.name, item.required("title")?, item.text("project"), tx.now()),
    )
    .await?;
    tx.run(sql!("DELETE FROM access_profile_point WHERE access_profile = $1"), (&item.name,)).await?;
    for point in item.texts("access_points") {
        let known: Option<(String,)> = tx.opt(sql!("SELECT name FROM access_point WHERE name = $1"), (&point,)).await?;
        if known.is_none() {
            return Err(item.wrong("access_points", &format!(": {point:?} is not declared by any door system")));
        }
        tx.run(
            sql!("INSERT INTO access_profile_point (access_profile, access_point) VALUES ($1, $2)"),
            (&item.name, point),
        )
        .await?;
    }
    Ok(())
}

async fn put_card_pool(tx: &mut Tx, item: &Item) -> Result<(), DirectoryError> {
    let (facility, first, last) = (item.number("facility")?, item.number("first")?, item.number("last")?);
    if first < 0 || facility < 0 || last < first {
        return Err(item.wrong("first", "must not be above last, and no number below 0"));
    }
    // Numbers that were handed out stay so: a range that moves up is taken from its start, one that grows
    // goes on where it was.
    tx.run(
        sql!(
            "INSERT INTO card_pool (name, version, format, facility, first_number, last_number, next_number, \
             updated_at) VALUES ($1, 1, $2, $3, $4, $5, $4, $6) ON CONFLICT (name) DO UPDATE SET \
             version = card_pool.version + 1, format = excluded.format, facility = excluded.facility, \
             first_number = excluded.first_number, last_number = excluded.last_number, \
             next_number = CASE WHEN card_pool.format = excluded.format AND card_pool.facility = excluded.facility \
             AND card_pool.next_number > excluded.first_number THEN card_pool.next_number \
             ELSE excluded.first_number END, updated_at = excluded.updated_at"
        ),
        (&item.name, item.required("format")?, facility, first, last, tx.now()),
    )
    .await?;
    Ok(())
}
