//! Letters to people: a sink. Facts that ask for a letter go in, letters go out, in order per user.
//!
//! - A link to set a password: when HR hires ([`route`] with `invite_on_hire`), when the administrator asks
//!   ([`ask_invitation`]), and when somebody forgot it ([`mod@crate::recover`]).
//! - Notice to the person when the password was set, or an authenticator came or went. It has no link: whoever
//!   expects links in such letters follows those of others.
//!
//! A fact only asks. The link is made here when its letter is first written, and kept sealed until the mail
//! server has taken the letter (`directory::invitation::letter`), so a letter that is sent twice is the same
//! letter, with the same link and the same `Message-ID`: the delivery's id. Links are made from the issuer.
//!
//! What cannot be written is said by a fact (`letter.not-sent`) and is over. What cannot be sent now is tried
//! again for a day; what the server refuses for good is kept as a dead letter: see `cardea deliveries`.
//!
//! To add a letter: a variant of [`Occasion`], its words in `templates/messages`, its sample in the test of all
//! letters.

mod facts;
mod occasion;
mod words;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use directory::DirectoryError;
use directory::invitation::letter;
use directory::user::{self, User};
use jiff::tz::TimeZone;
use kernel::id::UserId;
use keys::SealingKeys;
use store::{
    Address, Db, Delivery, Fact, Lane, Origin, Settled, Sink, SinkError, Sinks, StoreError, StoredFact, Tx,
};
use web::mail::{Letter, MailAddress, MailError, MessageId, Post};
use web::{Issuer, Locale};

pub use facts::{FACTS, InvitationAsked, LetterNotSent, LetterSent, RecoveryAsked};
use occasion::Asked;
pub(crate) use occasion::Occasion;
pub(crate) use words::{Given, Words};

/// The sink's name.
pub const SINK: &str = "mail";

/// Sends facts that ask for a letter here. `invite_on_hire`: whoever HR makes active and has no password yet is
/// invited.
pub fn route(sinks: &Sinks, invite_on_hire: bool) {
    sinks.set(SINK, move |fact| {
        let asks = occasion::asks(fact, invite_on_hire);
        asks.then(|| Address::message(SINK, fact.subject.clone())).into_iter().collect()
    });
}

/// How the sink is run: a mail server may be away for some hours.
#[must_use]
pub fn lane() -> Lane {
    Lane { workers: 2, longest_pause: Duration::from_secs(15 * 60), attempts: 100, ..Lane::new(SINK) }
}

/// Asks for a letter with an invitation, in the transaction of whoever wants it.
pub fn ask_invitation(tx: &mut Tx, user: UserId) {
    tx.record(Fact::new(user.subject(), &InvitationAsked {}));
}

/// Writes and posts letters.
pub struct Letters {
    db: Db,
    sealing: SealingKeys,
    post: Arc<dyn Post>,
    issuer: Issuer,
    zone: TimeZone,
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Letters")
    }
}

/// What becomes of a delivery.
enum Outcome {
    /// It cannot be written: why.
    Not(&'static str),
    /// The server took it.
    Sent(Box<Letter>),
}

#[async_trait]
impl Sink for Letters {
    async fn deliver(&self, delivery: &Delivery) -> Result<Settled, SinkError> {
        // Somebody who asked for a recovery gave a name that nobody has.
        let Ok(user) = delivery.subject_id().parse::<UserId>() else { return Ok(Settled::Done) };
        let Some(fact) = delivery.fact(&self.db).await? else {
            return Err(SinkError::Dead("the fact that asked for the letter is gone".into()));
        };
        let (letter, outcome) = match Occasion::of(&self.db, &fact, user).await? {
            Asked::Nothing => return Ok(Settled::Done),
            Asked::Letter(occasion) => {
                (occasion.letter(), self.send(delivery, &fact, user, &occasion).await?)
            }
            // Of a dead letter that is given another life late.
            Asked::Erased(letter) => (letter, Outcome::Not("body-erased")),
        };
        self.settle(delivery, user, letter, outcome).await?;
        Ok(Settled::Already)
    }
}

impl Letters {
    /// `zone` is where the hours in letters are reckoned.
    #[must_use]
    pub fn new(db: Db, sealing: SealingKeys, post: Arc<dyn Post>, issuer: Issuer, zone: TimeZone) -> Self {
        Self { db, sealing, post, issuer, zone }
    }

