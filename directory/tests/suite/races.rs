//! Transactions that overlap: on PostgreSQL really, on SQLite by waiting for their turn. Whoever comes second sees
//! what the first has done, or what both did is as if they had come one after the other.

use directory::credential::{self, Credential};
use directory::session::{self, Session, grant};
use directory::user::{self, User};
use directory::{DirectoryError, authenticator, declared, invitation};
use kernel::Token;
use kernel::id::{CredentialId, GrantId};
use store::{Db, Tx};
use tokio::task::JoinSet;

use crate::house::{House, begin, change, let_others_work};
use crate::people::{
    CLIENT, ISSUER, POOL, Person, Reversed, accept_in, client, code_in, company, create, current, declare,
    exchange, exchange_in, grant_in, open, pool, profile, set_active, set_active_in, sign_in,
};

on_both_engines! {
    what_begins_while_an_account_ends_is_dead,
    what_begins_after_an_account_began_to_end_is_dead,
    two_hundred_sessions_opened_while_the_account_ends_are_dead,
    of_twenty_who_redeem_a_code_one_does_and_the_grant_ends,
    of_twenty_who_use_an_invitation_one_sets_the_password,
    of_twenty_cards_handed_out_at_once_none_is_handed_out_twice,
    pools_that_cross_hand_out_no_number_twice_at_once,
    of_twenty_who_take_a_name_at_once_one_has_it,
    of_twenty_updates_of_one_version_one_is_made,
    sessions_and_accounts_that_end_at_once_do_not_block_each_other,
    a_client_that_goes_takes_the_grant_that_was_being_made,
}

/// How an account ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    Deactivated,
    Deleted,
}

impl Cause {
    async fn happens(self, tx: &mut Tx, user: &User) -> Result<(), DirectoryError> {
        match self {
            Cause::Deactivated => set_active_in(tx, user, false).await.map(drop),
            Cause::Deleted => user::delete(tx, user).await,
        }
    }
}

/// What may be under way meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Thing {
    Session,
    Grant,
    Code,
    Redemption,
    Invitation,
    Password,
    Card,
    ResumedCard,
}

const THINGS: [Thing; 8] = [
    Thing::Session,
    Thing::Grant,
    Thing::Code,
    Thing::Redemption,
    Thing::Invitation,
    Thing::Password,
    Thing::Card,
    Thing::ResumedCard,
];

/// What came of it.
enum Made {
    Session(Token),
    Grant(GrantId),
    Code(Token),
    Invitation(Token),
    Password,
    Card(CredentialId),
    Nothing,
}

/// What things are made of: had before the account begins to end.
struct Before {
    user: User,
    session: Session,
    grant: GrantId,
    code: Token,
    invitation: Token,
    suspended: Credential,
}

impl Before {
    async fn of(house: &House, name: &str) -> Self {
        let Person { user, session, grant, code, invitation, card, .. } = Person::furnish(house, name).await;
        let db = &house.db;
        change(db, async |tx| credential::end(tx, &card, credential::State::Suspended, None).await)
            .await
            .unwrap();
        let suspended = credential::get(db, card.id).await.unwrap().unwrap();
        Self { user, session, grant, code, invitation, suspended }
    }

    async fn begin(&self, thing: Thing, tx: &mut Tx) -> Result<Made, DirectoryError> {
        Ok(match thing {
            Thing::Session => Made::Session(session::open(tx, &sign_in(self.user.id)).await?.1),
            Thing::Grant => Made::Grant(grant_in(tx, &self.session).await?),
            Thing::Code => Made::Code(code_in(tx, self.grant).await?),
            Thing::Redemption => match exchange_in(tx, self.code.expose()).await? {
                true => Made::Grant(self.grant),
                false => Made::Nothing,
            },
            Thing::Invitation => Made::Invitation(invitation::create(tx, ISSUER, self.user.id).await?),
            Thing::Password => match accept_in(tx, self.invitation.expose(), "$hash").await? {
                true => Made::Password,
                false => Made::Nothing,
            },
            Thing::Card => match credential::issue(tx, self.user.id, POOL).await? {
                Some(card) => Made::Card(card.id),
                None => Made::Nothing,
            },
            Thing::ResumedCard => {
                credential::resume(tx, &self.suspended, None).await?;
                Made::Card(self.suspended.id)
            }
        })
    }
}

