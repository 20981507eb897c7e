//! How each kind of item is written: made, or over the version that was taken.

use kernel::id::ScimConnectionId;
use kernel::{Day, ProtectionClass, Sensitivity};
use store::{JsonText, Tx, sql};

use super::{Item, Kind, Sealer, as_json, redirect_uri};
use crate::DirectoryError;
use crate::door::UnknownCards;

/// No row has this version: what is there already is not overwritten.
const NONE: i64 = 0;

/// Writes an item, over the version that was taken if it was there before.
pub(super) async fn put(
    tx: &mut Tx,
    item: &Item,
    over: Option<i64>,
    sealer: &dyn Sealer,
) -> Result<(), DirectoryError> {
    let over = over.unwrap_or(NONE);
    match item.kind {
        Kind::Client => put_client(tx, item, over).await,
        Kind::ScimConnection => put_scim_connection(tx, item, over).await,
        Kind::Policy => put_policy(tx, item, over).await,
        Kind::Area => put_area(tx, item, over).await,
        Kind::Schedule => put_schedule(tx, item, over).await,
        Kind::DoorSystem => put_door_system(tx, item, over, sealer).await,
        Kind::AccessPoint => put_access_point(tx, item, over).await,
        Kind::AccessProfile => put_access_profile(tx, item, over).await,
        Kind::CardPool => put_card_pool(tx, item, over).await,
    }
}

async fn put_client(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    let sensitivity: Sensitivity = item
        .required("sensitivity")?
        .parse()
        .map_err(|error| item.wrong("sensitivity", &format!(": {error}")))?;
    let alg = item.required("id_token_alg")?;
    if !matches!(alg.as_str(), "RS256" | "ES256") {
        return Err(item.wrong("id_token_alg", "must be RS256 or ES256"));
    }
    let pkce = match item.fields.contains_key("pkce") {
        true => item.required("pkce")?,
        false => "required".into(),
    };
    match (pkce.as_str(), item.text("secret_hash")) {
        ("required", _) | ("optional", Some(_)) => {}
        ("optional", None) => return Err(item.wrong("pkce", "must be required: it keeps no secret")),
        _ => return Err(item.wrong("pkce", "must be required or optional")),
    }
    let uris = checked_uris(item, "redirect_uris", redirect_uri::check)?;
    let returns = checked_uris(item, "post_logout_redirect_uris", redirect_uri::check)?;
    tx.run_versioned(
        sql!(
            "INSERT INTO client (id, version, name, secret_hash, redirect_uris, sensitivity, project, id_token_alg, \
             updated_at, pkce, refresh_tokens, post_logout_redirect_uris, backchannel_logout_uri, \
             backchannel_logout_session_required, third_party) \
             VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $10, $11, $12, $13, $14, $15) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, secret_hash = excluded.secret_hash, \
             redirect_uris = excluded.redirect_uris, sensitivity = excluded.sensitivity, project = excluded.project, \
             id_token_alg = excluded.id_token_alg, updated_at = excluded.updated_at, pkce = excluded.pkce, \
             refresh_tokens = excluded.refresh_tokens, \
             post_logout_redirect_uris = excluded.post_logout_redirect_uris, \
             backchannel_logout_uri = excluded.backchannel_logout_uri, \
             backchannel_logout_session_required = excluded.backchannel_logout_session_required, \
             third_party = excluded.third_party \
             WHERE client.version = $9"
        ),
        (
            &item.name,
            item.required("name")?,
            item.text("secret_hash"),
            &uris,
            sensitivity.as_str(),
            item.text("project"),
            alg,
            tx.now(),
            over,
            pkce,
            item.yes_or_no("refresh_tokens")?,
            &returns,
            backchannel_logout_uri(item)?,
            item.yes_or_no("backchannel_logout_session_required")?.unwrap_or(false),
            item.yes_or_no("third_party")?.unwrap_or(false),
        ),
    )
    .await?;
    Ok(())
}

fn checked_uris(
    item: &Item,
    field: &str,
    check: fn(&str) -> Result<(), &'static str>,
) -> Result<JsonText<Vec<String>>, DirectoryError> {
    let uris = item.texts(field);
    for uri in &uris {
        check(uri).map_err(|problem| item.wrong(field, &format!("{uri:?} {problem}")))?;
    }
    Ok(JsonText(uris))
}

