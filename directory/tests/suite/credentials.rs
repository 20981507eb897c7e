//! Cards and the pools they come from, and what opens by them.

use directory::credential::{self, CardPool, Credential, State};
use directory::declared::{self, Item, Kind};
use directory::door::{self, WantedPoint, entitlement};
use directory::{DirectoryError, user};
use kernel::id::{CredentialId, UserId};
use kernel::{Day, Timestamp};
use serde_json::{Value, json};
use store::{Address, Db, sql};

use crate::house::{House, change};
use crate::people::{
    POINT, POOL, PROFILE, Reversed, SYSTEM, company, create, declare, pool, profile, set_active,
};

on_both_engines! {
    a_pool_hands_out_its_numbers_in_order_until_it_is_empty,
    no_number_is_handed_out_twice_whatever_becomes_of_the_pool,
    pools_that_cross_share_their_numbers,
    a_card_is_found_by_all_three_parts_of_its_identity,
    a_lost_update_of_a_card_is_refused,
    states_change_only_as_they_may,
    cards_are_paged_by_id,
    handing_out_a_card_does_not_change_what_is_declared,
    an_entitlement_that_stays_is_not_touched,
    only_the_active_are_wanted_anywhere,
    a_point_is_wanted_once_for_each_profile_with_its_schedule_and_its_days,
    how_long_a_card_is_valid_is_said_by_hand_and_shorter_overtakes,
}

async fn user_named(db: &Db, name: &str) -> UserId {
    create(db, &profile(name)).await.unwrap().id
}

async fn issue(db: &Db, user: UserId, pool: &str) -> Option<Credential> {
    change(db, async |tx| credential::issue(tx, user, pool).await).await.unwrap()
}

async fn numbers(db: &Db, user: UserId, pool: &str, count: usize) -> Vec<i64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.extend(issue(db, user, pool).await.map(|card| card.number));
    }
    numbers
}

async fn edit(db: &Db, item: &Item) {
    let found = declared::read_all(db, &Reversed).await.unwrap();
    let before = found.iter().find(|found| found.kind == item.kind && found.name == item.name);
    change(db, async |tx| declared::put(tx, item, before, &Reversed).await).await.unwrap();
}

async fn remove(db: &Db, kind: Kind, name: &str) {
    let found = declared::read_all(db, &Reversed).await.unwrap();
    let item = found.iter().find(|found| found.kind == kind && found.name == name).unwrap();
    change(db, async |tx| declared::delete(tx, item).await).await.unwrap();
}

async fn a_pool_hands_out_its_numbers_in_order_until_it_is_empty(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 5, 7)]).await.unwrap();
    let user = user_named(db, "ada").await;
    let card = issue(db, user, POOL).await.unwrap();
    assert_eq!((card.format.as_str(), card.facility, card.number), ("h10301", 7, 5));
    assert_eq!((card.kind.as_str(), card.state.as_str(), card.version), ("card", "active", 1));
    assert_eq!(credential::get(db, card.id).await.unwrap().as_ref(), Some(&card));
    assert_eq!(numbers(db, user, POOL, 4).await, [6, 7]);
    assert_eq!(issue(db, user, "no such pool").await, None);
    assert_eq!(house.facts("credential.issued").await, 3);
    assert_eq!(credential::of_user(db, user).await.unwrap().len(), 3);
    let refused: Result<(), DirectoryError> = change(db, async |tx| {
        credential::issue(tx, user, POOL).await?;
        Err(DirectoryError::Invalid("not after all".into()))
    })
    .await;
    assert!(refused.is_err());
    edit(db, &pool(POOL, 5, 8)).await;
    assert_eq!(numbers(db, user, POOL, 2).await, [8], "what was not committed was not handed out");
}

