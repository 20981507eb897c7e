//! Sessions after they were opened: signed in to again, over, swept.

use std::time::Duration;

use directory::session::{self, KEPT, Session, grant, sweep};
use directory::{DirectoryError, authenticator, invitation};
use kernel::id::UserId;
use kernel::{Assurance, Token};
use store::{Db, StoredFact, sql};

use crate::house::{House, change};
use crate::people::{
    HOUR, Person, accept_in, code_in, company, create, declare, exchange, grant_in, open, profile,
    set_active, sign_in,
};

on_both_engines! {
    who_signs_in_again_keeps_the_session_and_its_grants_and_gets_another_token,
    nobody_renews_what_has_ended_or_is_another_persons,
    a_grant_says_what_was_proven_when_it_was_made,
    an_ending_touches_and_counts_only_what_lives,
    a_password_by_invitation_ends_every_sign_in_and_says_so,
    the_same_password_is_hashed_anew_once,
    sweeping_removes_what_is_over_in_batches_and_nothing_else,
    a_code_is_kept_as_long_as_its_grant_could_live,
    two_nodes_sweep_at_once,
    a_browser_that_stayed_away_too_long_signs_in_again_and_may_keep_the_session,
    that_a_browser_is_here_is_noted_once_a_minute,
    a_person_sees_all_sessions_that_live_and_no_others,
}

async fn a_browser_that_stayed_away_too_long_signs_in_again_and_may_keep_the_session(house: House) {
    let db = &house.db;
    let user = create(db, &profile("ada")).await.unwrap();
    let strong = session::SignIn { idle: Some(Duration::from_secs(900)), ..sign_in(user.id) };
    let (opened, token) = change(db, async |tx| session::open(tx, &strong).await).await.unwrap();
    assert_eq!(opened.methods.0, ["password"]);
    house.advance(Duration::from_secs(600));
    let here = session::by_token(db, token.expose()).await.unwrap().expect("ten minutes are not long");
    session::touch(db, &here).await.unwrap();
    house.advance(Duration::from_millis(899_999));
    assert!(session::by_token(db, token.expose()).await.unwrap().is_some());
    house.advance(Duration::from_millis(1));
    assert_eq!(session::by_token(db, token.expose()).await.unwrap(), None);
    let idle = session::by_token_or_idle(db, token.expose()).await.unwrap().expect("it lives");
    let (again, token) = renew(db, &idle, user.id).await.expect("it is kept");
    assert_eq!(session::by_token(db, token.expose()).await.unwrap(), Some(again));
}

async fn that_a_browser_is_here_is_noted_once_a_minute(house: House) {
    let db = &house.db;
    let user = create(db, &profile("ada")).await.unwrap();
    let (opened, token) = open(db, user.id).await.unwrap();
    let (began, facts) = (opened.seen_at, house.count(sql!("SELECT COUNT(*) FROM fact")).await);
    for (after, seen) in [(59, 0), (1, 60), (30, 60), (30, 120)] {
        house.advance(Duration::from_secs(after));
        let here = session::by_token(db, token.expose()).await.unwrap().unwrap();
        session::touch(db, &here).await.unwrap();
        let here = session::by_token(db, token.expose()).await.unwrap().unwrap();
        assert_eq!(here.seen_at.since(began), Duration::from_secs(seen));
    }
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM fact")).await, facts);
}

async fn a_person_sees_all_sessions_that_live_and_no_others(house: House) {
    let db = &house.db;
    let (ada, grace) =
        (create(db, &profile("ada")).await.unwrap(), create(db, &profile("grace")).await.unwrap());
    let (first, _) = open(db, ada.id).await.unwrap();
    let (second, _) = open(db, ada.id).await.unwrap();
    open(db, grace.id).await.unwrap();
    change(db, async |tx| session::end(tx, first.id).await).await.unwrap();
    assert_eq!(session::of_user(db, ada.id).await.unwrap(), [second]);
    set_active(db, &ada, false).await.unwrap();
    assert_eq!(session::of_user(db, ada.id).await.unwrap(), []);
}

async fn renew(db: &Db, session: &Session, user: UserId) -> Option<(Session, Token)> {
    let again =
        session::SignIn { assurance: Assurance::Phr, amr: vec!["pwd".into(), "hwk".into()], ..sign_in(user) };
    change(db, async |tx| session::renew(tx, session.id, &again).await).await.unwrap()
}

