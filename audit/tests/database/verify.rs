//! Finding what somebody did to the journal behind everybody's back.

use std::time::Duration;

use audit::{Checkpoint, What, checkpoint, sequence, verify};
use keys::KeyRing;
use store::{Db, Sql, sql};

use crate::house::{House, on_both_engines};
use crate::journal::{found, record, ring, verified};

on_both_engines! {
    every_column_that_is_changed_is_found_at_its_line
    removed_lines_are_found
    a_line_that_is_inserted_is_found
    erased_bodies_leave_the_chain_whole
    an_end_that_is_cut_off_is_found
    a_chain_that_is_linked_anew_is_found_by_the_signature
    checkpoints_themselves_are_checked
    a_checkpoint_is_signed_only_when_there_is_something_new
    a_checkpoint_kept_elsewhere_outlives_everything_in_the_database
    verification_goes_page_by_page_and_tells_how_far_it_is
}

async fn journal(house: &House, facts: usize) {
    record(house, facts).await;
    sequence(&house.one).await.unwrap();
}

async fn verified_with(db: &Db, ring: &KeyRing) -> audit::Report {
    verify(db, &ring.evidence_jwks().bytes, None, |_| {}).await.unwrap()
}

async fn every_column_that_is_changed_is_found_at_its_line(house: House) {
    let changes: [(Sql, &[What]); 13] = [
        (sql!("UPDATE fact SET id = 'somebody else' WHERE seq = $1"), &[What::EnvelopeChanged]),
        (sql!("UPDATE fact SET at = at + 1 WHERE seq = $1"), &[What::EnvelopeChanged]),
        (sql!("UPDATE fact SET kind = 'test.else' WHERE seq = $1"), &[What::EnvelopeChanged]),
        (sql!("UPDATE fact SET subject = 'user:x' WHERE seq = $1"), &[What::EnvelopeChanged]),
        (sql!("UPDATE fact SET actor = 'operator' WHERE seq = $1"), &[What::EnvelopeChanged]),
        (sql!("UPDATE fact SET request_id = '' WHERE seq = $1"), &[What::EnvelopeChanged]),
        (sql!("UPDATE fact SET digest = 'x' WHERE seq = $1"), &[What::BodyChanged, What::EnvelopeChanged]),
        (sql!("UPDATE fact SET salt = 'x' WHERE seq = $1"), &[What::BodyChanged]),
        // What is digested stays the same, one after the other.
        (
            sql!("UPDATE fact SET salt = salt || SUBSTR(body, 1, 1), body = SUBSTR(body, 2) WHERE seq = $1"),
            &[What::BodyChanged],
        ),
        (sql!("UPDATE fact SET body = '{}' WHERE seq = $1"), &[What::BodyChanged]),
        (sql!("UPDATE fact SET body = NULL WHERE seq = $1"), &[What::BodyChanged]),
        (sql!("UPDATE fact SET chain = 'x' WHERE seq = $1"), &[What::ChainChanged]),
        (sql!("UPDATE fact SET chain = NULL WHERE seq = $1"), &[What::ChainChanged]),
    ];
    journal(&house, 40).await;
    let mut expected = Vec::new();
    for (number, (change, whats)) in (0i64..).zip(changes) {
        let seq = 3 * number + 2;
        assert_eq!(house.tamper(change, (seq,)).await, 1);
        expected.extend(whats.iter().map(|what| (seq, *what)));
    }
    let report = verified(&house.one).await;
    assert_eq!(found(&report), expected);
    assert!(report.findings.iter().any(|finding| finding.fact.as_deref() == Some("somebody else")));
    assert_eq!(report.facts, 40, "it goes on behind what it finds");
}

async fn removed_lines_are_found(house: House) {
    journal(&house, 10).await;
    house.tamper(sql!("DELETE FROM fact WHERE seq IN (3, 4, 10)"), ()).await;
    house.tamper(sql!("UPDATE fact SET seq = NULL WHERE seq = 7"), ()).await;
    let report = verified(&house.one).await;
    let missing = |until| What::Missing { until };
    assert_eq!(found(&report), [(3, missing(4)), (7, missing(7)), (10, missing(10))]);
    assert_eq!(report.unsequenced, 1);
}