async fn no_number_is_handed_out_twice_whatever_becomes_of_the_pool(house: House) {
    let db = &house.db;
    let user = user_named(db, "ada").await;
    let other = |item: Item, field: &str, value: Value| {
        let mut item = item;
        item.fields.insert(field.into(), value);
        item
    };
    declare(db, &[pool(POOL, 100, 199)]).await.unwrap();
    assert_eq!(numbers(db, user, POOL, 3).await, [100, 101, 102]);
    for (what, edited, expect) in [
        ("grows up", pool(POOL, 100, 299), vec![103, 104]),
        ("shrinks below what was handed out", pool(POOL, 100, 103), vec![]),
        ("grows again", pool(POOL, 100, 110), vec![105, 106]),
        ("moves up", pool(POOL, 500, 599), vec![500, 501]),
        ("moves back down", pool(POOL, 100, 599), vec![107, 108]),
        ("grows down", pool(POOL, 98, 599), vec![98, 99, 109]),
        ("begins within what was handed out", pool(POOL, 101, 599), vec![110, 111]),
        ("moves away whole", pool(POOL, 1, 3), vec![1, 2, 3]),
        ("changes its format", other(pool(POOL, 1, 3), "format", json!("h10304")), vec![1, 2]),
        ("changes it back", pool(POOL, 1, 4), vec![4]),
        ("and again", other(pool(POOL, 1, 4), "format", json!("h10304")), vec![3, 4]),
        ("changes its facility", other(pool(POOL, 1, 2), "facility", json!(8)), vec![1, 2]),
        ("changes that back", pool(POOL, 1, 5), vec![5]),
    ] {
        edit(db, &edited).await;
        assert_eq!(numbers(db, user, POOL, expect.len().max(1)).await, expect, "{what}");
    }
    remove(db, Kind::CardPool, POOL).await;
    assert_eq!(issue(db, user, POOL).await, None);
    edit(db, &pool(POOL, 1, 101)).await;
    assert_eq!(numbers(db, user, POOL, 2).await, [6, 7], "made anew");
    for card in credential::of_user(db, user).await.unwrap() {
        change(db, async |tx| credential::end(tx, &card, State::Revoked, None).await).await.unwrap();
    }
    edit(db, &pool(POOL, 2, 101)).await;
    assert_eq!(numbers(db, user, POOL, 1).await, [8], "a revoked card is out there still");
}

async fn pools_that_cross_share_their_numbers(house: House) {
    let db = &house.db;
    declare(db, &[pool("a", 1, 6), pool("b", 4, 8)]).await.unwrap();
    let user = user_named(db, "ada").await;
    assert_eq!(numbers(db, user, "b", 2).await, [4, 5]);
    assert_eq!(numbers(db, user, "a", 9).await, [1, 2, 3, 6]);
    assert_eq!(numbers(db, user, "b", 9).await, [7, 8]);
}

async fn a_card_is_found_by_all_three_parts_of_its_identity(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 5, 7)]).await.unwrap();
    let user = user_named(db, "ada").await;
    let card = issue(db, user, POOL).await.unwrap();
    let found = async |format: &str, facility, number| {
        credential::by_card(db, format, facility, number).await.unwrap().map(|card| card.id)
    };
    assert_eq!(found("h10301", 7, 5).await, Some(card.id));
    assert_eq!(found("h10304", 7, 5).await, None);
    assert_eq!(found("h10301", 8, 5).await, None);
    assert_eq!(found("h10301", 7, 6).await, None);
}

async fn end(db: &Db, seen: &Credential, state: State) -> Result<(), DirectoryError> {
    change(db, async |tx| credential::end(tx, seen, state, None).await).await
}

async fn resume(db: &Db, seen: &Credential) -> Result<(), DirectoryError> {
    change(db, async |tx| credential::resume(tx, seen, None).await).await
}

async fn current(db: &Db, id: CredentialId) -> Credential {
    credential::get(db, id).await.unwrap().unwrap()
}

async fn a_lost_update_of_a_card_is_refused(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 5, 7)]).await.unwrap();
    let user = user_named(db, "ada").await;
    let seen = issue(db, user, POOL).await.unwrap();
    end(db, &seen, State::Suspended).await.unwrap();
    assert!(matches!(end(db, &seen, State::Revoked).await, Err(DirectoryError::VersionMismatch)));
    let suspended = current(db, seen.id).await;
    resume(db, &suspended).await.unwrap();
    assert!(matches!(resume(db, &suspended).await, Err(DirectoryError::VersionMismatch)));
    assert_eq!(current(db, seen.id).await.version, 3);
}

async fn states_change_only_as_they_may(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 5, 7)]).await.unwrap();
    let user = user_named(db, "ada").await;
    let invalid = |done: Result<(), DirectoryError>| {
        assert!(matches!(done, Err(DirectoryError::Invalid(_))), "{done:?}")
    };
    let active = issue(db, user, POOL).await.unwrap();
    assert!(active.is_active());
    invalid(resume(db, &active).await);
    invalid(end(db, &active, State::Active).await);
    end(db, &active, State::Suspended).await.unwrap();
    let suspended = current(db, active.id).await;
    assert!(!suspended.is_active());
    end(db, &suspended, State::Suspended).await.unwrap();
    assert_eq!(
        (current(db, active.id).await, house.facts("credential.suspended").await),
        (suspended.clone(), 1)
    );
    invalid(end(db, &suspended, State::Active).await);
    end(db, &suspended, State::Revoked).await.unwrap();
    let revoked = current(db, active.id).await;
    invalid(resume(db, &revoked).await);
    invalid(end(db, &revoked, State::Suspended).await);
    invalid(end(db, &revoked, State::Active).await);
    end(db, &revoked, State::Revoked).await.unwrap();
    assert_eq!(current(db, active.id).await, revoked, "for good");
    assert_eq!(house.facts("credential.revoked").await, 1);
    let unreadable = Credential { state: "lost".into(), ..revoked };
    assert!(!unreadable.is_active(), "a word that cannot be read opens nothing");
}