async fn facts(house: &House, kind: &str) -> Vec<StoredFact> {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact WHERE kind = $1"
    );
    house.db.all(text, (kind,)).await.unwrap()
}

async fn who_signs_in_again_keeps_the_session_and_its_grants_and_gets_another_token(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    house.advance(Duration::from_secs(60));
    let (again, token) = renew(db, &person.session, person.user.id).await.unwrap();
    assert_eq!((again.id, again.user_id), (person.session.id, person.user.id));
    assert_eq!((again.assurance(), again.authenticated_at), (Assurance::Phr, db.ctx().now()));
    assert_eq!(session::by_token(db, token.expose()).await.unwrap(), Some(again));
    assert_eq!(session::by_token(db, person.cookie.expose()).await.unwrap(), None, "the token rotates");
    assert!(grant::live(db, person.grant).await.unwrap().is_some());
    assert_eq!((house.facts("session.renewed").await, house.facts("session.ended").await), (1, 0));
}

async fn nobody_renews_what_has_ended_or_is_another_persons(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let (ada, bo) = (Person::furnish(&house, "ada").await, Person::furnish(&house, "bo").await);
    assert!(renew(db, &ada.session, bo.user.id).await.is_none(), "another's");
    change(db, async |tx| session::end(tx, ada.session.id).await).await.unwrap();
    assert!(renew(db, &ada.session, ada.user.id).await.is_none(), "ended");
    let off = set_active(db, &bo.user, false).await.unwrap();
    assert!(renew(db, &bo.session, bo.user.id).await.is_none(), "inactive");
    set_active(db, &off, true).await.unwrap();
    assert!(renew(db, &bo.session, bo.user.id).await.is_none(), "of an earlier epoch");
    let (session, _) = open(db, bo.user.id).await.unwrap();
    house.advance(HOUR);
    assert!(renew(db, &session, bo.user.id).await.is_none(), "its time is over");
    assert_eq!(house.facts("session.renewed").await, 0);
}

async fn a_grant_says_what_was_proven_when_it_was_made(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let then = db.ctx().now();
    house.advance(Duration::from_secs(60));
    let (again, _) = renew(db, &person.session, person.user.id).await.unwrap();
    let newer = change(db, async |tx| grant_in(tx, &again).await).await.unwrap();
    let (old, new) = (grant::live(db, person.grant).await.unwrap(), grant::live(db, newer).await.unwrap());
    let (old, new) = (old.unwrap(), new.unwrap());
    assert_eq!((old.authenticated_at, old.assurance(), old.amr.0.len()), (then, Assurance::Aal1, 1));
    assert_eq!((new.authenticated_at, new.assurance(), new.amr.0.len()), (db.ctx().now(), Assurance::Phr, 2));
    assert_eq!(old.network, "internal");
    // As the release before wrote it.
    let before = sql!(
        "UPDATE oauth_grant SET authenticated_at = NULL, assurance = NULL, amr = NULL, network = NULL WHERE id = $1"
    );
    db.change(store::Origin::system(), before, (person.grant,), Vec::new()).await.unwrap();
    let old = grant::live(db, person.grant).await.unwrap().unwrap();
    assert_eq!(
        (old.authenticated_at, old.assurance(), old.amr),
        (again.authenticated_at, Assurance::Phr, again.amr)
    );
    assert_eq!(old.network, "remote", "who cannot tell is outside");
}

async fn an_ending_touches_and_counts_only_what_lives(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let old = Person::furnish(&house, "ada").await;
    house.advance(invitation::INVITATION_TIME);
    let (fresh, _) = open(db, old.user.id).await.unwrap();
    change(db, async |tx| grant_in(tx, &fresh).await).await.unwrap();
    set_active(db, &old.user, false).await.unwrap();
    let deactivated: directory::facts::UserDeactivated =
        facts(&house, "user.deactivated").await.remove(0).read().unwrap();
    let ended = deactivated.ended;
    assert_eq!((ended.sessions, ended.grants, ended.codes, ended.invitations), (1, 1, 0, 0));
    let untouched = sql!("SELECT COUNT(*) FROM session WHERE ended_at IS NULL");
    assert_eq!(house.count(untouched).await, 1, "what had expired is left to the sweep");
}

