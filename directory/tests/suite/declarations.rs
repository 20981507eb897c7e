//! What an administrator declares: written as read, changed over what was seen, deleted only when nothing rests on it.

use directory::DirectoryError;
use directory::client;
use directory::credential::{self, State};
use directory::declared::{self, Item, Kind};
use directory::door::{self, entitlement};
use directory::facts::ConfigurationChanged;
use directory::session::grant;
use directory::{policy, scim_connection};
use kernel::{Secret, Sensitivity, TokenHash};
use serde_json::{Value, json};
use store::{Db, Origin, StoredFact, sql};

use crate::house::{House, change};
use crate::people::{
    CLIENT, POINT, PROFILE, Person, Reversed, SYSTEM, client, company, create, declare, grant_in, open, pool,
    profile,
};

on_both_engines! {
    what_is_written_is_what_is_read,
    writing_what_is_there_changes_nothing_and_records_nothing,
    a_change_records_which_fields_and_no_value,
    the_names_of_what_differs_are_told_the_secrets_among_them,
    nobody_overwrites_or_deletes_what_they_did_not_see,
    what_is_wrong_names_item_and_field_and_leaves_nothing,
    a_sealed_secret_is_read_back_and_a_wrong_one_is_an_error,
    what_others_rest_on_cannot_be_deleted,
    a_schedule_is_kept_as_long_as_somebody_goes_by_it,
    a_door_system_that_still_holds_cards_cannot_be_deleted,
    everything_can_be_deleted_from_the_last_to_the_first,
    a_profile_that_goes_is_taken_from_everybody_about_their_cards,
    a_client_that_goes_takes_its_grants_and_no_others,
    a_client_answers_only_to_its_secret_and_its_addresses,
    pkce_is_required_unless_a_client_with_a_secret_is_declared_otherwise,
    a_token_belongs_to_one_connection_whose_id_is_never_another,
    policies_that_differ_are_another_generation,
}

fn secret(text: &str) -> Option<Secret<String>> {
    Some(Secret::new(text.to_owned()))
}

/// Two of each kind: with everything, and with as little as can be.
fn everything() -> Vec<Item> {
    let hash = |text: &str| TokenHash::of(text).as_str().to_owned();
    let item = Item::new;
    vec![
        item(
            Kind::Client,
            "console",
            json!({
                "name": "Grid Console", "secret_hash": hash("s"), "sensitivity": "critical", "project": "grid",
                "redirect_uris": ["https://b.example/cb", "https://a.example/cb?x=1"], "id_token_alg": "RS256",
            }),
        ),
        client("plain"),
        item(Kind::ScimConnection, "hr", json!({ "token_hash": hash("t") })),
        item(Kind::ScimConnection, "Übersee: 2", json!({ "token_hash": hash("u") })),
        item(Kind::Policy, "doors", json!({ "text": "permit (principal, action, resource);\n" })),
        item(Kind::Policy, "empty", json!({ "text": "" })),
        item(Kind::Area, "hall", json!({ "title": "Hall", "protection_class": 5 })),
        item(Kind::Area, "street", json!({ "title": "", "protection_class": -1 })),
        item(Kind::Schedule, "office-hours", json!({ "title": "Office hours" })),
        item(Kind::Schedule, "nights", json!({ "title": "" })),
        item(
            Kind::DoorSystem,
            "hq",
            json!({
                "connector": "uhppote", "config": { "b": [1, 2.5, null], "a": { "é": true } },
                "schedules": { "office-hours": 2, "nights": 255 },
            }),
        )
        .with_secret(secret("pässword")),
        item(Kind::DoorSystem, "bare", json!({ "connector": "x" })),
        item(Kind::AccessPoint, "door", json!({ "door_system": "hq", "area": "hall" })),
        item(Kind::AccessPoint, "gate", json!({ "door_system": "bare", "area": "street", "from": "hall" })),
        item(
            Kind::AccessProfile,
            "operators",
            json!({
                "title": "Operators", "project": "grid", "valid_from": "2026-11-01", "valid_until": "2026-11-30",
                "access_points": ["gate", { "access_point": "door", "schedule": "office-hours" }, "gate"],
            }),
        ),
        item(Kind::AccessProfile, "nobody", json!({ "title": "Nobody", "access_points": [] })),
        pool("staff", 0, 65_535),
        item(Kind::CardPool, "one", json!({ "format": "uid", "facility": 0, "first": 9, "last": 9 })),
    ]
}

