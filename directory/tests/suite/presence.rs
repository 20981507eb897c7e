//! Where people were last let in: what is told late, what is forgotten, and what is outside.

use std::time::Duration;

use directory::declared::{Item, Kind};
use directory::presence::{self, KEPT, Passage};
use kernel::Timestamp;
use kernel::id::{FactId, UserId};
use serde_json::json;
use store::sql;

use crate::house::{House, change};
use crate::people::{HOUR, company, create, declare, delete, profile, set_active};

on_both_engines! {
    the_latest_passage_says_where_somebody_is_whenever_it_is_told,
    who_is_let_out_and_nobody_says_into_what_is_nowhere_and_no_late_word_brings_them_back,
    it_goes_with_the_account_and_comes_back_with_nobody,
    after_sixteen_hours_nobody_knows_and_it_is_forgotten,
    a_list_is_of_one_area_or_of_all_by_area_and_name,
    only_what_lies_inside_is_on_site,
}

async fn pass(house: &House, user: UserId, area: Option<&str>, at: Timestamp) {
    let passage = Passage {
        user,
        area: area.map(str::to_owned),
        access_point: format!("door to {}", area.unwrap_or("nowhere")),
        at,
        fact: FactId::new(house.db.ctx()),
    };
    change(&house.db, async |tx| presence::pass(tx, &passage).await).await.unwrap();
}

/// Who is where: `name area`.
async fn present(house: &House, area: Option<&str>) -> Vec<String> {
    let present = presence::list(&house.db, area).await.unwrap();
    present.iter().map(|person| format!("{} {}", person.user_name, person.area)).collect()
}

async fn hire(house: &House, name: &str) -> UserId {
    create(&house.db, &profile(name)).await.unwrap().id
}

async fn the_latest_passage_says_where_somebody_is_whenever_it_is_told(house: House) {
    let (ada, now) = (hire(&house, "ada").await, house.db.ctx().now());
    assert_eq!(present(&house, None).await, [""; 0]);
    let seconds = |seconds: u64| now.minus(Duration::from_secs(seconds));
    for (area, at, expect) in [
        ("lab", seconds(60), "ada lab"),
        ("hall", seconds(90), "ada lab"),
        ("hall", seconds(30), "ada hall"),
        // Doors count whole seconds: of two in one second the one that is told last is the last.
        ("lab", seconds(30), "ada lab"),
        ("yard", seconds(31), "ada lab"),
    ] {
        pass(&house, ada, Some(area), at).await;
        assert_eq!(present(&house, None).await, [expect], "{area}");
    }
    let told = presence::list(&house.db, None).await.unwrap().remove(0);
    assert_eq!((told.user_id, told.at, told.access_point.as_str()), (ada, seconds(30), "door to lab"));
}

async fn who_is_let_out_and_nobody_says_into_what_is_nowhere_and_no_late_word_brings_them_back(house: House) {
    let (ada, now) = (hire(&house, "ada").await, house.db.ctx().now());
    pass(&house, ada, Some("lab"), now.minus(HOUR)).await;
    pass(&house, ada, None, now.minus(Duration::from_secs(60))).await;
    assert_eq!(present(&house, None).await, [""; 0]);
    pass(&house, ada, Some("hall"), now.minus(Duration::from_secs(61))).await;
    assert_eq!(present(&house, None).await, [""; 0], "it happened before");
    assert_eq!(presence::on_site(&house.db, ada).await.unwrap(), None);
    pass(&house, ada, Some("hall"), now).await;
    assert_eq!(present(&house, None).await, ["ada hall"]);
}

async fn it_goes_with_the_account_and_comes_back_with_nobody(house: House) {
    let db = &house.db;
    let (now, rows) = (db.ctx().now(), sql!("SELECT COUNT(*) FROM presence"));
    let (ada, bo) = (create(db, &profile("ada")).await.unwrap(), create(db, &profile("bo")).await.unwrap());
    for user in [&ada, &bo] {
        pass(&house, user.id, Some("lab"), now).await;
    }
    let off = set_active(db, &ada, false).await.unwrap();
    delete(db, &bo).await.unwrap();
    assert_eq!(house.count(rows.clone()).await, 0);
    for user in [ada.id, bo.id] {
        pass(&house, user, Some("hall"), now).await;
    }
    assert_eq!(house.count(rows.clone()).await, 0, "nothing is kept about who has left");
    // A passage whose transaction saw the account before it ended, and was noted after.
    let noted =
        sql!("INSERT INTO presence (user_id, area, access_point, at, fact) VALUES ($1, 'lab', 'd', $2, $3)");
    let fact = FactId::new(db.ctx());
    change(db, async |tx| tx.run(noted.clone(), (ada.id, now, fact)).await.map(drop)).await.unwrap();
    set_active(db, &off, true).await.unwrap();
    assert_eq!(present(&house, None).await, [""; 0]);
    assert_eq!(house.count(rows).await, 0);
}

async fn after_sixteen_hours_nobody_knows_and_it_is_forgotten(house: House) {
    let db = &house.db;
    let (ada, bo) = (hire(&house, "ada").await, hire(&house, "bo").await);
    pass(&house, ada, Some("lab"), db.ctx().now()).await;
    house.advance(HOUR);
    pass(&house, bo, Some("lab"), db.ctx().now()).await;
    house.advance(KEPT - HOUR - Duration::from_millis(1));
    assert_eq!(present(&house, None).await, ["ada lab", "bo lab"]);
    assert_eq!(presence::sweep(db).await.unwrap(), 0);
    house.advance(Duration::from_millis(1));
    assert_eq!(present(&house, None).await, ["bo lab"], "also when nobody has swept");
    assert_eq!(presence::on_site(db, ada).await.unwrap(), None);
    assert_eq!(presence::sweep(db).await.unwrap(), 1);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM presence")).await, 1);
}

async fn a_list_is_of_one_area_or_of_all_by_area_and_name(house: House) {
    let now = house.db.ctx().now();
    declare(&house.db, &company()).await.unwrap();
    for (name, area) in [("cy", "lobby"), ("ada", "lobby"), ("bo", "gone")] {
        let user = hire(&house, name).await;
        pass(&house, user, Some(area), now).await;
    }
    assert_eq!(present(&house, None).await, ["bo gone", "ada lobby", "cy lobby"]);
    assert_eq!(present(&house, Some("lobby")).await, ["ada lobby", "cy lobby"]);
    assert_eq!(present(&house, Some("elsewhere")).await, [""; 0]);
    let titles: Vec<String> =
        presence::list(&house.db, None).await.unwrap().into_iter().map(|person| person.area_title).collect();
    assert_eq!(
        titles,
        ["gone", "Lobby", "Lobby"],
        "who is where nothing is declared any more is there still"
    );
}

async fn only_what_lies_inside_is_on_site(house: House) {
    let (db, now) = (&house.db, house.db.ctx().now());
    let area = |name: &str, class: i64| {
        Item::new(Kind::Area, name, json!({ "title": name, "protection_class": class }))
    };
    declare(db, &[area("street", -1), area("yard", 0), area("lab", 3)]).await.unwrap();
    let ada = hire(&house, "ada").await;
    assert_eq!(presence::on_site(db, ada).await.unwrap(), None);
    for (area, expect) in [("yard", Some(true)), ("lab", Some(true)), ("street", Some(false)), ("gone", None)]
    {
        pass(&house, ada, Some(area), now).await;
        assert_eq!(presence::on_site(db, ada).await.unwrap(), expect, "{area}");
    }
}
