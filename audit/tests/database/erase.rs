//! Bodies whose time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use audit::erase::{BodiesErased, Erased, HeldBy, PAGE};
use audit::{Eraser, Retention, Search, What, search, sequence};
use kernel::Subject;
use serde::{Deserialize, Serialize};
use store::{Address, Db, Fact, FactBody, Origin, StoredFact, follower, sql};

use crate::house::{House, on_both_engines};
use crate::journal::{found, record, record_one, verified};

on_both_engines! {
    bodies_go_with_their_salts_when_their_time_is_over_and_the_chain_stays_whole
    an_envelope_that_is_changed_is_found_also_where_the_body_is_erased
    a_clock_that_leaps_erases_nothing_until_it_has_gone_on_for_a_day_of_looks
    nothing_is_erased_at_the_first_look_after_a_start
    each_kind_is_kept_as_long_as_it_is_configured
    what_an_exporter_has_not_handed_on_stays_for_a_while
    an_exporter_that_comes_forward_loses_nothing_however_short_bodies_are_kept_now
    an_exporter_that_comes_new_or_comes_back_is_waited_for_as_long_as_any_other
    what_has_no_place_in_the_order_stays
    a_message_on_its_way_keeps_the_body_and_one_that_was_given_up_does_not
    a_message_that_nobody_takes_does_not_keep_a_body_for_ever
    what_is_held_up_is_said_once_a_day_with_what_holds_it_up
    erasing_goes_page_by_page_and_no_further_than_its_bound
    of_two_who_erase_at_once_each_body_is_erased_and_told_once_beside_what_is_recorded
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Serialize, Deserialize)]
struct Seen {
    card: String,
}

impl FactBody for Seen {
    const KIND: &'static str = "door.seen";
}

async fn see(db: &Db, fact: impl FnOnce(Fact) -> Fact) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    let seen = Fact::new(Subject::new("door", "north"), &Seen { card: "h10301:1:1".into() });
    tx.record(fact(seen));
    tx.commit().await.unwrap();
}

/// How many bodies a house erases at a look.
async fn erase(db: &Db, kept: &Retention, exports: &[String]) -> u64 {
    look(db, kept, exports).await.bodies
}

async fn look(db: &Db, kept: &Retention, exports: &[String]) -> Erased {
    steady(db, kept, exports).await.look(db).await.unwrap()
}

/// Of a house that has looked each minute for long, by a clock that never leapt.
async fn steady(db: &Db, kept: &Retention, exports: &[String]) -> Eraser {
    let eraser = Eraser::new(kept.clone(), exports.to_vec());
    assert_eq!(eraser.look(db).await.unwrap(), Erased::default(), "never at the first look");
    believe(db).await;
    eraser
}

/// As if each look of a day had been noted.
async fn believe(db: &Db) {
    let text = sql!("UPDATE erasure_look SET steady = 86400000, looked_at = $1");
    assert_eq!(db.change(Origin::system(), text, (db.ctx().now(),), Vec::new()).await.unwrap(), 1);
}

fn keeping(usual: Duration) -> Retention {
    Retention::new(Some(usual), BTreeMap::new())
}

/// What the journal says of what was erased, the earliest first.
async fn told(house: &House) -> Vec<BodiesErased> {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE kind = 'journal.bodies-erased'"
    );
    let facts: Vec<StoredFact> = house.one.all(text, ()).await.unwrap();
    let mut told: Vec<BodiesErased> = facts.iter().map(|fact| fact.read().unwrap()).collect();
    told.sort_by_key(|told| told.from);
    told
}

async fn bodies(house: &House) -> i64 {
    house
        .count(sql!("SELECT COUNT(*) FROM fact WHERE body IS NOT NULL AND kind <> 'journal.bodies-erased'"))
        .await
}