async fn read(db: &Db) -> Vec<Item> {
    declared::read_all(db, &Reversed).await.unwrap()
}

async fn find(db: &Db, kind: Kind, name: &str) -> Item {
    read(db).await.into_iter().find(|item| item.kind == kind && item.name == name).unwrap()
}

async fn put(db: &Db, item: &Item, before: Option<&Item>) -> Result<(), DirectoryError> {
    change(db, async |tx| declared::put(tx, item, before, &Reversed).await).await
}

async fn delete(db: &Db, item: &Item) -> Result<(), DirectoryError> {
    change(db, async |tx| declared::delete(tx, item).await).await
}

fn with(item: &Item, field: &str, value: Value) -> Item {
    let mut item = item.clone();
    item.fields.insert(field.into(), value);
    item
}

async fn last_change(house: &House) -> (String, ConfigurationChanged) {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE kind = 'configuration.changed' ORDER BY at DESC, id DESC LIMIT 1"
    );
    let fact: StoredFact = house.db.one(text, ()).await.unwrap();
    (fact.subject.clone(), fact.read().unwrap())
}

async fn what_is_written_is_what_is_read(house: House) {
    let db = &house.db;
    declare(db, &everything()).await.unwrap();
    let found = read(db).await;
    assert_eq!(found.len(), everything().len());
    for wanted in everything() {
        let found =
            found.iter().find(|found| found.kind == wanted.kind && found.name == wanted.name).unwrap();
        assert_eq!(wanted.differing(found), [""; 0], "{wanted:?} {found:?}");
        assert_eq!((found.version, wanted.version), (Some(1), None));
    }
    assert_eq!(house.facts("configuration.changed").await, 18);
}

async fn writing_what_is_there_changes_nothing_and_records_nothing(house: House) {
    let db = &house.db;
    declare(db, &everything()).await.unwrap();
    let found = read(db).await;
    for wanted in everything() {
        let before =
            found.iter().find(|found| found.kind == wanted.kind && found.name == wanted.name).unwrap();
        put(db, &wanted, Some(before)).await.unwrap();
    }
    assert_eq!(house.facts("configuration.changed").await, 18);
    assert!(read(db).await.iter().all(|item| item.version == Some(1)));
}

