//! What ending means: everything that an account could do is dead at the commit, and nothing of it returns.

use directory::credential::{self, State};
use directory::facts::{Ended, UserDeactivated, UserDeleted};
use directory::{DirectoryError, authenticator, group, invitation, session, user};
use kernel::id::UserId;
use store::{StoredFact, sql};

use crate::house::{House, change};
use crate::people::{
    ISSUER, Person, accept_in, company, create, create_group, current, declare, delete, exchange, member_ids,
    open, profile, set_active, update,
};

on_both_engines! {
    deactivation_ends_everything_at_its_commit_and_says_what,
    deletion_ends_everything_at_its_commit_and_says_what,
    nothing_returns_with_the_account_but_the_same_card_by_resuming_it,
    false_true_false_ends_twice_what_was_begun_between,
    an_inactive_account_gets_nothing_new,
    a_deleted_account_is_scrubbed_and_never_comes_back,
    the_names_of_the_deleted_are_free_and_the_ids_are_not,
    who_is_deleted_leaves_every_group_and_each_is_another_version,
    deleting_an_inactive_account_revokes_what_was_suspended,
    what_others_have_stays,
    a_refused_ending_ends_nothing,
    ending_a_session_ends_its_grants_and_no_others,
    every_client_with_a_grant_stands_in_the_fact_and_those_who_listen_are_told,
    a_refresh_token_gives_one_successor_and_is_dead_with_what_it_rests_on,
}

const EVERYTHING: [&str; 6] = ["session", "grant", "code", "invitation", "card", "doors"];
const NOTHING: [&str; 0] = [];

async fn ending_fact(house: &House, kind: &str) -> StoredFact {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact WHERE kind = $1"
    );
    let mut facts: Vec<StoredFact> = house.db.all(text, (kind,)).await.unwrap();
    assert_eq!(facts.len(), 1, "{kind}");
    facts.remove(0)
}

async fn about(house: &House, fact: &StoredFact) -> Vec<String> {
    let text = sql!("SELECT subject FROM fact_about WHERE fact = $1 ORDER BY subject");
    let rows: Vec<(String,)> = house.db.all(text, (fact.id,)).await.unwrap();
    rows.into_iter().map(|(subject,)| subject).collect()
}

fn ended(person: &Person) -> Ended {
    Ended { sessions: 1, grants: 1, codes: 1, invitations: 1, credentials: vec![person.card.id] }
}

