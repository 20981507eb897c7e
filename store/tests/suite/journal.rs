//! The journal: no commit, no fact; envelopes that outlive their bodies; versioned bodies.

use kernel::id::FactId;
use kernel::{Actor, RequestId};
use serde::{Deserialize, Serialize};
use store::{Address, Fact, FactBody, Origin, StoredFact, delivery, sql};

use crate::house::{House, Made, insert, made, subject};

on_every_engine!(
    no_commit_no_fact,
    a_fact_and_its_deliveries_come_together,
    routes_and_the_fact_itself_say_where_it_goes,
    a_fact_says_who_when_and_in_answer_to_what,
    a_fact_is_found_by_what_it_is_about,
    the_digest_holds_the_body_and_outlives_it,
    a_body_reads_only_as_its_kind_and_version,
    more_facts_than_fit_one_statement_are_all_written,
);

async fn stored(house: &House, id: FactId) -> StoredFact {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact WHERE id = $1"
    );
    house.db.one(text, (id,)).await.unwrap()
}

async fn no_commit_no_fact(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    tx.record(made("refused"));
    tx.refuse().await.unwrap();
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    tx.record(made("dropped"));
    drop(tx);
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let id = tx.record(made("committed"));
    tx.commit().await.unwrap();
    assert_eq!(house.facts().await, 1);
    assert_eq!(stored(&house, id).await.read::<Made>(), Some(Made { name: "committed".into() }));
}

async fn a_fact_and_its_deliveries_come_together(house: House) {
    house.db.sinks().set("mail", |fact| vec![Address::message("mail", fact.subject.clone())]);
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "x").await.unwrap();
    tx.record(made("x"));
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (0, 0));
    tx.commit().await.unwrap();
    assert_eq!((house.facts().await, delivery::depth(&house.db).await.unwrap()), (1, (1, 0)));

    // A fault between the two leaves neither.
    if house.db.is_postgres() {
        house.run(sql!("ALTER TABLE delivery ADD CONSTRAINT broken CHECK (subject <> 'thing:y')")).await;
    } else {
        let text = "CREATE TRIGGER broken BEFORE INSERT ON delivery WHEN NEW.subject = 'thing:y' \
                    BEGIN SELECT RAISE(ABORT, 'broken'); END";
        house.run(store::Sql::assembled(text.into())).await;
    }
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "y").await.unwrap();
    tx.record(made("y"));
    tx.commit().await.unwrap_err();
    assert_eq!(house.things().await, ["x"]);
    assert_eq!((house.facts().await, delivery::depth(&house.db).await.unwrap()), (1, (1, 0)));
}