async fn a_change_records_which_fields_and_no_value(house: House) {
    let db = &house.db;
    for item in everything() {
        put(db, &item, None).await.unwrap();
        let (subject, recorded) = last_change(&house).await;
        assert_eq!((subject, recorded.change.as_str()), (item.subject().to_string(), "created"));
        let mut named: Vec<String> = item.fields.keys().cloned().collect();
        named.extend(item.secret.as_ref().map(|_| "secret".to_owned()));
        named.sort();
        assert_eq!(recorded.fields, named);
        house.advance(std::time::Duration::from_millis(1));
    }
    for (kind, name, field, value) in [
        (Kind::Client, "console", "project", json!("secret-project")),
        (Kind::Policy, "empty", "text", json!("// secret-project")),
        (Kind::Area, "hall", "title", json!("secret-project")),
        (Kind::CardPool, "staff", "last", json!(70_000)),
        (Kind::Schedule, "nights", "title", json!("secret-project")),
        (Kind::DoorSystem, "hq", "schedules", json!({ "nights": 3 })),
        (Kind::AccessPoint, "door", "from", json!("street")),
        (Kind::AccessProfile, "operators", "valid_until", json!("2026-12-24")),
        (
            Kind::AccessProfile,
            "nobody",
            "access_points",
            json!([{ "access_point": "door", "schedule": "nights" }]),
        ),
    ] {
        let before = find(db, kind, name).await;
        let after = with(&before, field, value.clone());
        put(db, &after, Some(&before)).await.unwrap();
        let expect = ConfigurationChanged { change: "changed".into(), fields: vec![field.into()] };
        assert_eq!(last_change(&house).await, (after.subject().to_string(), expect));
        let now = find(db, kind, name).await;
        assert_eq!((now.fields.get(field), now.version), (Some(&value), Some(2)));
        house.advance(std::time::Duration::from_millis(1));
    }
    let gone = find(db, Kind::CardPool, "staff").await;
    delete(db, &gone).await.unwrap();
    let expect = ConfigurationChanged { change: "deleted".into(), fields: vec![] };
    assert_eq!(last_change(&house).await, (gone.subject().to_string(), expect));
    let told = sql!("SELECT COUNT(*) FROM fact WHERE body LIKE '%secret-project%' OR body LIKE '%pässword%'");
    assert_eq!(house.count(told).await, 0);
}

/// The door system of [`everything`], with the schedules that it names.
async fn with_its_schedules(db: &Db) -> Item {
    let everything = everything();
    for item in &everything[8..=10] {
        put(db, item, None).await.unwrap();
    }
    everything[10].clone()
}

async fn the_names_of_what_differs_are_told_the_secrets_among_them(house: House) {
    let db = &house.db;
    let hq = with_its_schedules(db).await;
    for (secret, differs) in [
        (secret("pässword"), vec![]),
        (secret("pässwort"), vec!["secret"]),
        (secret("pässword "), vec!["secret"]),
        (secret(""), vec!["secret"]),
        (None, vec!["secret"]),
    ] {
        let found = find(db, Kind::DoorSystem, "hq").await;
        let other = hq.clone().with_secret(secret);
        assert_eq!(other.differing(&found), differs);
        assert_eq!(found.differing(&other), differs, "either way");
    }
    let mut other = with(&hq, "connector", json!("other"));
    other.fields.remove("config");
    assert_eq!(other.with_secret(None).differing(&hq), ["config", "connector", "secret"]);
    assert_eq!(format!("{hq:?}").matches("ssword").count(), 0, "nor does it print");
}

async fn nobody_overwrites_or_deletes_what_they_did_not_see(house: House) {
    let db = &house.db;
    declare(db, &everything()).await.unwrap();
    for seen in read(db).await {
        let (field, value) = match seen.kind {
            Kind::Client => ("project", json!("p")),
            Kind::ScimConnection => ("token_hash", json!(seen.name.clone())),
            Kind::Policy => ("text", json!("//")),
            Kind::Area | Kind::Schedule | Kind::AccessProfile => ("title", json!("T")),
            Kind::DoorSystem => ("connector", json!("c")),
            Kind::AccessPoint => ("area", json!(if seen.name == "door" { "street" } else { "hall" })),
            Kind::CardPool => ("last", json!(99_999)),
        };
        let mine = with(&seen, field, value);
        put(db, &mine, Some(&seen)).await.unwrap();
        let theirs = with(&seen, field, json!("another"));
        let unseen = Item { version: None, ..seen.clone() };
        for refused in [
            put(db, &theirs, Some(&seen)).await,
            put(db, &theirs, Some(&unseen)).await,
            delete(db, &seen).await,
            delete(db, &unseen).await,
        ] {
            assert!(
                matches!(refused, Err(DirectoryError::VersionMismatch)),
                "{}: {refused:?}",
                seen.subject()
            );
        }
        let created_again = put(db, &Item { version: None, ..mine.clone() }, None).await;
        assert!(matches!(created_again, Err(DirectoryError::VersionMismatch)), "{created_again:?}");
        let now = find(db, seen.kind, &seen.name).await;
        assert_eq!((mine.differing(&now), now.version), (vec![], Some(2)));
    }
    let gone = find(db, Kind::Policy, "doors").await;
    delete(db, &gone).await.unwrap();
    let changed = put(db, &with(&gone, "text", json!("// back")), Some(&gone)).await;
    assert!(matches!(changed, Err(DirectoryError::VersionMismatch)), "what was deleted is not changed");
}