async fn is_alive(db: &Db, made: &Made) -> bool {
    match made {
        Made::Session(cookie) => session::by_token(db, cookie.expose()).await.unwrap().is_some(),
        Made::Grant(grant) => grant::live(db, *grant).await.unwrap().is_some(),
        Made::Code(code) => {
            let mut tx = begin(db).await;
            let granted = exchange_in(&mut tx, code.expose()).await.unwrap();
            tx.refuse().await.unwrap();
            granted
        }
        Made::Invitation(token) => invitation::find(db, ISSUER, token.expose()).await.unwrap().is_some(),
        Made::Card(card) => credential::get(db, *card).await.unwrap().unwrap().is_active(),
        Made::Password | Made::Nothing => false,
    }
}

async fn is_dead_for_good(house: &House, cause: Cause, thing: Thing, user: &User, made: &Made) {
    let db = &house.db;
    assert!(!is_alive(db, made).await, "{thing:?} while {cause:?}");
    if cause == Cause::Deactivated {
        let user = current(db, user.id).await;
        assert!(!user.active, "{thing:?}");
        set_active(db, &user, true).await.unwrap();
        assert!(!is_alive(db, made).await, "{thing:?} came back");
    }
}

/// The thing is made and not committed when the account ends.
async fn what_begins_while_an_account_ends_is_dead(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    for cause in [Cause::Deactivated, Cause::Deleted] {
        for thing in THINGS {
            let before = Before::of(&house, &format!("{cause:?}-{thing:?}")).await;
            let mut tx = begin(db).await;
            let made = before.begin(thing, &mut tx).await;
            let finish = async {
                let_others_work().await;
                tx.end(made).await
            };
            let end = change(db, async |tx| cause.happens(tx, &before.user).await);
            let (made, ended) = tokio::join!(finish, end);
            ended.unwrap_or_else(|error| panic!("{cause:?} during {thing:?}: {error}"));
            let made = made.unwrap_or_else(|error| panic!("{thing:?} during {cause:?}: {error}"));
            is_dead_for_good(&house, cause, thing, &before.user, &made).await;
        }
    }
}

/// The account has ended, not yet committed, when the thing is made.
async fn what_begins_after_an_account_began_to_end_is_dead(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    for cause in [Cause::Deactivated, Cause::Deleted] {
        for thing in THINGS {
            let before = Before::of(&house, &format!("{cause:?}-{thing:?}")).await;
            let mut tx = begin(db).await;
            let ended = cause.happens(&mut tx, &before.user).await;
            let finish = async {
                let_others_work().await;
                tx.end(ended).await
            };
            let (ended, made) = tokio::join!(finish, change(db, async |tx| before.begin(thing, tx).await));
            ended.unwrap_or_else(|error| panic!("{cause:?} before {thing:?}: {error}"));
            assert!(!matches!(made, Ok(Made::Password)), "a password was set after the account had ended");
            let made = match made {
                Ok(made) => made,
                Err(DirectoryError::NotFound(_) | DirectoryError::VersionMismatch) => Made::Nothing,
                Err(error) => panic!("{thing:?} after {cause:?}: {error}"),
            };
            is_dead_for_good(&house, cause, thing, &before.user, &made).await;
            assert_eq!(authenticator::password::verifier(db, before.user.id).await.unwrap(), None);
        }
    }
}