async fn bodies_go_with_their_salts_when_their_time_is_over_and_the_chain_stays_whole(house: House) {
    let begun = house.one.ctx().now();
    record(&house, 5).await;
    sequence(&house.one).await.unwrap();
    house.advance(80 * DAY);
    record(&house, 2).await;
    sequence(&house.one).await.unwrap();
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 0, "nothing is so old");
    house.advance(11 * DAY);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 5);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 0, "each once");
    let salted = house.count(sql!("SELECT COUNT(*) FROM fact WHERE salt IS NOT NULL")).await;
    assert_eq!((bodies(&house).await, salted), (2, 2 + 1), "with the body its salt");
    let until = begun.plus(Duration::from_millis(4));
    let expect = BodiesErased { kind: "test.happened".into(), from: begun, until, bodies: 5 };
    assert_eq!(told(&house).await, [expect]);
    sequence(&house.one).await.unwrap();
    let report = verified(&house.one).await;
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.facts, report.erased), (8, 5));
    let oldest = Search { until: Some(until), limit: 1, ..Search::default() };
    let oldest = search(&house.one, &oldest).await.unwrap().remove(0);
    assert!(oldest.is_erased() && oldest.body_matches_digest());
    let line = audit::export::json_line(&oldest);
    assert!(line.ends_with(r#""erased":true,"body":null}"#), "{line}");
}

async fn an_envelope_that_is_changed_is_found_also_where_the_body_is_erased(house: House) {
    record(&house, 6).await;
    sequence(&house.one).await.unwrap();
    house.advance(91 * DAY);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 6);
    house.tamper(sql!("UPDATE fact SET subject = 'user:x' WHERE seq = 3"), ()).await;
    house.tamper(sql!("UPDATE fact SET digest = 'x' WHERE seq = 5"), ()).await;
    let report = verified(&house.one).await;
    assert_eq!(found(&report), [(3, What::EnvelopeChanged), (5, What::EnvelopeChanged)]);
}

/// Looks each ten minutes for a day; how many bodies went, and at which look the first of them.
async fn look_for_a_day(house: &House, eraser: &Eraser) -> (u64, Option<u32>) {
    let (mut bodies, mut first) = (0, None);
    for number in 1..=144 {
        house.advance(DAY / 144);
        let erased = eraser.look(&house.one).await.unwrap().bodies;
        bodies += erased;
        first = first.or((erased > 0).then_some(number));
    }
    (bodies, first)
}

/// A machine that starts two years ahead, and one that rested for two years, look alike for now.
async fn a_clock_that_leaps_erases_nothing_until_it_has_gone_on_for_a_day_of_looks(house: House) {
    let db = &house.one;
    record(&house, 3).await;
    sequence(db).await.unwrap();
    let eraser = steady(db, &keeping(90 * DAY), &[]).await;
    assert_eq!(eraser.look(db).await.unwrap().bodies, 0, "nothing is so old");
    house.advance(730 * DAY);
    for _ in 0..10 {
        assert_eq!(eraser.look(db).await.unwrap().bodies, 0, "two years ahead in a moment");
        house.advance(Duration::from_secs(60));
    }
    assert_eq!(bodies(&house).await, 3, "nothing was lost, had it been put right by now");
    assert_eq!(look_for_a_day(&house, &eraser).await, (3, Some(144)), "it is believed after a day");
    record(&house, 2).await;
    sequence(db).await.unwrap();
    // Day by day, however far that is in all.
    let mut went = 0;
    for _ in 0..92 {
        house.advance(DAY);
        went += eraser.look(db).await.unwrap().bodies;
    }
    assert_eq!(went, 3, "a clock that goes on is believed; two facts, and what was told of the first three");
}

async fn nothing_is_erased_at_the_first_look_after_a_start(house: House) {
    let db = &house.one;
    record(&house, 3).await;
    sequence(db).await.unwrap();
    house.advance(91 * DAY);
    drop(steady(db, &keeping(90 * DAY), &[]).await);
    for _ in 0..3 {
        let again = Eraser::new(keeping(90 * DAY), Vec::new());
        assert_eq!(again.look(db).await.unwrap().bodies, 0, "whoever starts looks first");
    }
    let eraser = Eraser::new(keeping(90 * DAY), Vec::new());
    eraser.look(db).await.unwrap();
    assert_eq!(eraser.look(db).await.unwrap().bodies, 3);
}