async fn what_is_wrong_names_item_and_field_and_leaves_nothing(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let facts = house.count(sql!("SELECT COUNT(*) FROM fact")).await;
    let (area, point) = (
        Item::new(Kind::Area, "a", json!({ "title": "A", "protection_class": 1 })),
        Item::new(Kind::AccessPoint, "p", json!({ "door_system": SYSTEM, "area": "lobby" })),
    );
    let (system, access) = (
        Item::new(Kind::DoorSystem, "s", json!({ "connector": "x" })),
        Item::new(Kind::AccessProfile, "q", json!({ "title": "Q", "access_points": [] })),
    );
    put(db, &Item::new(Kind::Schedule, "day", json!({ "title": "Day" })), None).await.unwrap();
    let facts = facts + 1;
    let pool = pool("p", 1, 2);
    let named = |name: &str| Item { name: name.into(), ..area.clone() };
    let persons = "0197a6f2-7c1e-7d3a-9b52-3f0c8e6d1a44";
    for (item, expect) in [
        (with(&client("c"), "sensitivity", json!("huge")), "client c: sensitivity"),
        (with(&client("c"), "sensitivity", json!(3)), "client c: sensitivity"),
        (with(&client("c"), "id_token_alg", json!("none")), "client c: id_token_alg must be RS256 or ES256"),
        (
            with(&client("c"), "redirect_uris", json!(["javascript:x"])),
            "client c: redirect_uris \"javascript:x\"",
        ),
        (
            with(&client("c"), "pkce", json!("optional")),
            "client c: pkce must be required: it keeps no secret",
        ),
        (with(&client("c"), "pkce", json!("never")), "client c: pkce must be required or optional"),
        (with(&client("c"), "pkce", json!(false)), "client c: pkce must be a text"),
        (with(&client("c"), "name", json!(null)), "client c: name must be a text"),
        (with(&client("c"), "project", json!("a\0b")), "client c: project must not contain NUL"),
        (with(&area, "protection_class", json!(6)), "area a: protection_class"),
        (with(&area, "protection_class", json!(-2)), "area a: protection_class"),
        (with(&area, "protection_class", json!("1")), "area a: protection_class must be a whole number"),
        (with(&area, "protection_class", json!(1.5)), "area a: protection_class must be a whole number"),
        (with(&point, "area", json!("nowhere")), "access_point p: area \"nowhere\" is not declared"),
        (with(&point, "door_system", json!("none")), "access_point p: door_system \"none\" is not declared"),
        (
            Item::new(Kind::AccessProfile, "q", json!({ "title": "Q", "access_points": ["nothing"] })),
            "access_profile q: access_points : \"nothing\" is not declared",
        ),
        (with(&point, "from", json!("nowhere")), "access_point p: from \"nowhere\" is not declared"),
        (with(&point, "from", json!(1)), "access_point p: from must be a text"),
        (
            with(&system, "schedules", json!({ "noon": 2 })),
            "door_system s: schedules : the schedule \"noon\"",
        ),
        (
            with(&system, "schedules", json!({ "day": 0 })),
            "door_system s: schedules : day must be the number",
        ),
        (
            with(&system, "schedules", json!({ "day": 256 })),
            "door_system s: schedules : day must be the number",
        ),
        (
            with(&system, "schedules", json!({ "day": "2" })),
            "door_system s: schedules : day must be the number",
        ),
        (
            with(&access, "access_points", json!([{ "access_point": POINT, "schedule": "noon" }])),
            "access_profile q: access_points : the schedule \"noon\" is not declared",
        ),
        (
            with(&access, "access_points", json!([POINT, { "access_point": POINT, "schedule": "day" }])),
            "access_profile q: access_points : \"front-door\" has two schedules",
        ),
        (
            with(&access, "access_points", json!([{ "schedule": "day" }])),
            "access_profile q: access_points must be names",
        ),
        (with(&access, "valid_from", json!("yesterday")), "access_profile q: valid_from is not a day"),
        (with(&access, "valid_until", json!(20_261_231)), "access_profile q: valid_until must be a text"),
        (
            with(&with(&access, "valid_from", json!("2026-12-02")), "valid_until", json!("2026-12-01")),
            "access_profile q: valid_until must not be before valid_from",
        ),
        (with(&pool, "first", json!(3)), "card_pool p: first must not be above last"),
        (with(&pool, "first", json!(-1)), "card_pool p: first"),
        (with(&pool, "facility", json!(-1)), "card_pool p: first"),
        (with(&pool, "last", json!(i64::MAX)), "card_pool p: first"),
        (with(&pool, "format", json!(1)), "card_pool p: format must be a text"),
        (with(&system, "unknown_cards", json!("burn")), "door_system s: unknown_cards"),
        (with(&system, "unknown_cards", json!(true)), "door_system s: unknown_cards must be a text"),
        (named(""), "the name of a area must not be empty"),
        (named("a\nb"), "the name of a area must not contain control"),
        (named(&"a".repeat(2_000)), "the name of a area may have at most"),
        (client(persons), "client 0197a6f2-7c1e-7d3a-9b52-3f0c8e6d1a44: its name must not be a UUID"),
        (
            client(&persons.to_uppercase()),
            "client 0197A6F2-7C1E-7D3A-9B52-3F0C8E6D1A44: its name must not be",
        ),
    ] {
        let refused = put(db, &item, None).await;
        let Err(DirectoryError::Invalid(text)) = &refused else { panic!("{item:?}: {refused:?}") };
        assert!(text.starts_with(expect), "{text}");
    }
    let doubled = Item::new(Kind::ScimConnection, "b", json!({ "token_hash": "h" }));
    put(db, &Item { name: "a".into(), ..doubled.clone() }, None).await.unwrap();
    let refused = put(db, &doubled, None).await;
    assert!(matches!(refused, Err(DirectoryError::Taken("token of the SCIM connection"))), "{refused:?}");
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM fact")).await, facts + 1);
    assert_eq!(read(db).await.len(), company().len() + 2);
}