async fn two_hundred_sessions_opened_while_the_account_ends_are_dead(house: House) {
    let db = &house.db;
    let mut user = create(db, &profile("ada")).await.unwrap();
    let mut opened = 0;
    for round in 0..200 {
        let (sign_in, leave) =
            (tokio::spawn(opens(db.clone(), user.clone())), tokio::spawn(leaves(db.clone(), user)));
        let (session, off) = (sign_in.await.unwrap(), leave.await.unwrap());
        user = set_active(db, &off, true).await.unwrap();
        if let Ok(cookie) = session {
            opened += 1;
            let found = session::by_token(db, cookie.expose()).await.unwrap();
            assert_eq!(found, None, "round {round}");
        }
    }
    assert!(opened > 0, "no session was opened in time: nothing was tried");
}

async fn opens(db: Db, user: User) -> Result<Token, DirectoryError> {
    let mut tx = begin(&db).await;
    let opened = session::open(&mut tx, &sign_in(user.id)).await;
    tx.end(opened).await.map(|(_, cookie)| cookie)
}

async fn leaves(db: Db, user: User) -> User {
    let mut tx = begin(&db).await;
    let ended = set_active_in(&mut tx, &user, false).await;
    tx.end(ended).await.unwrap()
}

async fn of_twenty_who_redeem_a_code_one_does_and_the_grant_ends(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let mut all = JoinSet::new();
    for _ in 0..20 {
        let (db, code) = (db.clone(), person.code.clone());
        all.spawn(async move { exchange(&db, code.expose()).await.unwrap() });
    }
    let answers = all.join_all().await;
    assert_eq!(answers.iter().filter(|redeemed| **redeemed).count(), 1, "{answers:?}");
    assert_eq!(grant::live(db, person.grant).await.unwrap(), None, "one of them is a thief");
    assert_eq!(house.facts("grant.ended").await, 1);
}

async fn of_twenty_who_use_an_invitation_one_sets_the_password(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let person = Person::furnish(&house, "ada").await;
    let mut all = JoinSet::new();
    for n in 0..20 {
        let (db, token) = (db.clone(), person.invitation.clone());
        all.spawn(async move {
            let mut tx = begin(&db).await;
            let accepted = accept_in(&mut tx, token.expose(), &format!("$hash-{n}")).await;
            (n, tx.end(accepted).await.unwrap())
        });
    }
    let winners: Vec<i32> =
        all.join_all().await.into_iter().filter_map(|(n, accepted)| accepted.then_some(n)).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let verifier = authenticator::password::verifier(db, person.user.id).await.unwrap();
    assert_eq!(verifier, Some(format!("$hash-{}", winners[0])));
    assert_eq!(house.facts("authenticator.password-set").await, 1);
}

async fn issues(db: Db, user: User, pool: &'static str) -> Option<i64> {
    let mut tx = begin(&db).await;
    let issued = credential::issue(&mut tx, user.id, pool).await;
    tx.end(issued).await.unwrap().map(|card| card.number)
}

async fn of_twenty_cards_handed_out_at_once_none_is_handed_out_twice(house: House) {
    let db = &house.db;
    declare(db, &[pool(POOL, 1, 15)]).await.unwrap();
    let mut all = JoinSet::new();
    for n in 0..20 {
        let user = create(db, &profile(&format!("user-{n}"))).await.unwrap();
        all.spawn(issues(db.clone(), user, POOL));
    }
    let mut numbers: Vec<_> = all.join_all().await.into_iter().flatten().collect();
    numbers.sort();
    assert_eq!(numbers, (1..=15).collect::<Vec<_>>(), "each number once, and five find the pool empty");
}

