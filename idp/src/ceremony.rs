//! WebAuthn between browser and directory: what a page carries so that its script can ask for a passkey, and what the
//! browser posts back.
//!
//! The challenge and its state travel sealed with the browser and are good once, for this browser and this purpose.

use directory::authenticator::passkey::{self, PasskeyError, Proof};
use kernel::id::UserId;
use serde::{Deserialize, Serialize};
use web::Params;

use crate::error::IdpError;
use crate::sealed::{self, Purpose};
use crate::visit::Visit;

/// A sign-in page may stand open for a while before somebody uses it.
const SIGNING_IN: Purpose = Purpose::new("passkey-sign-in", 30);
const STEPPING_UP: Purpose = Purpose::new("passkey-step-up", 5);

/// Who is asked for a passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Whoever is there.
    Anybody,
    /// Somebody who is signed in.
    User(UserId),
}

impl Asking {
    const fn purpose(self) -> Purpose {
        match self {
            Self::Anybody => SIGNING_IN,
            Self::User(_) => STEPPING_UP,
        }
    }
}

/// A form that the script of our pages sends with a passkey's answer.
#[derive(Debug)]
pub(crate) struct PasskeyForm {
    pub(crate) action: &'static str,
    /// `get` or `create`.
    pub(crate) kind: &'static str,
    /// What the browser is asked, in JSON.
    pub(crate) options: String,
    /// The state, sealed.
    pub(crate) ceremony: String,
}

#[derive(Serialize, Deserialize)]
struct State {
    user: Option<UserId>,
    state: passkey::Asking,
}

/// The form that asks for a passkey. `None` when there is none to ask for, or passkeys cannot work here.
pub(crate) async fn ask(
    visit: &Visit<'_>,
    asking: Asking,
    action: &'static str,
) -> Result<Option<PasskeyForm>, IdpError> {
    let Some(passkeys) = &visit.idp.passkeys else { return Ok(None) };
    let (request, state, user) = match asking {
        Asking::Anybody => {
            let (request, state) = passkeys.ask_anybody()?;
            (request, state, None)
        }
        Asking::User(user) => match passkeys.ask_user(&visit.idp.db, user).await? {
            Some((request, state)) => (request, state, Some(user)),
            None => return Ok(None),
        },
    };
    let options = serde_json::to_string(&request).map_err(IdpError::failed)?;
    let ceremony = sealed::seal(visit.idp, &visit.browser, asking.purpose(), State { user, state })?;
    Ok(Some(PasskeyForm { action, kind: "get", options, ceremony }))
}

/// What an answer came to.
pub(crate) enum Answered {
    Proven(Proof),
    /// The challenge is too old or was used, or is not this browser's.
    TooLate,
    /// It proves nothing.
    Wrong,
}

fn wrong(why: &str) -> Answered {
    tracing::info!(why, "an answer of a passkey was refused");
    Answered::Wrong
}

/// Verifies an answer to what [`ask`] asked of the same.
pub(crate) async fn verify(
    visit: &Visit<'_>,
    asking: Asking,
    form: &Params,
    answer: &str,
) -> Result<Answered, IdpError> {
    let Some(passkeys) = &visit.idp.passkeys else { return Ok(Answered::TooLate) };
    let sealed = form.one("ceremony")?.unwrap_or_default();
    let kept = sealed::open::<State>(visit.idp, &visit.browser, asking.purpose(), sealed);
    let Some(kept) = kept else { return Ok(Answered::TooLate) };
    if !kept.use_once(visit.idp).await? {
        return Ok(Answered::TooLate);
    }
    let asked_of = match asking {
        Asking::Anybody => None,
        Asking::User(user) => Some(user),
    };
    if kept.value.user != asked_of {
        return Ok(wrong("the challenge was another person's"));
    }
    let Ok(answer) = serde_json::from_str(answer) else {
        return Ok(wrong("it cannot be read"));
    };
    match passkeys.verify(&visit.idp.db, &answer, kept.value.state).await {
        Ok(proof) if asked_of.is_some_and(|user| user != proof.user) => {
            Ok(wrong("the passkey is another person's"))
        }
        Ok(proof) => Ok(Answered::Proven(proof)),
        Err(PasskeyError::NotVerified(why)) => Ok(wrong(&why)),
        Err(PasskeyError::Unknown) => Ok(wrong("nobody has this passkey")),
        Err(error) => Err(error.into()),
    }
}