async fn a_sealed_secret_is_read_back_and_a_wrong_one_is_an_error(house: House) {
    let db = &house.db;
    with_its_schedules(db).await;
    let plain = sql!("SELECT COUNT(*) FROM door_system WHERE secret_sealed LIKE '%pässword%'");
    assert_eq!(house.count(plain).await, 0);
    let found = find(db, Kind::DoorSystem, "hq").await;
    assert_eq!(found.secret.as_ref().unwrap().expose(), "pässword");
    put(db, &found.clone().with_secret(None), Some(&found)).await.unwrap();
    assert!(find(db, Kind::DoorSystem, "hq").await.secret.is_none(), "a secret can be taken away");
    let moved = sql!("UPDATE door_system SET secret_sealed = 'elsewhere!x'");
    db.change(Origin::system(), moved, (), Vec::new()).await.unwrap();
    let error = declared::read_all(db, &Reversed).await.unwrap_err();
    assert!(matches!(&error, DirectoryError::Invalid(text) if text == "sealed for another"), "{error}");
}

async fn what_others_rest_on_cannot_be_deleted(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    for (kind, name) in [(Kind::Area, "lobby"), (Kind::DoorSystem, SYSTEM)] {
        let item = find(db, kind, name).await;
        let refused = delete(db, &item).await;
        let Err(DirectoryError::Invalid(text)) = &refused else { panic!("{refused:?}") };
        assert!(text.contains(name) && text.contains(POINT), "{text}");
    }
    assert_eq!(read(db).await.len(), company().len());
    // What an access point leads out of is as much used as what it leads into.
    put(db, &Item::new(Kind::Area, "yard", json!({ "title": "Yard", "protection_class": 0 })), None)
        .await
        .unwrap();
    let point = find(db, Kind::AccessPoint, POINT).await;
    put(db, &with(&point, "from", json!("yard")), Some(&point)).await.unwrap();
    assert!(delete(db, &find(db, Kind::Area, "yard").await).await.unwrap_err().to_string().contains(POINT));
}