async fn a_password_by_invitation_ends_every_sign_in_and_says_so(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    change(db, async |tx| authenticator::password::set(tx, person.user.id, "$own", None).await)
        .await
        .unwrap();
    assert!(person.alive(db).await.contains(&"session"), "one's own change signs nobody out");
    assert!(change(db, async |tx| accept_in(tx, person.invitation.expose(), "$new").await).await.unwrap());
    assert_eq!(person.alive(db).await, ["card", "doors"]);
    let sets = facts(&house, "authenticator.password-set").await;
    let bodies: Vec<directory::facts::PasswordSet> = sets.iter().map(|fact| fact.read().unwrap()).collect();
    let by_invitation = bodies.iter().find(|body| body.invitation.is_some()).unwrap();
    let ended = directory::facts::EndedSignIns { sessions: 1, grants: 1, codes: 1 };
    assert_eq!(by_invitation.ended, ended);
    assert!(open(db, person.user.id).await.is_ok(), "and the person signs in again");
}

async fn the_same_password_is_hashed_anew_once(house: House) {
    let db = &house.db;
    let user = create(db, &profile("ada")).await.unwrap();
    change(db, async |tx| authenticator::password::set(tx, user.id, "$old", None).await).await.unwrap();
    let rehash = || change(db, async |tx| authenticator::password::rehash(tx, user.id, "$old", "$new").await);
    assert!(rehash().await.unwrap());
    assert!(!rehash().await.unwrap(), "what was verified is not there any more");
    assert_eq!(authenticator::password::verifier(db, user.id).await.unwrap().as_deref(), Some("$new"));
    assert_eq!(house.facts("authenticator.password-rehashed").await, 1);
}

async fn rows(house: &House) -> [i64; 4] {
    [
        house.count(sql!("SELECT COUNT(*) FROM session")).await,
        house.count(sql!("SELECT COUNT(*) FROM oauth_grant")).await,
        house.count(sql!("SELECT COUNT(*) FROM authorization_code")).await,
        house.count(sql!("SELECT COUNT(*) FROM invitation")).await,
    ]
}

async fn sweeping_removes_what_is_over_in_batches_and_nothing_else(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        Person::furnish(&house, name).await;
    }
    house.advance(HOUR + KEPT - Duration::from_millis(1));
    assert_eq!(sweep(db, 2).await.unwrap(), 0, "it is kept a while");
    house.advance(Duration::from_millis(1));
    let alive = Person::furnish(&house, "alive").await;
    let ended = Person::furnish(&house, "ended").await;
    change(db, async |tx| session::end(tx, ended.session.id).await).await.unwrap();
    assert_eq!(rows(&house).await, [7, 7, 7, 7]);
    assert_eq!(sweep(db, 2).await.unwrap(), 10, "five grants and their sessions");
    assert_eq!(rows(&house).await, [2, 2, 2, 7], "invitations last longer");
    assert!(alive.alive(db).await.starts_with(&["session", "grant", "code", "invitation"]));
    let facts = house.count(sql!("SELECT COUNT(*) FROM fact")).await;
    house.advance(invitation::INVITATION_TIME + KEPT);
    assert_eq!(sweep(db, 2).await.unwrap(), 11);
    assert_eq!(rows(&house).await, [0, 0, 0, 0]);
    assert_eq!(
        house.count(sql!("SELECT COUNT(*) FROM fact")).await,
        facts,
        "the journal keeps what happened"
    );
}

async fn a_code_is_kept_as_long_as_its_grant_could_live(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    assert!(exchange(db, person.code.expose()).await.unwrap());
    house.advance(HOUR - Duration::from_secs(1));
    sweep(db, 100).await.unwrap();
    assert!(grant::live(db, person.grant).await.unwrap().is_some());
    assert!(!exchange(db, person.code.expose()).await.unwrap());
    assert!(grant::live(db, person.grant).await.unwrap().is_none(), "its reuse was noticed");
    assert_eq!(house.facts("grant.ended").await, 1);
}

async fn two_nodes_sweep_at_once(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let more: Result<(), DirectoryError> = change(db, async |tx| {
        for _ in 0..60 {
            let grant = grant_in(tx, &person.session).await?;
            code_in(tx, grant).await?;
        }
        Ok(())
    })
    .await;
    more.unwrap();
    house.advance(HOUR + KEPT);
    let (one, two) = tokio::join!(sweep(db, 5), sweep(db, 5));
    // Of two who want the same rows one may have to come again.
    drop((one, two));
    sweep(db, 5).await.unwrap();
    assert_eq!(rows(&house).await[..3], [0, 0, 0]);
}