async fn deactivation_ends_everything_at_its_commit_and_says_what(house: House) {
    declare(&house.db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    assert_eq!(person.alive(&house.db).await, EVERYTHING);
    let user = set_active(&house.db, &person.user, false).await.unwrap();
    assert_eq!(person.alive(&house.db).await, NOTHING);
    assert_eq!((user.active, user.version), (false, 2));
    assert_eq!(current(&house.db, user.id).await, user);

    let fact = ending_fact(&house, "user.deactivated").await;
    assert_eq!(fact.read(), Some(UserDeactivated { ended: ended(&person) }));
    assert_eq!(fact.subject, person.user.id.subject().to_string());
    assert_eq!(about(&house, &fact).await, ["client:app".to_owned(), person.card.id.subject().to_string()]);
    assert_eq!(house.facts("credential.suspended").await, 1);
    assert_eq!(house.facts("user.changed").await, 0, "nothing else changed");
}

async fn deletion_ends_everything_at_its_commit_and_says_what(house: House) {
    declare(&house.db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    delete(&house.db, &person.user).await.unwrap();
    assert_eq!(person.alive(&house.db).await, NOTHING);
    let card = credential::get(&house.db, person.card.id).await.unwrap().unwrap();
    assert_eq!(card.state, State::Revoked.as_str());
    let fact = ending_fact(&house, "user.deleted").await;
    assert_eq!(fact.read(), Some(UserDeleted { ended: ended(&person) }));
    assert_eq!(about(&house, &fact).await, ["client:app".to_owned(), person.card.id.subject().to_string()]);
    assert_eq!((house.facts("credential.revoked").await, house.facts("credential.suspended").await), (1, 0));
}

async fn nothing_returns_with_the_account_but_the_same_card_by_resuming_it(house: House) {
    declare(&house.db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let off = set_active(&house.db, &person.user, false).await.unwrap();
    set_active(&house.db, &off, true).await.unwrap();
    assert_eq!(person.alive(&house.db).await, ["doors"], "what policy gave stands, but no card opens by it");

    let suspended = credential::get(&house.db, person.card.id).await.unwrap().unwrap();
    change(&house.db, async |tx| credential::resume(tx, &suspended, None).await).await.unwrap();
    assert_eq!(person.alive(&house.db).await, ["card", "doors"]);
    let card = credential::get(&house.db, person.card.id).await.unwrap().unwrap();
    assert_eq!((card.number, card.state.as_str()), (person.card.number, "active"));
    assert_eq!(credential::of_user(&house.db, person.user.id).await.unwrap().len(), 1, "no new card");
    assert!(open(&house.db, person.user.id).await.is_ok(), "a new sign-in works");
    assert_eq!(person.alive(&house.db).await, ["card", "doors"], "and brings no old one back");
}

async fn false_true_false_ends_twice_what_was_begun_between(house: House) {
    declare(&house.db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let off = set_active(&house.db, &person.user, false).await.unwrap();
    let again = set_active(&house.db, &off, false).await.unwrap();
    assert_eq!(again.version, off.version, "what is so already is not written");
    let on = set_active(&house.db, &again, true).await.unwrap();
    let (_, cookie) = open(&house.db, on.id).await.unwrap();
    let suspended = credential::get(&house.db, person.card.id).await.unwrap().unwrap();
    change(&house.db, async |tx| credential::resume(tx, &suspended, None).await).await.unwrap();
    let off = set_active(&house.db, &on, false).await.unwrap();
    assert!(session::by_token(&house.db, cookie.expose()).await.unwrap().is_none());
    assert_eq!(person.alive(&house.db).await, NOTHING);
    assert_eq!((house.facts("user.deactivated").await, house.facts("user.activated").await), (2, 1));
    assert_eq!(house.facts("credential.suspended").await, 2);
    set_active(&house.db, &off, true).await.unwrap();
    assert!(session::by_token(&house.db, cookie.expose()).await.unwrap().is_none());
}

async fn an_inactive_account_gets_nothing_new(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let off = set_active(db, &person.user, false).await.unwrap();
    let facts = house.count(sql!("SELECT COUNT(*) FROM fact")).await;
    let absent = UserId::new(db.ctx());
    for user in [off.id, absent] {
        assert!(matches!(open(db, user).await, Err(DirectoryError::NotFound(_))));
        assert!(change(db, async |tx| invitation::create(tx, ISSUER, user).await).await.is_err());
        assert!(change(db, async |tx| credential::issue(tx, user, "staff").await).await.is_err());
        let set = change(db, async |tx| authenticator::password::set(tx, user, "$hash", None).await).await;
        assert!(matches!(set, Err(DirectoryError::NotFound(_))), "{set:?}");
    }
    let suspended = credential::get(db, person.card.id).await.unwrap().unwrap();
    let resumed = change(db, async |tx| credential::resume(tx, &suspended, None).await).await;
    assert!(matches!(resumed, Err(DirectoryError::NotFound(_))), "{resumed:?}");
    let accepted = change(db, async |tx| accept_in(tx, person.invitation.expose(), "$hash").await).await;
    assert!(!accepted.unwrap());
    assert!(!exchange(db, person.code.expose()).await.unwrap());
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM fact")).await, facts, "and nothing happened");
    assert_eq!(authenticator::password::verifier(db, off.id).await.unwrap(), None);
}

async fn a_deleted_account_is_scrubbed_and_never_comes_back(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish_user(&house, create(db, &named("ada", "e-1")).await.unwrap()).await;
    change(db, async |tx| authenticator::password::set(tx, person.user.id, "$hash", None).await)
        .await
        .unwrap();
    delete(db, &person.user).await.unwrap();

    type Left = (String, String, Option<String>, Option<String>, Option<String>, String, bool);
    let text = sql!(
        "SELECT user_name, user_name_key, COALESCE(external_id, display_name, email, department, title), \
         external_id, display_name, document, active FROM users"
    );
    let left: Vec<Left> = house.all(text).await;
    assert_eq!(left, [(String::new(), String::new(), None, None, None, "{}".into(), false)]);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM authenticator")).await, 0);

    assert_eq!(user::get(db, person.user.id).await.unwrap(), None);
    assert_eq!(user::by_user_name(db, "ada").await.unwrap(), None);
    assert_eq!(user::by_user_name(db, "").await.unwrap(), None);
    assert_eq!(user::by_external_id(db, "e-1").await.unwrap(), None);
    assert_eq!((user::count(db).await.unwrap(), user::page(db, None, 9).await.unwrap().len()), (0, 0));
    assert_eq!(user::page_at(db, 0, 9).await.unwrap(), []);
    for seen in [person.user.clone(), user::User { version: 2, ..person.user.clone() }] {
        assert!(matches!(delete(db, &seen).await, Err(DirectoryError::VersionMismatch)));
        assert!(matches!(update(db, &seen, &profile("ada")).await, Err(DirectoryError::VersionMismatch)));
    }
    assert!(matches!(open(db, person.user.id).await, Err(DirectoryError::NotFound(_))));
    assert_eq!(house.facts("user.deleted").await, 1);
}

fn named(user_name: &str, external_id: &str) -> user::Profile {
    user::Profile {
        external_id: Some(external_id.into()),
        display_name: Some("Ada Lovelace".into()),
        email: Some("ada@example.org".into()),
        department: Some("Engines".into()),
        title: Some("Countess".into()),
        ..profile(user_name)
    }
}

async fn the_names_of_the_deleted_are_free_and_the_ids_are_not(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let mut ids = Vec::new();
    let mut cards = Vec::new();
    for _ in 0..3 {
        let person = Person::furnish_user(&house, create(db, &named("Ada", "e-1")).await.unwrap()).await;
        assert!(matches!(create(db, &named("bo", "e-1")).await, Err(DirectoryError::Taken("externalId"))));
        assert!(matches!(create(db, &named("ADA", "e-2")).await, Err(DirectoryError::Taken("userName"))));
        delete(db, &person.user).await.unwrap();
        ids.push(person.user.id);
        cards.push(person.card.number);
    }
    assert_eq!(cards, [1000, 1001, 1002], "the cards of the deleted are nobody else's");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM users")).await, 3, "the rows stay for their ids");
}

async fn who_is_deleted_leaves_every_group_and_each_is_another_version(house: House) {
    let db = &house.db;
    let (ada, bo) = (create(db, &profile("ada")).await.unwrap(), create(db, &profile("bo")).await.unwrap());
    let both = [ada.id.to_string(), bo.id.to_string()];
    let with = create_group(db, "with", &both).await.unwrap();
    let without = create_group(db, "without", &both[1..]).await.unwrap();
    delete(db, &ada).await.unwrap();
    assert_eq!(member_ids(db, &with).await, both[1..]);
    let changed = group::get(db, with.id).await.unwrap().unwrap();
    assert_eq!(changed.version, 2, "its members are part of what a client caches");
    assert_eq!(group::get(db, without.id).await.unwrap().unwrap(), without);
    assert_eq!(house.facts("group.changed").await, 1);
    let stale = change(db, async |tx| group::delete(tx, &with).await).await;
    assert!(matches!(stale, Err(DirectoryError::VersionMismatch)), "{stale:?}");
}

async fn deleting_an_inactive_account_revokes_what_was_suspended(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let off = set_active(db, &person.user, false).await.unwrap();
    delete(db, &off).await.unwrap();
    let card = credential::get(db, person.card.id).await.unwrap().unwrap();
    assert_eq!(card.state, "revoked");
    let fact = ending_fact(&house, "user.deleted").await;
    let only_the_card = Ended { credentials: vec![card.id], ..Ended::default() };
    assert_eq!(fact.read(), Some(UserDeleted { ended: only_the_card }));
}

async fn what_others_have_stays(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let (ada, bo, cy) = (
        Person::furnish(&house, "ada").await,
        Person::furnish(&house, "bo").await,
        Person::furnish(&house, "cy").await,
    );
    set_active(db, &ada.user, false).await.unwrap();
    delete(db, &bo.user).await.unwrap();
    assert_eq!(cy.alive(db).await, EVERYTHING);
}

async fn a_refused_ending_ends_nothing(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let newer = update(db, &person.user, &named("ada", "e-1")).await.unwrap();
    for refused in [set_active(db, &person.user, false).await.map(drop), delete(db, &person.user).await] {
        assert!(matches!(refused, Err(DirectoryError::VersionMismatch)), "{refused:?}");
    }
    assert_eq!(person.alive(db).await, EVERYTHING);
    assert_eq!(current(db, person.user.id).await, newer);
}

async fn ending_a_session_ends_its_grants_and_no_others(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let (other, _) = open(db, person.user.id).await.unwrap();
    let elsewhere = change(db, async |tx| crate::people::grant_in(tx, &other).await).await.unwrap();
    let end = || change(db, async |tx| session::end(tx, person.session.id).await);
    assert!(end().await.unwrap());
    assert!(!end().await.unwrap(), "it ends once");
    assert_eq!(person.alive(db).await, ["invitation", "card", "doors"]);
    assert!(session::grant::live(db, elsewhere).await.unwrap().is_some());
    assert_eq!(house.facts("session.ended").await, 1);
}

async fn every_client_with_a_grant_stands_in_the_fact_and_those_who_listen_are_told(house: House) {
    let db = &house.db;
    let listening = |name: &str| {
        let mut item = crate::people::client(name);
        item.fields.insert("backchannel_logout_uri".into(), "https://app.example/logout".into());
        item
    };
    let silent = crate::people::client("silent");
    let declared = [listening("app"), listening("elsewhere"), listening("thrifty"), silent];
    declare(db, &declared).await.unwrap();
    let ada = create(db, &profile("ada")).await.unwrap();
    let (session, _) = open(db, ada.id).await.unwrap();
    let (other, _) = open(db, ada.id).await.unwrap();
    let mut last = None;
    for (session, client) in [
        (&session, "app"),
        (&session, "app"),
        (&session, "silent"),
        (&other, "elsewhere"),
        (&other, "thrifty"),
    ] {
        let asked = session::grant::GrantRequest {
            client,
            scope: "openid",
            acr: "aal1",
            network: "internal",
            lasts: crate::people::HOUR,
        };
        last = Some(change(db, async |tx| session::grant::create(tx, session, &asked).await).await.unwrap());
    }
    let grant = last.unwrap();
    let given_back = change(db, async |tx| session::grant::end(tx, grant, "revoked-by-client").await).await;
    assert!(given_back.unwrap());
    change(db, async |tx| session::end(tx, session.id).await).await.unwrap();
    let fact = ending_fact(&house, "session.ended").await;
    let of_session = session.id.subject().to_string();
    assert_eq!(about(&house, &fact).await, ["client:app".to_owned(), "client:silent".to_owned(), of_session]);
    assert_eq!(house.due(session::LOGOUT_SINK).await, [("client:app".to_owned(), 1)]);
    house.settle_all().await;
    set_active(db, &ada, false).await.unwrap();
    assert_eq!(
        house.due(session::LOGOUT_SINK).await,
        [("client:elsewhere".to_owned(), 1), ("client:thrifty".to_owned(), 1)],
        "the others know, and who gave its tokens back does not"
    );
}

async fn a_refresh_token_gives_one_successor_and_is_dead_with_what_it_rests_on(house: House) {
    use session::refresh::{self, Worth};
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let first = kernel::Token::generate(db.ctx(), refresh::PREFIX);
    let (redemption, values) = session::code::redemption(person.code.expose(), &first, db.ctx().now());
    assert_eq!(db.change(store::Origin::system(), redemption, values, Vec::new()).await.unwrap(), 1);
    let found = refresh::find(db, first.expose()).await.unwrap().unwrap();
    let grant = &found.basis.granted.grant;
    assert_eq!((grant.id, found.worth(db.ctx().now())), (person.grant, Worth::Fresh));
    let next: Vec<_> = (0..2).map(|_| kernel::Token::generate(db.ctx(), refresh::PREFIX)).collect();
    let rotate = async |successor| {
        let origin = store::Origin::system();
        refresh::rotate(db, origin, first.expose(), grant, successor, "jti").await.unwrap()
    };
    assert!(rotate(&next[0]).await);
    assert!(!rotate(&next[0]).await && !rotate(&next[1]).await, "one successor");
    let used = refresh::find(db, first.expose()).await.unwrap().unwrap();
    assert_eq!(used.worth(db.ctx().now()), Worth::Answered(next[0].hash().as_str().to_owned()));
    assert_eq!(used.worth(db.ctx().now().plus(refresh::ANSWER_TIME)), Worth::Spent);
    assert_eq!(refresh::find(db, next[1].expose()).await.unwrap(), None);
    set_active(db, &person.user, false).await.unwrap();
    assert_eq!(refresh::find(db, next[0].expose()).await.unwrap(), None);
    let after = kernel::Token::generate(db.ctx(), refresh::PREFIX);
    let origin = store::Origin::system();
    assert!(!refresh::rotate(db, origin, next[0].expose(), grant, &after, "jti").await.unwrap());
    assert_eq!(house.facts("grant.refreshed").await, 1);
}