async fn a_schedule_is_kept_as_long_as_somebody_goes_by_it(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    put(db, &Item::new(Kind::Schedule, "day", json!({ "title": "Day" })), None).await.unwrap();
    let refused = async |by: &str| {
        let error = delete(db, &find(db, Kind::Schedule, "day").await).await.unwrap_err().to_string();
        assert_eq!(error, format!("schedule day is still used by {by}; take it off there first"));
    };
    let system = find(db, Kind::DoorSystem, SYSTEM).await;
    put(db, &with(&system, "schedules", json!({ "day": 2 })), Some(&system)).await.unwrap();
    refused(&format!("the door system {SYSTEM}")).await;
    let profile = find(db, Kind::AccessProfile, PROFILE).await;
    let by_day = json!([{ "access_point": POINT, "schedule": "day" }]);
    put(db, &with(&profile, "access_points", by_day), Some(&profile)).await.unwrap();
    refused(&format!("the access profile {PROFILE}")).await;

    let person = Person::furnish(&house, "ada").await;
    let wanted = door::wanted_points(db, person.user.id, SYSTEM).await.unwrap();
    assert_eq!((wanted.len(), wanted[0].schedule.as_deref()), (1, Some("day")));
    let profile = find(db, Kind::AccessProfile, PROFILE).await;
    put(db, &with(&profile, "access_points", json!([POINT])), Some(&profile)).await.unwrap();
    let system = find(db, Kind::DoorSystem, SYSTEM).await;
    put(db, &with(&system, "schedules", json!(null)), Some(&system)).await.unwrap();
    delete(db, &find(db, Kind::Schedule, "day").await).await.unwrap();
    let wanted = door::wanted_points(db, person.user.id, SYSTEM).await.unwrap();
    assert_eq!(wanted[0].schedule, None);
}

async fn place(db: &Db, card: &str, wanted: &str, ack: i64) {
    let text = sql!(
        "INSERT INTO placement (door_system, credential_id, version, credential_version, wanted, rights, points, \
         ack, requested_at, attempts) VALUES ($1, $2, 1, 1, $3, '[]', '[]', $4, 0, 0) ON CONFLICT (door_system, credential_id) \
         DO UPDATE SET wanted = excluded.wanted, ack = excluded.ack"
    );
    db.change(Origin::system(), text, (SYSTEM, card, wanted, ack), Vec::new()).await.unwrap();
}

async fn a_door_system_that_still_holds_cards_cannot_be_deleted(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let point = find(db, Kind::AccessPoint, POINT).await;
    delete(db, &point).await.unwrap();
    for (wanted, ack, holds) in [
        ("present", 0, true),
        ("present", 4, true),
        ("absent", 0, true),
        ("absent", 1, true),
        ("absent", 2, false),
    ] {
        place(db, &person.card.id.to_string(), wanted, ack).await;
        let system = find(db, Kind::DoorSystem, SYSTEM).await;
        let done = delete(db, &system).await;
        assert_eq!(done.is_err(), holds, "{wanted} at A{ack}: {done:?}");
        if let Err(error) = done {
            let text = error.to_string();
            assert!(text.contains("1 card") && text.contains("access points off"), "{text}");
        }
    }
}