async fn each_kind_is_kept_as_long_as_it_is_configured(house: House) {
    record(&house, 3).await;
    see(&house.one, |fact| fact).await;
    sequence(&house.one).await.unwrap();
    let of = |of: &[(&str, Option<Duration>)]| {
        let of = of.iter().map(|(name, kept)| ((*name).to_owned(), *kept)).collect();
        Retention::new(Some(90 * DAY), of)
    };
    house.advance(41 * DAY);
    let doors_short = of(&[("door.", Some(40 * DAY))]);
    assert_eq!(erase(&house.one, &doors_short, &[]).await, 1);
    assert_eq!(told(&house).await[0].kind, "door.seen");
    house.advance(50 * DAY);
    let for_ever = of(&[("test.happened", None)]);
    assert_eq!(erase(&house.one, &for_ever, &[]).await, 0);
    // Whatever was decided before, what is decided now holds for all that is there.
    assert_eq!(erase(&house.one, &of(&[]), &[]).await, 3);
}

async fn what_an_exporter_has_not_handed_on_stays_for_a_while(house: House) {
    record(&house, 6).await;
    sequence(&house.one).await.unwrap();
    let siem = ["siem".to_owned()];
    house.advance(91 * DAY);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &siem).await, 0, "it has handed on nothing");
    assert!(follower::advance(&house.one, "export:siem", 0, 4).await.unwrap());
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &siem).await, 4);
    house.advance(29 * DAY);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &siem).await, 0);
    let left = follower::read(&house.one, 4, 2).await.unwrap();
    assert!(left.len() == 2 && left.iter().all(|fact| !fact.is_erased()), "it comes to it whole");
    house.advance(2 * DAY);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &siem).await, 2, "not for ever");
    let left = follower::read(&house.one, 4, 2).await.unwrap();
    assert!(left.len() == 2 && left.iter().all(StoredFact::is_erased), "then it is told so");
}

async fn an_exporter_that_comes_forward_loses_nothing_however_short_bodies_are_kept_now(house: House) {
    record(&house, 6).await;
    sequence(&house.one).await.unwrap();
    let siem = ["siem".to_owned()];
    house.advance(300 * DAY);
    assert_eq!(erase(&house.one, &keeping(400 * DAY), &siem).await, 0);
    for seq in 0..6 {
        house.advance(20 * DAY);
        // All of it is far older than anybody is waited for.
        erase(&house.one, &keeping(30 * DAY), &siem).await;
        assert_eq!(bodies(&house).await, 6 - seq, "behind {seq}");
        assert!(follower::advance(&house.one, "export:siem", seq, seq + 1).await.unwrap());
    }
    assert_eq!(erase(&house.one, &keeping(30 * DAY), &siem).await, 1);
}

async fn an_exporter_that_comes_new_or_comes_back_is_waited_for_as_long_as_any_other(house: House) {
    let (db, kept) = (&house.one, keeping(90 * DAY));
    let (old, new) = (["old".to_owned()], ["old".to_owned(), "new".to_owned()]);
    record(&house, 3).await;
    sequence(db).await.unwrap();
    assert!(follower::advance(db, "export:old", 0, 3).await.unwrap());
    house.advance(200 * DAY);
    assert_eq!(erase(db, &kept, &new).await, 0, "it is seen for the first time");
    house.advance(29 * DAY);
    assert_eq!(erase(db, &kept, &new).await, 0);
    assert_eq!(erase(db, &kept, &[]).await, 3, "nobody waits for one that is not named any more");
    record(&house, 3).await;
    sequence(db).await.unwrap();
    house.advance(200 * DAY);
    // It stands where it stood a year ago, and was not asked since.
    assert_eq!(erase(db, &kept, &old).await, 0, "it is seen again for the first time");
    house.advance(31 * DAY);
    assert_eq!(erase(db, &kept, &old).await, 3 + 1, "and what was told of the first three");
}

async fn what_has_no_place_in_the_order_stays(house: House) {
    record(&house, 3).await;
    house.advance(1_000 * DAY);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 0);
    sequence(&house.one).await.unwrap();
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 3);
}

