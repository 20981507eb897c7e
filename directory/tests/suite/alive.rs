//! What is alive stands in six statements (`session/code.rs`, `session/refresh.rs`, `session/grant.rs`), since each is
//! one literal. Here they are held against each other: whatever ends, it ends for all.
//!
//! To add something that can end: a variant of [`End`]. To add a statement that asks: a line in [`Presented::alive`].

use directory::session::code::{self, Code, Redemption};
use directory::session::{grant, refresh};
use directory::{consent, declared};
use kernel::Token;
use store::{Db, Origin, sql};

use crate::house::{House, change};
use crate::people::{CLIENT, Person, Reversed, code_in, company, declare};

on_both_engines! {
    what_has_ended_has_ended_for_every_statement_that_asks,
}

/// What ends, and by itself: in life an end takes others with it, behind which a statement that does not ask would
/// hide.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Nothing,
    Session,
    TimeOfSession,
    Grant,
    TimeOfGrant,
    ActivityOfUser,
    User,
    Epoch,
    Consent,
    Client,
}

impl End {
    /// The client last: nobody is furnished after it.
    const ALL: [End; 10] = [
        End::Nothing,
        End::Session,
        End::TimeOfSession,
        End::Grant,
        End::TimeOfGrant,
        End::ActivityOfUser,
        End::User,
        End::Epoch,
        End::Consent,
        End::Client,
    ];
}

/// Every statement that asks, as [`Presented::alive`] calls them.
const STATEMENTS: [&str; 6] = [
    "code::find",
    "code::redeem",
    "refresh::find",
    "refresh::rotate",
    "grant::live",
    "grant::live_with_client",
];

/// A person, and what can be presented in their name: everything of one grant.
struct Presented {
    person: Person,
    code: Token,
    found: Code,
    refresh: Token,
}

impl Presented {
    async fn furnish(house: &House, user_name: &str) -> Self {
        let db = &house.db;
        let person = Person::furnish(house, user_name).await;
        let refresh = Token::generate(db.ctx(), refresh::PREFIX);
        let first = code::find(db, person.code.expose()).await.unwrap().unwrap();
        assert_eq!(redeem(db, &person.code, &first, &refresh).await, Redemption::Done);
        let code = change(db, async |tx| code_in(tx, person.grant).await).await.unwrap();
        let found = code::find(db, code.expose()).await.unwrap().unwrap();
        change(db, async |tx| consent::give(tx, person.user.id, CLIENT, "openid").await).await.unwrap();
        Self { person, code, found, refresh }
    }

    async fn end(&self, db: &Db, what: End) {
        let text = match what {
            End::Nothing => return,
            End::Session => sql!(
                "UPDATE session SET ended_at = $2 WHERE id = (SELECT session_id FROM oauth_grant WHERE id = $1)"
            ),
            End::TimeOfSession => sql!(
                "UPDATE session SET expires_at = $2 WHERE id = (SELECT session_id FROM oauth_grant WHERE id = $1)"
            ),
            End::Grant => sql!("UPDATE oauth_grant SET ended_at = $2 WHERE id = $1"),
            End::TimeOfGrant => sql!("UPDATE oauth_grant SET expires_at = $2 WHERE id = $1"),
            End::ActivityOfUser => sql!(
                "UPDATE users SET active = FALSE, updated_at = $2 \
                 WHERE id = (SELECT user_id FROM oauth_grant WHERE id = $1)"
            ),
            End::User => sql!(
                "UPDATE users SET deleted_at = $2 WHERE id = (SELECT user_id FROM oauth_grant WHERE id = $1)"
            ),
            End::Epoch => sql!(
                "UPDATE users SET access_epoch = access_epoch + 1, updated_at = $2 \
                 WHERE id = (SELECT user_id FROM oauth_grant WHERE id = $1)"
            ),
            End::Consent => {
                let user = self.person.user.id;
                let withdrawn = change(db, async |tx| consent::withdraw(tx, user, CLIENT).await).await;
                return assert!(withdrawn.unwrap());
            }
            End::Client => {
                let all = declared::read_all(db, &Reversed).await.unwrap();
                let client = all.into_iter().find(|item| item.name == CLIENT).unwrap();
                return change(db, async |tx| declared::delete(tx, &client).await).await.unwrap();
            }
        };
        let parameters = (self.person.grant, db.ctx().now());
        assert_eq!(db.change(Origin::system(), text, parameters, Vec::new()).await.unwrap(), 1, "{what:?}");
    }

    /// The statements to which it is alive. Uses it up.
    async fn alive(self, db: &Db) -> Vec<&'static str> {
        let next = || Token::generate(db.ctx(), refresh::PREFIX);
        let (grant, presented) = (self.person.grant, self.refresh.expose());
        let code = code::find(db, self.code.expose()).await.unwrap();
        let refreshed = refresh::find(db, presented).await.unwrap();
        let redeemed = redeem(db, &self.code, &self.found, &next()).await;
        let of_grant = &self.found.basis.granted.grant;
        let rotated = refresh::rotate(db, Origin::system(), presented, of_grant, &next(), "jti").await;
        let alive = [
            code.is_some_and(|code| code.lives),
            redeemed == Redemption::Done,
            refreshed.is_some(),
            rotated.unwrap(),
            grant::live(db, grant).await.unwrap().is_some(),
            grant::live_with_client(db, grant).await.unwrap().is_some(),
        ];
        STATEMENTS.into_iter().zip(alive).filter_map(|(name, alive)| alive.then_some(name)).collect()
    }
}

async fn redeem(db: &Db, presented: &Token, code: &Code, first: &Token) -> Redemption {
    code::redeem(db, Origin::system(), presented.expose(), code, first, "jti").await.unwrap()
}

async fn what_has_ended_has_ended_for_every_statement_that_asks(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    for (at, what) in End::ALL.into_iter().enumerate() {
        let presented = Presented::furnish(&house, &format!("person-{at}")).await;
        presented.end(db, what).await;
        let expect: &[&str] = if what == End::Nothing { &STATEMENTS } else { &[] };
        assert_eq!(presented.alive(db).await, expect, "{what:?} has ended");
    }
}