async fn everything_can_be_deleted_from_the_last_to_the_first(house: House) {
    let db = &house.db;
    declare(db, &everything()).await.unwrap();
    let mut found = read(db).await;
    found.sort_by_key(|item| std::cmp::Reverse(item.kind));
    change(db, async |tx| {
        for item in &found {
            declared::delete(tx, item).await?;
        }
        Ok::<_, DirectoryError>(())
    })
    .await
    .unwrap();
    assert!(read(db).await.is_empty());
    assert_eq!(house.facts("configuration.changed").await, 36);
    declare(db, &everything()).await.unwrap();
}

async fn a_profile_that_goes_is_taken_from_everybody_about_their_cards(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let (ada, bo) = (Person::furnish(&house, "ada").await, Person::furnish(&house, "bo").await);
    change(db, async |tx| credential::end(tx, &bo.card, State::Revoked, None).await).await.unwrap();
    let profile = find(db, Kind::AccessProfile, PROFILE).await;
    delete(db, &profile).await.unwrap();
    for person in [&ada, &bo] {
        assert_eq!(entitlement::of_user(db, person.user.id).await.unwrap(), []);
        assert_eq!(door::wanted_points(db, person.user.id, SYSTEM).await.unwrap(), []);
    }
    assert_eq!(house.facts("entitlement.ended").await, 2);
    let about = sql!("SELECT subject FROM fact_about WHERE kind = 'entitlement.ended'");
    let about: Vec<(String,)> = house.all(about).await;
    assert_eq!(about, [(ada.card.id.subject().to_string(),)], "a revoked card opened nothing by it");
}

async fn a_client_that_goes_takes_its_grants_and_no_others(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    put(db, &client("other"), None).await.unwrap();
    delete(db, &find(db, Kind::Client, "other").await).await.unwrap();
    assert!(person.alive(db).await.contains(&"grant"));
    delete(db, &find(db, Kind::Client, CLIENT).await).await.unwrap();
    assert_eq!(person.alive(db).await, ["session", "invitation", "card", "doors"]);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM authorization_code")).await, 0);

    put(db, &client(CLIENT), None).await.unwrap();
    assert!(!person.alive(db).await.contains(&"grant"), "a client of the same name has none of them");
    let user = create(db, &profile("bo")).await.unwrap();
    let (session, _) = open(db, user.id).await.unwrap();
    let made = change(db, async |tx| grant_in(tx, &session).await).await.unwrap();
    assert!(grant::live(db, made).await.unwrap().is_some());
}

async fn a_client_answers_only_to_its_secret_and_its_addresses(house: House) {
    let db = &house.db;
    declare(db, &everything()).await.unwrap();
    let console = client::get(db, "console").await.unwrap().unwrap();
    let plain = client::get(db, "plain").await.unwrap().unwrap();
    assert_eq!(client::get(db, "Console").await.unwrap(), None);
    assert!(console.is_confidential() && console.has_secret("s"));
    for wrong in ["", "S", "s ", TokenHash::of("s").as_str()] {
        assert!(!console.has_secret(wrong) && !plain.has_secret(wrong), "{wrong}");
    }
    assert!(!plain.is_confidential());
    assert!(console.allows_redirect_to("https://b.example/cb"));
    for other in [
        "https://b.example/cb/",
        "https://b.example/cb?x=1",
        "https://a.example/cb",
        "https://B.example/cb",
        "https://b.example:443/cb",
        "https://b.example/cb#",
        "https://b.example/%63b",
        "",
    ] {
        assert!(!console.allows_redirect_to(other), "{other}");
    }
    assert_eq!(console.sensitivity(), Sensitivity::Critical);
    let unreadable = client::Client { sensitivity: "hush".into(), ..plain.clone() };
    assert_eq!((plain.sensitivity(), unreadable.sensitivity()), (Sensitivity::Low, Sensitivity::Critical));
    let all: Vec<String> = client::all(db).await.unwrap().into_iter().map(|client| client.id).collect();
    assert_eq!(all, ["console", "plain"]);
}

