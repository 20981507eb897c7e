//! How things stand, in no language: people, where they are signed in, what they carry to which doors.
//!
//! Sessions at apps are what the apps themselves hold; the one at the provider, cards and placements are the
//! directory's and the bridge's.

use std::sync::Arc;

use bridge::connector::AckLevel;
use bridge::{placement, receipt};
use directory::{credential, session, user};
use kernel::id::UserId;
use sim::relying_party::{Ended, RelyingParty};
use store::{Db, StoreError};
use url::Url;

use super::play::Done;
use crate::stage::{Stage, payload};

/// More people than the story has.
const PEOPLE: i64 = 50;

/// How things stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// Who was hired last comes first.
    pub(super) people: Vec<Arc<PersonPicture>>,
    /// What was done last.
    pub(super) done: Option<Done>,
}

/// One person.
#[derive(Clone, Debug)]
pub(super) struct PersonPicture {
    pub(super) id: UserId,
    pub(super) name: String,
    /// Title and department.
    pub(super) about: String,
    pub(super) user_name: String,
    /// Where the person's letters are shown, and how many there are.
    pub(super) mailbox: Option<(Url, usize)>,
    pub(super) active: bool,
    /// The rung of the living session at the provider, if there is one.
    pub(super) provider: Option<String>,
    pub(super) apps: Vec<SignedIn>,
    pub(super) cards: Vec<CardPicture>,
    pub(super) receipt: Option<ReceiptPicture>,
}

/// The latest local session at an app.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    pub(super) app: String,
    pub(super) assurance: String,
    pub(super) ended: Option<Ended>,
}

/// A card, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct CardPicture {
    pub(super) number: String,
    pub(super) placements: Vec<Placed>,
}

/// A card on one door system.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) system: String,
    /// Whether it is to be there; else it is to be gone.
    pub(super) wanted: bool,
    pub(super) level: AckLevel,
    pub(super) doors: Vec<String>,
}

impl Placed {
    /// Nothing below A2 is called revoked.
    pub(super) fn is_revoked(&self) -> bool {
        !self.wanted && self.level >= AckLevel::ReadBack
    }
}

/// The latest edition of a receipt.
#[derive(Clone, Debug)]
pub(super) struct ReceiptPicture {
    pub(super) edition: i64,
    pub(super) proven: usize,
    pub(super) doors: usize,
    pub(super) level: Option<AckLevel>,
}

impl Picture {
    pub(super) async fn take(stage: &Stage, done: Option<Done>) -> Result<Self, StoreError> {
        let mut people = Vec::new();
        for user in user::page(&stage.house.db, None, PEOPLE).await? {
            people.push(Arc::new(person(stage, user).await?));
        }
        people.reverse();
        Ok(Self { people, done })
    }
}

async fn person(stage: &Stage, user: user::User) -> Result<PersonPicture, StoreError> {
    let db = &stage.house.db;
    let sessions = session::of_user(db, user.id).await?;
    let strongest = sessions.iter().map(session::Session::assurance).max();
    let about: Vec<String> = [user.title, user.department].into_iter().flatten().collect();
    let address = user.email.as_deref().unwrap_or(&user.user_name);
    let mailbox = stage.mail.as_ref().map(|mail| (mail.mailbox(address), mail.letters_to(address).len()));
    Ok(PersonPicture {
        id: user.id,
        about: about.join(" · "),
        mailbox,
        active: user.active,
        provider: strongest.map(|rung| rung.to_string()),
        apps: [&stage.app, &stage.control].into_iter().filter_map(|app| signed_in(app, user.id)).collect(),
        cards: cards(db, user.id).await?,
        receipt: latest_receipt(db, user.id).await?,
        name: user.display_name.unwrap_or_else(|| user.user_name.clone()),
        user_name: user.user_name,
    })
}

fn signed_in(app: &RelyingParty, user: UserId) -> Option<SignedIn> {
    let subject = user.to_string();
    let last = app.sessions().into_iter().rfind(|local| local.session.subject() == subject)?;
    let assurance = last.session.claims["acr"].as_str().unwrap_or_default().to_owned();
    Some(SignedIn { app: app.name().to_owned(), assurance, ended: last.ended })
}

async fn cards(db: &Db, user: UserId) -> Result<Vec<CardPicture>, StoreError> {
    let placements = placement::of_user(db, user).await?;
    let cards = credential::of_user(db, user).await?;
    let placed = |placement: &placement::Placement| Placed {
        system: placement.door_system.clone(),
        wanted: placement.wanted != placement::ABSENT,
        level: placement.level(),
        doors: placement.points().into_keys().map(|point| readable(&point.0)).collect(),
    };
    let card = |card: credential::Credential| CardPicture {
        number: format!("{} {}", card.facility, card.number),
        placements: placements.iter().filter(|one| one.credential_id == card.id).map(placed).collect(),
    };
    Ok(cards.into_iter().map(card).collect())
}

async fn latest_receipt(db: &Db, user: UserId) -> Result<Option<ReceiptPicture>, StoreError> {
    let Some(edition) = receipt::latest(db, user).await? else { return Ok(None) };
    let said = payload(&edition.document).unwrap_or_default();
    let doors = said["doors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let levels: Vec<AckLevel> =
        doors.iter().filter_map(|door| AckLevel::from_code(door["level"].as_str()?)).collect();
    Ok(Some(ReceiptPicture {
        edition: edition.revision,
        proven: levels.iter().filter(|level| **level >= AckLevel::ReadBack).count(),
        doors: doors.len(),
        level: levels.into_iter().min(),
    }))
}

/// A name from a declaration as one reads it: `control-room-door`.
pub(super) fn readable(name: &str) -> String {
    name.replace('-', " ")
}