async fn routes_and_the_fact_itself_say_where_it_goes(house: House) {
    house.db.sinks().set("doors", |fact| {
        ["north", "south"]
            .map(|door| Address::reconcile(door, fact.subject.clone()).revoking(fact.revokes))
            .into()
    });
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let first = tx.record(made("x").to(Address::message("mail", subject("x"))));
    let second = tx.record(made("x"));
    tx.commit().await.unwrap();
    let rows: Vec<(String, String, FactId, bool, i64)> =
        house.all(sql!("SELECT sink, subject, fact, reconcile, version FROM delivery ORDER BY sink")).await;
    let row = |sink: &str, fact, reconcile| (sink.to_owned(), "thing:x".to_owned(), fact, reconcile, 1);
    let expected = [row("mail", first, false), row("north", second, true), row("south", second, true)];
    let facts_may_differ = |rows: &[(String, String, FactId, bool, i64)]| {
        rows.iter()
            .map(|(sink, subject, _, reconcile, version)| {
                (sink.clone(), subject.clone(), *reconcile, *version)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        facts_may_differ(&rows),
        facts_may_differ(&expected),
        "two facts of one commit raise a reconciler once"
    );
    assert_eq!(rows[0].2, first);
    house.db.sinks().remove("doors");
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    tx.record(made("z"));
    tx.commit().await.unwrap();
    assert_eq!(delivery::depth(&house.db).await.unwrap(), (3, 0));
}

async fn a_fact_says_who_when_and_in_answer_to_what(house: House) {
    let (user, request) = (kernel::id::UserId::new(house.db.ctx()), RequestId::new(house.db.ctx()));
    let origin = Origin { actor: Actor::User(user), request: Some(request.clone()) };
    let before = house.db.ctx().now();
    let mut tx = house.db.write(origin).await.unwrap();
    let id = tx.record(made("x"));
    tx.commit().await.unwrap();
    let fact = stored(&house, id).await;
    assert_eq!((fact.kind.as_str(), fact.subject.as_str()), ("thing.made", "thing:x"));
    assert_eq!(fact.actor, format!("user:{user}"));
    assert_eq!(fact.request_id.as_deref(), Some(request.as_str()));
    assert!(before <= fact.at && fact.at <= house.db.ctx().now());
    assert_eq!((fact.seq, fact.chain), (None, None), "given after the commit");
}

async fn a_fact_is_found_by_what_it_is_about(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let id = tx.record(made("x").about(subject("y")).about(subject("z")));
    tx.commit().await.unwrap();
    let about: Vec<(FactId, String, String)> =
        house.all(sql!("SELECT fact, subject, kind FROM fact_about ORDER BY subject")).await;
    let kind = || "thing.made".to_owned();
    assert_eq!(about, [(id, "thing:y".into(), kind()), (id, "thing:z".into(), kind())]);
}

async fn the_digest_holds_the_body_and_outlives_it(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let (first, second) = (tx.record(made("x")), tx.record(made("x")));
    tx.commit().await.unwrap();
    let whole = stored(&house, first).await;
    assert!(whole.body_matches_digest());
    assert_ne!(
        whole.digest,
        stored(&house, second).await.digest,
        "equal bodies have different digests: the salt"
    );

    let mut changed = whole.clone();
    changed.body = changed.body.map(|body| body.replace('x', "y"));
    assert!(!changed.body_matches_digest());
    let mut half = whole.clone();
    half.salt = None;
    assert!(!half.body_matches_digest(), "erased by half is changed");

    let (mut moved, first_of_body) = (whole.clone(), &whole.body.as_deref().unwrap()[..1]);
    moved.salt = moved.salt.map(|salt| salt + first_of_body);
    moved.body = moved.body.map(|body| body[1..].to_owned());
    assert!(!moved.body_matches_digest(), "a character moved from the body to the salt");
    assert_eq!(whole.salt.as_deref().map(str::len), Some(store::SALT_LENGTH));

    let erase = sql!("UPDATE fact SET salt = NULL, body = NULL WHERE id = $1");
    house.db.change(Origin::system(), erase, (first,), Vec::new()).await.unwrap();
    let erased = stored(&house, first).await;
    assert!(erased.body_matches_digest());
    assert_eq!(erased.read::<Made>(), None);
    assert_eq!(StoredFact { salt: None, body: None, ..whole }, erased, "the envelope is untouched");
}

#[derive(Serialize, Deserialize)]
struct MadeLater {
    name: String,
    colour: String,
}
impl FactBody for MadeLater {
    const KIND: &'static str = Made::KIND;
    const VERSION: u32 = 2;
}

#[derive(Serialize, Deserialize)]
struct Unmade {
    name: String,
}
impl FactBody for Unmade {
    const KIND: &'static str = "thing.unmade";
}

async fn a_body_reads_only_as_its_kind_and_version(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let old = tx.record(made("x"));
    let new = tx.record(Fact::new(subject("x"), &MadeLater { name: "x".into(), colour: "red".into() }));
    tx.commit().await.unwrap();
    let (old, new) = (stored(&house, old).await, stored(&house, new).await);
    assert!(old.read::<Made>().is_some() && new.read::<MadeLater>().is_some());
    assert!(
        old.read::<MadeLater>().is_none() && new.read::<Made>().is_none(),
        "another version is not guessed"
    );
    assert!(old.read::<Unmade>().is_none(), "another kind, though the body would read");
    for body in ["", "not json", "[]", "{}", r#"{"v":1}"#, r#"{"v":"1","name":"x"}"#, r#"{"v":1,"name":7}"#] {
        let broken = StoredFact { body: Some(body.into()), ..old.clone() };
        assert!(broken.read::<Made>().is_none(), "{body}");
    }
}

async fn more_facts_than_fit_one_statement_are_all_written(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    for n in 0..150 {
        let name = n.to_string();
        tx.record(
            made(&name)
                .about(subject(0))
                .to(Address::message("mail", subject(n)))
                .to(Address::reconcile("door", subject(n))),
        );
    }
    tx.commit().await.unwrap();
    assert_eq!((house.facts().await, delivery::depth(&house.db).await.unwrap()), (150, (300, 0)));
    assert_eq!(house.one::<(i64,)>(sql!("SELECT COUNT(*) FROM fact_about")).await, (150,));
}