fn backchannel_logout_uri(item: &Item) -> Result<Option<String>, DirectoryError> {
    let field = "backchannel_logout_uri";
    let uri = item.text(field);
    if let Some(uri) = &uri {
        redirect_uri::check_called(uri)
            .map_err(|problem| item.wrong(field, &format!("{uri:?} {problem}")))?;
    }
    let session_required = item.yes_or_no("backchannel_logout_session_required")?.unwrap_or(false);
    match uri {
        None if session_required => {
            Err(item.wrong(field, "is missing: there is nobody to name a session to"))
        }
        uri => Ok(uri),
    }
}

async fn put_scim_connection(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    let id = ScimConnectionId::new(tx.ctx());
    tx.run_versioned(
        sql!(
            "INSERT INTO scim_connection (id, version, name, token_hash, updated_at) VALUES ($1, 1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash, updated_at = excluded.updated_at \
             WHERE scim_connection.version = $5"
        ),
        (id, &item.name, item.required("token_hash")?, tx.now(), over),
    )
    .await?;
    Ok(())
}

async fn put_policy(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    tx.run_versioned(
        sql!(
            "INSERT INTO policy (name, version, text, updated_at) VALUES ($1, 1, $2, $3) ON CONFLICT (name) \
             DO UPDATE SET text = excluded.text, updated_at = excluded.updated_at WHERE policy.version = $4"
        ),
        (&item.name, item.required("text")?, tx.now(), over),
    )
    .await?;
    Ok(())
}

async fn put_area(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    let class = ProtectionClass::try_from(item.number("protection_class")?)
        .map_err(|error| item.wrong("protection_class", &format!(": {error}")))?;
    tx.run_versioned(
        sql!(
            "INSERT INTO area (name, version, title, protection_class, updated_at) VALUES ($1, 1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET title = excluded.title, protection_class = excluded.protection_class, \
             updated_at = excluded.updated_at WHERE area.version = $5"
        ),
        (&item.name, item.required("title")?, i64::from(class), tx.now(), over),
    )
    .await?;
    Ok(())
}

async fn put_schedule(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    tx.run_versioned(
        sql!(
            "INSERT INTO schedule (name, version, title, updated_at) VALUES ($1, 1, $2, $3) ON CONFLICT (name) \
             DO UPDATE SET title = excluded.title, updated_at = excluded.updated_at WHERE schedule.version = $4"
        ),
        (&item.name, item.required("title")?, tx.now(), over),
    )
    .await?;
    Ok(())
}

/// Refuses what names a schedule that is not declared.
async fn check_schedule(tx: &mut Tx, item: &Item, field: &str, schedule: &str) -> Result<(), DirectoryError> {
    let there: Option<(String,)> =
        tx.opt(sql!("SELECT name FROM schedule WHERE name = $1"), (schedule,)).await?;
    match there {
        Some(_) => Ok(()),
        None => Err(item.wrong(field, &format!(": the schedule {schedule:?} is not declared"))),
    }
}

async fn put_door_system(
    tx: &mut Tx,
    item: &Item,
    over: i64,
    sealer: &dyn Sealer,
) -> Result<(), DirectoryError> {
    let sealed = item.secret.as_ref().map(|secret| sealer.seal(&item.name, secret));
    let unknown_cards = match item.fields.contains_key("unknown_cards") {
        true => item.required("unknown_cards")?.parse::<UnknownCards>(),
        false => Ok(UnknownCards::default()),
    };
    let unknown_cards = unknown_cards.map_err(|error| item.wrong("unknown_cards", &format!(": {error}")))?;
    tx.run_versioned(
        sql!(
            "INSERT INTO door_system (name, version, connector, config, secret_sealed, updated_at, unknown_cards) \
             VALUES ($1, 1, $2, $3, $4, $5, $7) ON CONFLICT (name) DO UPDATE SET connector = excluded.connector, \
             config = excluded.config, secret_sealed = excluded.secret_sealed, updated_at = excluded.updated_at, \
             unknown_cards = excluded.unknown_cards WHERE door_system.version = $6"
        ),
        (
            &item.name,
            item.required("connector")?,
            &as_json(item.fields.get("config")),
            sealed,
            tx.now(),
            over,
            unknown_cards.as_str(),
        ),
    )
    .await?;
    tx.run(sql!("DELETE FROM door_system_schedule WHERE door_system = $1"), (&item.name,)).await?;
    for (schedule, time_profile) in item.time_profiles()? {
        check_schedule(tx, item, "schedules", &schedule).await?;
        tx.run(
            sql!(
                "INSERT INTO door_system_schedule (door_system, schedule, time_profile) VALUES ($1, $2, $3)"
            ),
            (&item.name, schedule, time_profile),
        )
        .await?;
    }
    Ok(())
}

