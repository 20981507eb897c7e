//! Why a letter is written, read off the fact that asks for it.

use directory::authenticator::password::verifier;
use directory::facts::{AuthenticatorAdded, AuthenticatorRemoved, PasswordSet, UserActivated, UserCreated};
use directory::invitation::Purpose;
use kernel::id::UserId;
use store::{Db, Fact, FactBody, SinkError, StoreError, StoredFact};
use web::Locale;

use super::facts::{InvitationAsked, RecoveryAsked};

const ADDED: &str = "authenticator-added";
const REMOVED: &str = "authenticator-removed";

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
            AuthenticatorAdded::KIND,
            AuthenticatorRemoved::KIND,
        ]
        .contains(&kind),
    }
}

/// What a fact asks for, when somebody comes to it.
#[derive(Debug)]
pub(super) enum Asked {
    /// This letter.
    Letter(Occasion),
    /// Nothing after all.
    Nothing,
    /// This letter, but what it should say was erased meanwhile.
    Erased(&'static str),
}

impl Occasion {
    /// What a fact asks for, now that somebody comes to it.
    ///
    /// # Errors
    /// When another release recorded the fact in a version that this one does not read.
    pub(super) async fn of(db: &Db, fact: &StoredFact, user: UserId) -> Result<Asked, SinkError> {
        let invitation = Self::Link(Purpose::Invitation, None);
        // One who was hired ahead of time, or comes back: who has a password needs no link.
        let comes = [UserCreated::KIND, UserActivated::KIND].contains(&fact.kind.as_str());
        if comes && has_password(db, user).await? {
            return Ok(Asked::Nothing);
        }
        Ok(match fact.kind.as_str() {
            UserCreated::KIND => match body::<UserCreated>(fact)? {
                Some(UserCreated { active: false, .. }) => Asked::Nothing,
                Some(_) => Asked::Letter(invitation),
                None => Asked::Erased(invitation.letter()),
            },
            UserActivated::KIND | InvitationAsked::KIND => Asked::Letter(invitation),
            RecoveryAsked::KIND => told(fact, Purpose::Recovery.as_str(), |asked: RecoveryAsked| {
                Self::Link(Purpose::Recovery, Locale::first_of([asked.language.as_str()]))
            })?,
            PasswordSet::KIND => Asked::Letter(Self::PasswordSet),
            AuthenticatorAdded::KIND => {
                told(fact, ADDED, |added: AuthenticatorAdded| Self::Added(added.kind))?
            }
            AuthenticatorRemoved::KIND => {
                told(fact, REMOVED, |removed: AuthenticatorRemoved| Self::Removed(removed.kind))?
            }
            _ => Asked::Nothing,
        })
    }

    /// As facts name the letter.
    pub(super) const fn letter(&self) -> &'static str {
        match self {
            Self::Link(purpose, _) => purpose.as_str(),
            Self::PasswordSet => "password-set",
            Self::Added(_) => ADDED,
            Self::Removed(_) => REMOVED,
        }
    }
}

async fn has_password(db: &Db, user: UserId) -> Result<bool, StoreError> {
    Ok(verifier(db, user).await?.is_some())
}

/// The letter that the body of a fact tells of.
fn told<B: FactBody>(
    fact: &StoredFact,
    letter: &'static str,
    occasion: impl FnOnce(B) -> Occasion,
) -> Result<Asked, SinkError> {
    Ok(body(fact)?.map_or(Asked::Erased(letter), |body| Asked::Letter(occasion(body))))
}

/// `None` when it was erased.
fn body<B: FactBody>(fact: &StoredFact) -> Result<Option<B>, SinkError> {
    let body = fact.read();
    if body.is_none() && !fact.is_erased() {
        let kind = B::KIND;
        return Err(SinkError::Retry(format!("another release recorded {kind}; this one cannot read it")));
    }
    Ok(body)
}
