//! Where a sign-in leads: back to an application, or to a page of a person's own account.
//!
//! It travels with the browser as text, as the authorization request does ([`crate::authorize`]), and is read anew and
//! trusted as little at every step. Pages of our own are named by words of a list, so nothing here can lead astray.
//!
//! To add a page of one's own that asks for a sign-in: a variant of [`Own`].

use directory::client::Client;
use web::page::Frame;
use web::{Locale, Params, Passage, fill};

use crate::authorize::Asked;
use crate::error::IdpError;
use crate::steps::Way;
use crate::texts::Texts;
use crate::visit::Visit;
use crate::{Idp, account, enrol, locale};

/// The name of the parameter that says which page of one's own.
const TO: &str = "to";

/// A page of a person's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// What there is.
    Overview,
    /// What one signs in with.
    Methods,
    /// Where one is signed in.
    Sessions,
    /// To which applications.
    Apps,
    /// What one carries to a door.
    Badge,
    /// What happened.
    Activity,
    /// Adding something to sign in with.
    Add(Way),
    /// Taking something away, from the list.
    Remove(Way),
}

impl Own {
    const ALL: [Self; 12] = [
        Self::Overview,
        Self::Methods,
        Self::Sessions,
        Self::Apps,
        Self::Badge,
        Self::Activity,
        Self::Add(Way::Passkey),
        Self::Add(Way::Totp),
        Self::Add(Way::RecoveryCode),
        Self::Remove(Way::Passkey),
        Self::Remove(Way::Totp),
        Self::Remove(Way::RecoveryCode),
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Overview => "account",
            Self::Methods => "methods",
            Self::Sessions => "sessions",
            Self::Apps => "apps",
            Self::Badge => "badge",
            Self::Activity => "activity",
            Self::Add(Way::Passkey) => "add-passkey",
            Self::Add(Way::Totp) => "add-totp",
            Self::Add(Way::RecoveryCode) => "add-recovery-codes",
            Self::Remove(Way::Passkey) => "remove-passkey",
            Self::Remove(Way::Totp) => "remove-totp",
            Self::Remove(Way::RecoveryCode) => "remove-recovery-codes",
        }
    }

    /// Where it is.
    pub(crate) fn path(self) -> String {
        match self {
            Self::Overview => account::PATH.to_owned(),
            Self::Methods | Self::Remove(_) | Self::Add(Way::RecoveryCode) => account::METHODS.to_owned(),
            Self::Sessions => account::SESSIONS.to_owned(),
            Self::Apps => account::APPS.to_owned(),
            Self::Badge => account::BADGE.to_owned(),
            Self::Activity => account::ACTIVITY.to_owned(),
            Self::Add(way) => format!("{}?way={}&{TO}={}", enrol::PATH, way.word(), self.word()),
        }
    }

    /// What one signs in with changes by it.
    pub(crate) const fn changes(self) -> Option<Way> {
        match self {
            Self::Add(way) | Self::Remove(way) => Some(way),
            _ => None,
        }
    }
}

/// Where a sign-in leads.
#[derive(Debug)]
pub(crate) enum Destination {
    Application(Box<Asked>),
    Own(Own),
}

impl Destination {
    /// Reads it from its encoded form.
    ///
    /// # Errors
    /// As [`Asked::read`].
    pub(crate) async fn read(visit: &Visit<'_>, encoded: &str) -> Result<Self, IdpError> {
        let params = Params::parse(encoded.as_bytes())?;
        if let Some(word) = params.one(TO)?
            && !params.has("client_id")
        {
            let own = Own::ALL.into_iter().find(|own| own.word() == word);
            return own.map(Self::Own).ok_or(IdpError::invalid_request("there is no such page"));
        }
        let mut asked = Asked::read(visit.idp, encoded).await?;
        asked.recall(visit);
        Ok(Self::Application(Box::new(asked)))
    }

    /// Its encoded form.
    pub(crate) fn carried(&self) -> String {
        match self {
            Self::Application(asked) => asked.carried(),
            Self::Own(own) => format!("{TO}={}", own.word()),
        }
    }

    /// The same with the path of a step before it.
    pub(crate) fn by_way_of(&self, path: &str) -> String {
        format!("{path}?{}", self.carried())
    }

    /// Notes, if this must be a new sign-in, that it begins now.
    pub(crate) fn begin(&mut self, visit: &Visit<'_>) -> Result<(), IdpError> {
        match self {
            Self::Application(asked) => asked.begin(visit),
            Self::Own(_) => Ok(()),
        }
    }

    pub(crate) fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Application(asked) => Some(asked),
            Self::Own(_) => None,
        }
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.asked().map(|asked| &asked.client)
    }

    pub(crate) fn client_id(&self) -> Option<String> {
        self.client().map(|client| client.id.clone())
    }

    /// Whether only another user than this will do.
    pub(crate) fn is_for_another_than(&self, user: &str) -> bool {
        let only = self.asked().and_then(|asked| asked.wishes.only_user.as_deref());
        only.is_some_and(|only| only != user)
    }

    pub(crate) fn login_hint(&self) -> &str {
        self.asked().and_then(|asked| asked.wishes.login_hint.as_deref()).unwrap_or_default()
    }

    /// The language of the pages on the way.
    pub(crate) fn locale(&self, passage: &Passage) -> Locale {
        locale(passage, self.asked().map_or(&[], |asked| &asked.wishes.ui_locales))
    }

    /// What the pages on the way stand in: their forms may end at the application.
    pub(crate) fn frame(&self, passage: &Passage) -> Frame {
        let frame = Frame::new(passage.id(), self.locale(passage));
        match self {
            Self::Application(asked) => frame.leading_to(&asked.redirect_uri),
            Self::Own(_) => frame,
        }
    }

    /// What the person wants, in words: "to continue to …".
    pub(crate) fn in_words(&self, t: &Texts) -> String {
        self.client().map_or_else(
            || t.sign_in.to_account.clone(),
            |client| fill(&t.sign_in.to, "client", &client.name),
        )
    }

    /// Its name.
    pub(crate) fn name<'a>(&'a self, t: &'a Texts) -> &'a str {
        self.client().map_or(t.account.title.as_str(), |client| client.name.as_str())
    }

    /// Where somebody goes who turns back.
    pub(crate) fn way_back(&self, idp: &Idp) -> String {
        match self {
            Self::Application(asked) => asked.location_of_denied(idp),
            Self::Own(own) if own.changes().is_some() => account::METHODS.to_owned(),
            Self::Own(_) => account::PATH.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_ones_own_has_a_word_of_its_own() {
        let mut words: Vec<&str> = Own::ALL.iter().map(|own| own.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Own::ALL.len());
        assert!(Own::ALL.iter().all(|own| own.path().starts_with('/')));
    }
}