async fn pools_that_cross_hand_out_no_number_twice_at_once(house: House) {
    let db = &house.db;
    declare(db, &[pool("low", 1, 14), pool("high", 7, 20)]).await.unwrap();
    let mut all = JoinSet::new();
    for n in 0..28 {
        let user = create(db, &profile(&format!("user-{n}"))).await.unwrap();
        all.spawn(issues(db.clone(), user, if n % 2 == 0 { "low" } else { "high" }));
    }
    let mut numbers: Vec<_> = all.join_all().await.into_iter().flatten().collect();
    numbers.sort();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

async fn of_twenty_who_take_a_name_at_once_one_has_it(house: House) {
    let mut all = JoinSet::new();
    for n in 0..20 {
        let db = house.db.clone();
        let name = if n % 2 == 0 { "Straße" } else { "STRASSE" };
        all.spawn(async move { create(&db, &profile(name)).await });
    }
    let answers = all.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let taken = |answer: &&Result<User, _>| matches!(answer, Err(DirectoryError::Taken("userName")));
    assert_eq!(answers.iter().filter(taken).count(), 19, "{answers:?}");
    assert_eq!(user::count(&house.db).await.unwrap(), 1);
    assert_eq!(house.facts("user.created").await, 1);
}

async fn of_twenty_updates_of_one_version_one_is_made(house: House) {
    let db = &house.db;
    let user = create(db, &profile("ada")).await.unwrap();
    let mut all = JoinSet::new();
    for n in 0..20 {
        let (db, user) = (db.clone(), user.clone());
        all.spawn(async move { crate::people::update(&db, &user, &profile(&format!("ada-{n}"))).await });
    }
    let answers = all.join_all().await;
    let made: Vec<&User> = answers.iter().flatten().collect();
    assert_eq!(made.len(), 1);
    let refused = |answer: &&Result<User, _>| matches!(answer, Err(DirectoryError::VersionMismatch));
    assert_eq!(answers.iter().filter(refused).count(), 19, "{answers:?}");
    assert_eq!(&current(db, user.id).await, made[0]);
    assert_eq!(house.facts("user.changed").await, 1);
}

/// Both take sessions, codes and grants; in different orders they would wait for each other.
async fn sessions_and_accounts_that_end_at_once_do_not_block_each_other(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    for round in 0..20 {
        let person = Person::furnish(&house, &format!("user-{round}")).await;
        let mut all = JoinSet::new();
        for n in 0..6 {
            let (db, code, session, grant) =
                (db.clone(), person.code.clone(), person.session.id, person.grant);
            all.spawn(async move {
                let mut tx = begin(&db).await;
                let done = match n % 3 {
                    0 => session::end(&mut tx, session).await,
                    1 => grant::end(&mut tx, grant, "revoked-by-client").await,
                    _ => exchange_in(&mut tx, code.expose()).await,
                };
                tx.end(done).await.map(drop).map_err(DirectoryError::from)
            });
        }
        let (leaver, user) = (db.clone(), person.user.clone());
        all.spawn(async move { set_active(&leaver, &user, false).await.map(drop) });
        let answers = all.join_all().await;
        assert!(answers.iter().all(Result::is_ok), "round {round}: {answers:?}");
        assert!(person.alive(db).await.is_empty());
    }
}

async fn a_client_that_goes_takes_the_grant_that_was_being_made(house: House) {
    let db = &house.db;
    declare(db, &[client(CLIENT)]).await.unwrap();
    let user = create(db, &profile("ada")).await.unwrap();
    let (session, _) = open(db, user.id).await.unwrap();
    let found = declared::read_all(db, &Reversed).await.unwrap().remove(0);
    let mut tx = begin(db).await;
    let made = async {
        let grant = grant_in(&mut tx, &session).await?;
        code_in(&mut tx, grant).await?;
        Ok::<_, store::StoreError>(grant)
    }
    .await;
    let finish = async {
        let_others_work().await;
        tx.end(made).await
    };
    let (grant, gone) = tokio::join!(finish, change(db, async |tx| declared::delete(tx, &found).await));
    gone.unwrap();
    assert_eq!(grant::live(db, grant.unwrap()).await.unwrap(), None);
    assert_eq!(house.count(store::sql!("SELECT COUNT(*) FROM authorization_code")).await, 0);
}