async fn a_line_that_is_inserted_is_found(house: House) {
    journal(&house, 3).await;
    for (id, seq) in [("mine", 4i64), ("mine too", 0)] {
        house
            .tamper(
                sql!(
                    "INSERT INTO fact (id, at, kind, subject, actor, digest, seq, chain) \
                     SELECT $1, at, kind, subject, actor, digest, $2, chain FROM fact WHERE seq = 3"
                ),
                (id, seq),
            )
            .await;
    }
    assert_eq!(found(&verified(&house.one).await), [(0, What::Inserted), (4, What::Inserted)]);
}

async fn erased_bodies_leave_the_chain_whole(house: House) {
    journal(&house, 6).await;
    house.tamper(sql!("UPDATE fact SET salt = NULL, body = NULL WHERE seq IN (2, 3, 6)"), ()).await;
    let report = verified(&house.one).await;
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.facts, report.erased), (6, 3));
}

async fn an_end_that_is_cut_off_is_found(house: House) {
    let ring = ring(&house.one).await;
    journal(&house, 7).await;
    let kept = checkpoint(&house.one, &ring).await.unwrap().unwrap();
    let last = kept.seq;
    assert!(verified_with(&house.one, &ring).await.is_good());

    house.tamper(sql!("DELETE FROM fact WHERE seq > 5"), ()).await;
    assert_eq!(found(&verified_with(&house.one, &ring).await), [(6, What::Missing { until: last })]);

    let set_back = sql!("UPDATE chain_head SET seq = 5, chain = (SELECT chain FROM fact WHERE seq = 5)");
    house.tamper(set_back, ()).await;
    let report = verified_with(&house.one, &ring).await;
    assert_eq!(found(&report), [(6, What::Missing { until: last }), (5, What::HeadChanged)]);

    house.tamper(sql!("DELETE FROM checkpoint"), ()).await;
    let report = verified_with(&house.one, &ring).await;
    assert_eq!(found(&report), [(last, What::CheckpointMissing)], "the head still knows of it");
}

async fn a_chain_that_is_linked_anew_is_found_by_the_signature(house: House) {
    let ring = ring(&house.one).await;
    journal(&house, 8).await;
    let signed = checkpoint(&house.one, &ring).await.unwrap().unwrap();
    // The product itself is the best tool for it: forget the chain, change a line, sequence again.
    house.tamper(sql!("UPDATE fact SET seq = NULL, chain = NULL"), ()).await;
    house.tamper(sql!("UPDATE fact SET subject = 'user:x' WHERE subject = 'test:3'"), ()).await;
    house.tamper(sql!("UPDATE chain_head SET seq = 0, chain = $1"), ("A".repeat(43),)).await;
    sequence(&house.one).await.unwrap();
    let report = verified_with(&house.one, &ring).await;
    assert_eq!(found(&report), [(signed.seq, What::Relinked)]);
}

async fn checkpoints_themselves_are_checked(house: House) {
    let ring = ring(&house.one).await;
    let mut places = Vec::new();
    for _ in 0..4 {
        journal(&house, 3).await;
        places.push(checkpoint(&house.one, &ring).await.unwrap().unwrap().seq);
    }
    let report = verified_with(&house.one, &ring).await;
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!(report.checkpoints, 4);

    let all_unknown: Vec<(i64, What)> =
        places.iter().map(|place| (*place, What::CheckpointOfUnknownSigner)).collect();
    assert_eq!(found(&verified(&house.one).await), all_unknown);

    house.tamper(sql!("DELETE FROM checkpoint WHERE seq = $1"), (places[1],)).await;
    assert_eq!(found(&verified_with(&house.one, &ring).await), [(places[1], What::CheckpointMissing)]);
    let copy = sql!("UPDATE checkpoint SET jws = (SELECT jws FROM checkpoint WHERE seq = $1) WHERE seq = $2");
    house.tamper(copy, (places[0], places[3])).await;
    assert_eq!(
        found(&verified_with(&house.one, &ring).await),
        [(places[1], What::CheckpointMissing), (places[3], What::CheckpointChanged)]
    );
    house.tamper(sql!("UPDATE checkpoint SET jws = 'x' WHERE seq = $1"), (places[2],)).await;
    assert_eq!(
        found(&verified_with(&house.one, &ring).await),
        [(places[2], What::CheckpointChanged), (places[3], What::CheckpointChanged)]
    );
}