async fn pkce_is_required_unless_a_client_with_a_secret_is_declared_otherwise(house: House) {
    let db = &house.db;
    let secret = with(&client("c"), "secret_hash", json!("h"));
    put(db, &secret, None).await.unwrap();
    let required = find(db, Kind::Client, "c").await;
    assert!(client::get(db, "c").await.unwrap().unwrap().requires_pkce());
    assert_eq!(required.differing(&secret), Vec::<String>::new(), "what is the rule is not written down");
    put(db, &with(&secret, "pkce", json!("optional")), Some(&required)).await.unwrap();
    let optional = find(db, Kind::Client, "c").await;
    assert_eq!(optional.differing(&required), ["pkce"]);
    let seen = client::get(db, "c").await.unwrap().unwrap();
    assert!(!seen.requires_pkce());
    let public = client::Client { secret_hash: None, ..seen.clone() };
    let unreadable = client::Client { pkce: "never".into(), ..seen };
    assert!(public.requires_pkce() && unreadable.requires_pkce(), "whatever stands there");
    put(db, &secret, Some(&optional)).await.unwrap();
    assert!(client::get(db, "c").await.unwrap().unwrap().requires_pkce());
}

async fn a_token_belongs_to_one_connection_whose_id_is_never_another(house: House) {
    let db = &house.db;
    let hr = everything().remove(2);
    put(db, &hr, None).await.unwrap();
    let first = scim_connection::by_token(db, "t").await.unwrap().unwrap();
    assert_eq!((first.name.as_str(), first.version), ("hr", 1));
    for wrong in ["", "T", TokenHash::of("t").as_str()] {
        assert_eq!(scim_connection::by_token(db, wrong).await.unwrap(), None, "{wrong}");
    }
    let found = find(db, Kind::ScimConnection, "hr").await;
    let rotated = with(&found, "token_hash", json!(TokenHash::of("new").as_str()));
    put(db, &rotated, Some(&found)).await.unwrap();
    assert_eq!(scim_connection::by_token(db, "t").await.unwrap(), None, "at the commit");
    let same = scim_connection::by_token(db, "new").await.unwrap().unwrap();
    assert_eq!((same.id, same.version), (first.id, 2));
    delete(db, &find(db, Kind::ScimConnection, "hr").await).await.unwrap();
    assert_eq!(scim_connection::by_token(db, "new").await.unwrap(), None);
    put(db, &hr, None).await.unwrap();
    assert_ne!(scim_connection::by_token(db, "t").await.unwrap().unwrap().id, first.id);
}

async fn policies_that_differ_are_another_generation(house: House) {
    let db = &house.db;
    let policy = |name: &str, text: &str| Item::new(Kind::Policy, name, json!({ "text": text }));
    let mut seen = vec![policy::generation(db).await.unwrap()];
    let steps: [(&str, Option<&str>); 7] = [
        ("a", Some("1")),
        ("a", Some("2")),
        ("a", None),
        // Another in its place: as many, of the same version.
        ("b", Some("1")),
        ("b", None),
        ("b", Some("1")),
        ("c", Some("1")),
    ];
    for (name, text) in steps {
        house.advance(std::time::Duration::from_millis(1));
        let found = read(db).await.into_iter().find(|item| item.name == name);
        match text {
            Some(text) => put(db, &policy(name, text), found.as_ref()).await.unwrap(),
            None => delete(db, &found.unwrap()).await.unwrap(),
        }
        let now = policy::generation(db).await.unwrap();
        assert!(
            policy::all(db).await.unwrap().is_empty() || !seen.contains(&now),
            "{name} {text:?}: {now:?}"
        );
        seen.push(now);
    }
}