async fn put_access_point(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    let (system, area) = (item.required("door_system")?, item.required("area")?);
    let there: Option<(String,)> =
        tx.opt(sql!("SELECT name FROM door_system WHERE name = $1"), (&system,)).await?;
    if there.is_none() {
        return Err(item.wrong("door_system", &format!("{system:?} is not declared")));
    }
    let from = match item.fields.contains_key("from") {
        true => Some(item.required("from")?),
        false => None,
    };
    for (field, area) in [("area", Some(&area)), ("from", from.as_ref())] {
        let Some(area) = area else { continue };
        let there: Option<(String,)> = tx.opt(sql!("SELECT name FROM area WHERE name = $1"), (area,)).await?;
        if there.is_none() {
            return Err(item.wrong(field, &format!("{area:?} is not declared")));
        }
    }
    tx.run_versioned(
        sql!(
            "INSERT INTO access_point (name, version, door_system, area, updated_at, area_from) \
             VALUES ($1, 1, $2, $3, $4, $6) \
             ON CONFLICT (name) DO UPDATE SET door_system = excluded.door_system, area = excluded.area, \
             updated_at = excluded.updated_at, area_from = excluded.area_from WHERE access_point.version = $5"
        ),
        (&item.name, system, area, tx.now(), over, from),
    )
    .await?;
    Ok(())
}

async fn put_access_profile(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    let (from, until) = (item.day("valid_from")?, item.day("valid_until")?);
    if from.zip(until).is_some_and(|(from, until)| until < from) {
        return Err(item.wrong("valid_until", "must not be before valid_from"));
    }
    let text = |day: Option<Day>| day.map(|day| day.to_string());
    tx.run_versioned(
        sql!(
            "INSERT INTO access_profile (name, version, title, project, updated_at, valid_from, valid_until) \
             VALUES ($1, 1, $2, $3, $4, $6, $7) \
             ON CONFLICT (name) DO UPDATE SET title = excluded.title, project = excluded.project, \
             updated_at = excluded.updated_at, valid_from = excluded.valid_from, valid_until = excluded.valid_until \
             WHERE access_profile.version = $5"
        ),
        (
            &item.name,
            item.required("title")?,
            item.text("project"),
            tx.now(),
            over,
            text(from),
            text(until),
        ),
    )
    .await?;
    tx.run(sql!("DELETE FROM access_profile_point WHERE access_profile = $1"), (&item.name,)).await?;
    let points = item.profile_points()?;
    for (at, (point, schedule)) in points.iter().enumerate() {
        let known: Option<(String,)> =
            tx.opt(sql!("SELECT name FROM access_point WHERE name = $1"), (point,)).await?;
        if known.is_none() {
            return Err(
                item.wrong("access_points", &format!(": {point:?} is not declared by any door system"))
            );
        }
        if points[..at].iter().any(|(other, _)| other == point) {
            return Err(item.wrong("access_points", &format!(": {point:?} has two schedules, choose one")));
        }
        if let Some(schedule) = schedule {
            check_schedule(tx, item, "access_points", schedule).await?;
        }
        tx.run(
            sql!("INSERT INTO access_profile_point (access_profile, access_point, schedule) VALUES ($1, $2, $3)"),
            (&item.name, point, schedule.clone()),
        )
        .await?;
    }
    Ok(())
}

async fn put_card_pool(tx: &mut Tx, item: &Item, over: i64) -> Result<(), DirectoryError> {
    let (facility, first, last) = (item.number("facility")?, item.number("first")?, item.number("last")?);
    if first < 0 || facility < 0 || last < first || last == i64::MAX {
        return Err(item.wrong("first", "must not be above last, and no number below 0"));
    }
    // Another range is taken from its start; handing out passes over every number that somebody has or had.
    tx.run_versioned(
        sql!(
            "INSERT INTO card_pool (name, version, format, facility, first_number, last_number, next_number, \
             updated_at) VALUES ($1, 1, $2, $3, $4, $5, $4, $6) ON CONFLICT (name) DO UPDATE SET \
             format = excluded.format, facility = excluded.facility, first_number = excluded.first_number, \
             last_number = excluded.last_number, next_number = CASE WHEN card_pool.format = excluded.format \
             AND card_pool.facility = excluded.facility AND card_pool.first_number = excluded.first_number \
             THEN card_pool.next_number ELSE excluded.first_number END, updated_at = excluded.updated_at \
             WHERE card_pool.version = $7"
        ),
        (&item.name, item.required("format")?, facility, first, last, tx.now(), over),
    )
    .await?;
    Ok(())
}