async fn cards_are_paged_by_id(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 1, 20)]).await.unwrap();
    let user = user_named(db, "ada").await;
    numbers(db, user, POOL, 7).await;
    let mut all: Vec<_> =
        credential::of_user(db, user).await.unwrap().into_iter().map(|card| card.id).collect();
    all.sort();
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = credential::page(db, after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        pages.extend(page.into_iter().map(|card| card.id));
    }
    assert_eq!(pages, all);
}

async fn handing_out_a_card_does_not_change_what_is_declared(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 1, 20)]).await.unwrap();
    let shown = declared::read_all(db, &Reversed).await.unwrap().remove(0);
    let user = user_named(db, "ada").await;
    numbers(db, user, POOL, 2).await;
    let wider = pool(POOL, 1, 30);
    change(db, async |tx| declared::put(tx, &wider, Some(&shown), &Reversed).await).await.unwrap();
    let pools = credential::pools(db).await.unwrap();
    let expect = CardPool {
        name: POOL.into(),
        version: 2,
        format: "h10301".into(),
        facility: 7,
        first_number: 1,
        last_number: 30,
        next_number: 3,
    };
    assert_eq!(pools, [expect]);
}

fn because(wanted: &[&str]) -> Vec<(String, String)> {
    wanted.iter().map(|profile| ((*profile).to_owned(), "birthright".to_owned())).collect()
}

async fn settle(db: &Db, user: UserId, wanted: &[&str], cards: &[CredentialId]) -> bool {
    change(db, async |tx| entitlement::settle(tx, user, &because(wanted), cards).await).await.unwrap()
}

fn profile_item(name: &str) -> Item {
    Item::new(Kind::AccessProfile, name, json!({ "title": name, "access_points": [POINT] }))
}

async fn an_entitlement_that_stays_is_not_touched(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    declare(db, &[profile_item("second"), profile_item("third")]).await.unwrap();
    let user = user_named(db, "ada").await;
    let card = issue(db, user, POOL).await.unwrap().id;
    assert!(settle(db, user, &[PROFILE, "second"], &[card]).await);
    let first = entitlement::of_user(db, user).await.unwrap();
    assert_eq!(
        first.iter().map(|held| held.access_profile.as_str()).collect::<Vec<_>>(),
        [PROFILE, "second"]
    );
    house.advance(std::time::Duration::from_secs(9));
    assert!(!settle(db, user, &[PROFILE, "second"], &[card]).await);
    assert!(settle(db, user, &["second", "third"], &[card]).await);
    let held = entitlement::of_user(db, user).await.unwrap();
    assert_eq!((held.len(), &held[0]), (2, &first[1]), "since then, not since now");
    assert_eq!((house.facts("entitlement.granted").await, house.facts("entitlement.ended").await), (3, 1));
    let about = sql!(
        "SELECT COUNT(*) FROM fact_about WHERE kind LIKE 'entitlement.%' AND subject LIKE 'credential:%'"
    );
    assert_eq!(house.count(about).await, 4);
    assert!(settle(db, user, &[], &[]).await);
    assert_eq!(entitlement::of_user(db, user).await.unwrap(), []);
}

async fn only_the_active_are_wanted_anywhere(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let user = create(db, &profile("ada")).await.unwrap();
    settle(db, user.id, &[PROFILE], &[]).await;
    let wanted = async |system: &str| door::wanted_points(db, user.id, system).await.unwrap().len();
    assert_eq!((wanted(SYSTEM).await, wanted("elsewhere").await), (1, 0));
    let off = set_active(db, &user, false).await.unwrap();
    assert_eq!(wanted(SYSTEM).await, 0);
    let on = set_active(db, &off, true).await.unwrap();
    assert_eq!(wanted(SYSTEM).await, 1);
    change(db, async |tx| user::delete(tx, &on).await).await.unwrap();
    assert_eq!(wanted(SYSTEM).await, 0);
}