async fn a_message_on_its_way_keeps_the_body_and_one_that_was_given_up_does_not(house: House) {
    let db = &house.one;
    let message = Address::message("mail", Subject::new("user", "ada"));
    let look = Address::reconcile("doors", Subject::new("user", "ada"));
    see(db, |fact| fact.to(look)).await;
    house.advance(Duration::from_millis(1));
    see(db, |fact| fact.to(message)).await;
    sequence(db).await.unwrap();
    house.advance(91 * DAY);
    assert_eq!(erase(db, &keeping(90 * DAY), &[]).await, 1, "who reconciles reads no body");
    assert_eq!(erase(db, &keeping(90 * DAY), &[]).await, 0);
    house.tamper(sql!("UPDATE delivery SET dead_at = 1 WHERE NOT reconcile"), ()).await;
    assert_eq!(erase(db, &keeping(90 * DAY), &[]).await, 1);
}

/// As when letters are not set up any more while one is on its way.
async fn a_message_that_nobody_takes_does_not_keep_a_body_for_ever(house: House) {
    let db = &house.one;
    see(db, |fact| fact.to(Address::message("mail", Subject::new("user", "ada")))).await;
    house.advance(DAY);
    see(db, |fact| fact).await;
    sequence(db).await.unwrap();
    house.advance(118 * DAY);
    let all = look(db, &keeping(90 * DAY), &[]).await;
    let by_mail = BTreeMap::from([("door.seen".to_owned(), HeldBy::Message("mail".into()))]);
    assert_eq!((all.bodies, all.held), (0, by_mail), "those behind it wait, too");
    house.advance(3 * DAY);
    assert_eq!(erase(db, &keeping(90 * DAY), &[]).await, 2, "not for ever");
    let waiting = house.count(sql!("SELECT COUNT(*) FROM delivery WHERE dead_at IS NULL")).await;
    assert_eq!(waiting, 1, "whoever takes it up again finds it");
}

async fn what_is_held_up_is_said_once_a_day_with_what_holds_it_up(house: House) {
    let db = &house.one;
    record(&house, 1).await;
    house.advance(91 * DAY);
    let eraser = steady(db, &keeping(90 * DAY), &["siem".into()]).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(eraser.look(db).await.unwrap().held);
    }
    sequence(db).await.unwrap();
    house.advance(DAY);
    for _ in 0..2 {
        held.push(eraser.look(db).await.unwrap().held);
    }
    let by = |held_by: HeldBy| BTreeMap::from([("test.happened".to_owned(), held_by)]);
    let nothing = BTreeMap::<String, HeldBy>::new();
    assert_eq!(
        held,
        [by(HeldBy::Order), nothing.clone(), by(HeldBy::Export("export:siem".into())), nothing],
        "once on each of two days"
    );
}

async fn erasing_goes_page_by_page_and_no_further_than_its_bound(house: House) {
    let page = u64::from(PAGE);
    let all = usize::try_from(4 * page + 70).unwrap();
    record(&house, all).await;
    sequence(&house.one).await.unwrap();
    house.advance(91 * DAY);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 4 * page);
    assert_eq!(erase(&house.one, &keeping(90 * DAY), &[]).await, 70);
    let told = told(&house).await;
    assert_eq!(told.iter().map(|told| told.bodies).collect::<Vec<_>>(), [page, page, page, page, 70]);
    assert!(told.windows(2).all(|two| two[0].until < two[1].from), "one behind the other: {told:?}");
    assert_eq!(bodies(&house).await, 0);
}

async fn of_two_who_erase_at_once_each_body_is_erased_and_told_once_beside_what_is_recorded(house: House) {
    record(&house, 1_200).await;
    sequence(&house.one).await.unwrap();
    house.advance(91 * DAY);
    let kept = keeping(90 * DAY);
    let recording = async {
        for number in 0..40 {
            record_one(&house.two, number).await;
        }
    };
    let (one, two) = (steady(&house.one, &kept, &[]).await, steady(&house.two, &kept, &[]).await);
    let (one, two, ()) = tokio::join!(one.look(&house.one), two.look(&house.two), recording);
    assert_eq!(one.unwrap().bodies + two.unwrap().bodies, 1_200);
    assert_eq!(told(&house).await.iter().map(|told| told.bodies).sum::<u64>(), 1_200);
    assert_eq!(bodies(&house).await, 40, "what is new stays");
    sequence(&house.one).await.unwrap();
    let report = verified(&house.one).await;
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!(report.erased, 1_200);
}
