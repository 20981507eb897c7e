//! Why a letter is written, read off the fact that asks for it.

use directory::authenticator::password::verifier;
use directory::facts::{PasswordSet, UserActivated, UserCreated};
use directory::invitation::Purpose;
use kernel::id::UserId;
use serde::Deserialize;
use store::{Db, Fact, FactBody as _, StoreError, StoredFact};
use web::Locale;

use super::facts::{InvitationAsked, RecoveryAsked};

/// Recorded with the authenticators that come and go.
const AUTHENTICATOR_ADDED: &str = "authenticator.added";
const AUTHENTICATOR_REMOVED: &str = "authenticator.removed";

/// Why a letter is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A link is wanted, perhaps in this language.
    Link(Purpose, Option<Locale>),
    /// The password was set.
    PasswordSet,
    /// There is another authenticator, of this kind.
    Added(String),
    /// An authenticator of this kind is gone.
    Removed(String),
}

/// Whether a fact asks for a letter.
pub(super) fn asks(fact: &Fact, invite_on_hire: bool) -> bool {
    match fact.kind {
        UserCreated::KIND | UserActivated::KIND => invite_on_hire,
        kind => [
            InvitationAsked::KIND,
            RecoveryAsked::KIND,
            PasswordSet::KIND,
            AUTHENTICATOR_ADDED,
            AUTHENTICATOR_REMOVED,
        ]
        .contains(&kind),
    }
}

impl Occasion {
    /// `None` when nothing is to be written after all, or the fact's body was erased meanwhile.
    pub(super) async fn of(db: &Db, fact: &StoredFact, user: UserId) -> Result<Option<Self>, StoreError> {
        let invitation = Self::Link(Purpose::Invitation, None);
        Ok(match fact.kind.as_str() {
            UserCreated::KIND => {
                let active = fact.read::<UserCreated>().is_some_and(|created| created.active);
                (active && !has_password(db, user).await?).then_some(invitation)
            }
            // One who was hired ahead of time, or comes back: who has a password needs no link.
            UserActivated::KIND => (!has_password(db, user).await?).then_some(invitation),
            InvitationAsked::KIND => Some(invitation),
            RecoveryAsked::KIND => fact
                .read::<RecoveryAsked>()
                .map(|asked| Self::Link(Purpose::Recovery, Locale::first_of([asked.language.as_str()]))),
            PasswordSet::KIND => Some(Self::PasswordSet),
            AUTHENTICATOR_ADDED => kind_in(fact).map(Self::Added),
            AUTHENTICATOR_REMOVED => kind_in(fact).map(Self::Removed),
            _ => None,
        })
    }

    /// As facts name the letter.
    pub(super) const fn letter(&self) -> &'static str {
        match self {
            Self::Link(purpose, _) => purpose.as_str(),
            Self::PasswordSet => "password-set",
            Self::Added(_) => "authenticator-added",
            Self::Removed(_) => "authenticator-removed",
        }
    }
}

async fn has_password(db: &Db, user: UserId) -> Result<bool, StoreError> {
    Ok(verifier(db, user).await?.is_some())
}

/// The kind of authenticator that a fact is about.
fn kind_in(fact: &StoredFact) -> Option<String> {
    #[derive(Deserialize)]
    struct OfKind {
        kind: String,
    }
    let body: OfKind = serde_json::from_str(fact.body.as_deref()?).ok()?;
    Some(body.kind)
}