    async fn send(
        &self,
        delivery: &Delivery,
        fact: &StoredFact,
        user: UserId,
        occasion: &Occasion,
    ) -> Result<Outcome, SinkError> {
        let Some(user) = user::get(&self.db, user).await?.filter(|user| user.active) else {
            return Ok(Outcome::Not("not-active"));
        };
        let Some(email) = user.email.as_deref().filter(|email| !email.is_empty()) else {
            return Ok(Outcome::Not("no-address"));
        };
        let Ok(to) = email.parse::<MailAddress>() else { return Ok(Outcome::Not("bad-address")) };
        let Some((locale, words)) = self.write(fact, &user, occasion).await? else {
            return Ok(Outcome::Not("link-over"));
        };
        let (text, html) = words.render(locale).map_err(|error| SinkError::Dead(error.to_string()))?;
        let id = MessageId::new(delivery.id, &self.issuer);
        let letter = Letter { to, subject: words.subject, text, html, id, date: self.db.ctx().now() };
        self.post.send(&letter).await.map_err(|error| match error {
            MailError::Later(why) => SinkError::Retry(why),
            MailError::Refused(why) => SinkError::Dead(why),
        })?;
        Ok(Outcome::Sent(Box::new(letter)))
    }

    /// `None` when the link of the letter is over.
    async fn write(
        &self,
        fact: &StoredFact,
        user: &User,
        occasion: &Occasion,
    ) -> Result<Option<(Locale, Words)>, SinkError> {
        let given = Given {
            issuer: &self.issuer,
            zone: &self.zone,
            user_name: &user.user_name,
            name: user.display_name.as_deref(),
            at: fact.at,
        };
        let preferred = words::language(user);
        let Occasion::Link(purpose, asked_in) = occasion else {
            let locale = preferred.unwrap_or_default();
            return Ok(Some((locale, Words::of_notice(locale, occasion, &given))));
        };
        let link =
            letter::link(&self.db, &self.sealing, self.issuer.as_str(), fact.id, user.id, *purpose).await;
        let Some(link) = link.map_err(cannot_link)? else { return Ok(None) };
        let locale = asked_in.or(preferred).unwrap_or_default();
        Ok(Some((locale, Words::of_link(locale, *purpose, &link, &given))))
    }

    async fn settle(
        &self,
        delivery: &Delivery,
        user: UserId,
        letter: &str,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.write(Origin::system()).await?;
        let settled = settle_in(&mut tx, delivery, user, letter, &outcome).await;
        tx.end(settled).await
    }
}

/// INVARIANT: the token goes and the delivery with it, or neither.
async fn settle_in(
    tx: &mut Tx,
    delivery: &Delivery,
    user: UserId,
    name: &str,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    letter::taken(tx, delivery.fact).await?;
    delivery.complete(tx).await?;
    let letter = name.to_owned();
    let fact = match outcome {
        Outcome::Not(reason) => {
            Fact::new(user.subject(), &LetterNotSent { letter, reason: (*reason).to_owned() })
        }
        Outcome::Sent(sent) => {
            let (to, message_id) = (sent.to.to_string(), sent.id.as_str().to_owned());
            Fact::new(user.subject(), &LetterSent { letter, to, message_id })
        }
    };
    tx.record(fact.about(delivery.id.subject()));
    Ok(())
}

fn cannot_link(error: DirectoryError) -> SinkError {
    match error {
        DirectoryError::Store(error) => SinkError::Store(error),
        // The operator puts the key back, and the letter goes out.
        error => SinkError::Retry(error.to_string()),
    }
}