async fn a_checkpoint_is_signed_only_when_there_is_something_new(house: House) {
    let ring = ring(&house.one).await;
    assert_eq!(checkpoint(&house.one, &ring).await.unwrap(), None, "nothing has a place yet");
    journal(&house, 2).await;
    let (a, b) = tokio::join!(checkpoint(&house.one, &ring), checkpoint(&house.two, &ring));
    let signed: Vec<Checkpoint> = [a.unwrap(), b.unwrap()].into_iter().flatten().collect();
    assert_eq!(signed.len(), 1, "one of two who sign at once");
    assert_eq!(signed[0].previous, 0);
    assert_eq!(checkpoint(&house.one, &ring).await.unwrap(), None);
    journal(&house, 1).await;
    let next = checkpoint(&house.one, &ring).await.unwrap().unwrap();
    assert_eq!((next.seq, next.previous), (signed[0].seq + 1, signed[0].seq));
}

async fn a_checkpoint_kept_elsewhere_outlives_everything_in_the_database(house: House) {
    let ring = ring(&house.one).await;
    journal(&house, 5).await;
    checkpoint(&house.one, &ring).await.unwrap();
    let (document,): (String,) = house.one.one(sql!("SELECT jws FROM checkpoint"), ()).await.unwrap();
    let jwks = ring.evidence_jwks();
    let kept = Checkpoint::read(&document, &jwks.bytes).unwrap();
    journal(&house, 4).await;
    checkpoint(&house.one, &ring).await.unwrap();
    let from_kept = || verify(&house.one, &jwks.bytes, Some(&kept), |_| {});
    let report = from_kept().await.unwrap();
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.facts, report.checkpoints), (4, 1), "only what comes after it");

    house.tamper(sql!("UPDATE fact SET kind = 'x' WHERE seq = $1"), (kept.seq + 1,)).await;
    assert_eq!(found(&from_kept().await.unwrap()), [(kept.seq + 1, What::EnvelopeChanged)]);

    // All traces of the end are removed, as far as the database goes.
    house.tamper(sql!("DELETE FROM fact WHERE seq > 2"), ()).await;
    house.tamper(sql!("DELETE FROM checkpoint"), ()).await;
    let set_back = sql!(
        "UPDATE chain_head SET seq = 2, chain = (SELECT chain FROM fact WHERE seq = 2), checkpoint_seq = 0"
    );
    house.tamper(set_back, ()).await;
    assert!(verified_with(&house.one, &ring).await.is_good());
    let report = from_kept().await.unwrap();
    let missing = What::Missing { until: kept.seq };
    assert_eq!(found(&report), [(kept.seq, missing), (2, What::HeadChanged)]);
}

async fn verification_goes_page_by_page_and_tells_how_far_it_is(house: House) {
    journal(&house, 1_100).await;
    house.advance(Duration::from_secs(1));
    record(&house, 2).await;
    let mut seen = Vec::new();
    let report =
        verify(&house.one, br#"{"keys":[]}"#, None, |progress| seen.push((progress.seq, progress.until)))
            .await
            .unwrap();
    assert_eq!(seen, [(500, 1_100), (1_000, 1_100), (1_100, 1_100)]);
    assert_eq!((report.facts, report.unsequenced), (1_100, 2));
}

/// SQLite takes a text for a number.
#[tokio::test]
async fn lines_that_do_not_read_are_found_and_passed() {
    let house = House::on_a_file().await;
    journal(&house, 700).await;
    house.tamper(sql!("UPDATE fact SET at = 'yesterday' WHERE seq IN (3, 600)"), ()).await;
    house.tamper(sql!("UPDATE fact SET kind = 'x' WHERE seq = 5"), ()).await;
    let report = verified(&house.one).await;
    assert_eq!(found(&report), [(3, What::Unreadable), (5, What::EnvelopeChanged), (600, What::Unreadable)]);
    assert_eq!(report.facts, 698);
}