async fn a_point_is_wanted_once_for_each_profile_with_its_schedule_and_its_days(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let second = Item::new(
        Kind::AccessProfile,
        "second",
        json!({
            "title": "second", "access_points": [{ "access_point": POINT, "schedule": "day" }],
            "valid_from": "2026-11-01", "valid_until": "2026-11-30",
        }),
    );
    declare(db, &[Item::new(Kind::Schedule, "day", json!({ "title": "Day" })), second]).await.unwrap();
    let user = user_named(db, "ada").await;
    let card = issue(db, user, POOL).await.unwrap();
    settle(db, user, &["second", PROFILE], &[]).await;
    let always =
        WantedPoint { access_point: POINT.to_owned(), schedule: None, valid_from: None, valid_until: None };
    let by_day = WantedPoint {
        schedule: Some("day".into()),
        valid_from: "2026-11-01".parse().ok(),
        valid_until: "2026-11-30".parse().ok(),
        ..always.clone()
    };
    assert_eq!(door::wanted_points(db, user, SYSTEM).await.unwrap(), [always.clone(), by_day.clone()]);
    let mut between = door::wanted_points_between(db, SYSTEM, "", card.id).await.unwrap();
    between.sort();
    assert_eq!(between, [(card.id, always), (card.id, by_day)]);
    assert_eq!(door::wanted_points_between(db, "elsewhere", "", card.id).await.unwrap(), []);
}

async fn set_validity(
    db: &Db,
    seen: &Credential,
    from: Option<Day>,
    until: Option<Timestamp>,
) -> Result<(), DirectoryError> {
    change(db, async |tx| credential::set_validity(tx, seen, from, until, Some("Guard")).await).await
}

/// Whether the last change of a card's validity overtakes at the doors.
async fn overtakes(house: &House) -> bool {
    let text = sql!("SELECT priority FROM delivery WHERE sink = 'door:test' AND subject LIKE 'credential:%'");
    let due: Vec<(i64,)> = house.all(text).await;
    house.settle_all().await;
    assert_eq!(due.len(), 1, "{due:?}");
    due[0].0 == 1
}

async fn how_long_a_card_is_valid_is_said_by_hand_and_shorter_overtakes(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 5, 7)]).await.unwrap();
    let user = user_named(db, "ada").await;
    let issued = issue(db, user, POOL).await.unwrap();
    assert_eq!((issued.valid_from, issued.valid_until), (None, None));
    db.sinks().set("door:test", |fact| {
        vec![Address::reconcile("door:test", fact.subject.clone()).revoking(fact.revokes)]
    });
    let day = |text: &str| text.parse::<Day>().ok();
    let at = |text: &str| Timestamp::parse(text);
    for (from, until, shorter) in [
        (None, at("2026-12-24T16:00:00Z"), true),
        (None, at("2026-12-24T17:00:00Z"), false),
        (day("2026-12-01"), at("2026-12-24T17:00:00Z"), true),
        (day("2026-11-30"), at("2026-12-24T17:00:00Z"), false),
        (day("2026-11-29"), at("2026-12-24T16:59:59Z"), true),
        (None, None, false),
    ] {
        let seen = current(db, issued.id).await;
        set_validity(db, &seen, from, until).await.unwrap();
        let now = current(db, issued.id).await;
        assert_eq!((now.valid_from, now.valid_until, now.version), (from, until, seen.version + 1));
        assert_eq!(overtakes(&house).await, shorter, "{from:?} {until:?}");
        assert!(now.is_active(), "its state is another thing");
        let lost = set_validity(db, &seen, day("2026-12-02"), None).await;
        assert!(matches!(lost, Err(DirectoryError::VersionMismatch)), "{lost:?}");
        // The same again is no change.
        set_validity(db, &now, from, until).await.unwrap();
        assert_eq!(current(db, issued.id).await, now);
    }
    assert_eq!(house.facts("credential.validity-changed").await, 6);
    let seen = current(db, issued.id).await;
    let beyond = set_validity(db, &seen, None, at("2099-01-02T00:00:00Z")).await;
    assert!(matches!(&beyond, Err(DirectoryError::Invalid(text)) if text.contains("2098")), "{beyond:?}");
    // Where a day begins first it has begun by then.
    set_validity(db, &seen, day("2026-12-25"), at("2026-12-24T10:00:01Z")).await.unwrap();
    let seen = current(db, issued.id).await;
    let never = set_validity(db, &seen, day("2026-12-25"), at("2026-12-24T10:00:00Z")).await;
    assert!(matches!(&never, Err(DirectoryError::Invalid(text)) if text.contains("first day")), "{never:?}");
    assert_eq!(current(db, issued.id).await, seen);
    end(db, &seen, State::Revoked).await.unwrap();
    let revoked = set_validity(db, &current(db, issued.id).await, None, at("2026-12-24T16:00:00Z")).await;
    assert!(matches!(revoked, Err(DirectoryError::Invalid(_))), "{revoked:?}");
}
