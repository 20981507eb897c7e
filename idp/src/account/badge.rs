//! What a person carries to a door: which card it is, what it opens, and that it was lost.
//!
//! A card that is reported lost is suspended at the commit, and every door system hears of it at once. Nobody is asked
//! for more than the session that is there: whoever has lost a badge must not look for a phone first, and somebody
//! else's prank costs a walk to the reception. Only an administrator brings it back.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::DirectoryError;
use directory::credential::{self, Credential, State};
use directory::door::{self, entitlement};
use directory::user::User;
use store::StoreError;
use web::Params;
use web::page::Frame;

use super::{BADGE, Person, moment, person};
use crate::Idp;
use crate::destination::Own;
use crate::error::IdpError;
use crate::pages::{see_other, with_cookie};
use crate::texts::{self, Texts};
use crate::visit::{Sent, Visit, Visitor};

/// How often a card that somebody changes while it is reported lost is read again.
const TRIES: usize = 5;

/// Cards, and what they open.
#[derive(Template)]
#[template(path = "account-badge.html")]
pub(crate) struct BadgePage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) form_token: String,
    pub(crate) cards: Vec<Card>,
    pub(crate) profiles: Vec<Profile>,
}

/// One card as its holder reads it.
pub(crate) struct Card {
    pub(crate) id: String,
    /// Its last digits.
    pub(crate) number: String,
    pub(crate) state: &'static str,
    pub(crate) opens: bool,
    pub(crate) issued: String,
}

/// An access profile, and the areas behind its doors.
pub(crate) struct Profile {
    pub(crate) title: String,
    pub(crate) areas: Vec<String>,
}

/// `GET /account/badge`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Badge).await?;
    let cards = credential::of_user(&visit.idp.db, user.id).await?;
    let profiles = profiles(visit.idp, &user).await?;
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let page = BadgePage {
        frame: &frame,
        t,
        form_token: visit.browser.form_token(),
        // The newest first: it is the one in use.
        cards: cards.iter().rev().map(|card| as_read(visit.idp, t, card)).collect(),
        profiles,
    };
    Ok(with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie()))
}

fn as_read(idp: &Idp, t: &'static Texts, card: &Credential) -> Card {
    let state = match card.state.parse() {
        Ok(State::Active) => &t.badge.active,
        Ok(State::Suspended) => &t.badge.suspended,
        // A state that cannot be read is none that opens.
        Ok(State::Revoked) | Err(_) => &t.badge.revoked,
    };
    Card {
        id: card.id.to_string(),
        number: masked(card.number),
        state,
        opens: card.is_active(),
        issued: moment(idp, card.issued_at),
    }
}

/// Enough to tell two cards apart, and too little to copy one.
fn masked(number: i64) -> String {
    format!("••• {:02}", number.rem_euclid(100))
}

async fn profiles(idp: &Idp, user: &User) -> Result<Vec<Profile>, StoreError> {
    let held = entitlement::of_user(&idp.db, user.id).await?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let held: BTreeSet<String> = held.into_iter().map(|held| held.access_profile).collect();
    let areas = door::areas(&idp.db).await?;
    let titles: BTreeMap<String, String> = areas.into_iter().map(|area| (area.name, area.title)).collect();
    let points = door::profile_points(&idp.db).await?;
    let behind = |profile: &str| -> Vec<String> {
        let its_own = points.iter().filter(|(name, ..)| name == profile);
        let areas: BTreeSet<String> =
            its_own.map(|(_, _, area, _)| titles.get(area).unwrap_or(area).clone()).collect();
        areas.into_iter().collect()
    };
    let all =
        door::access_profiles(&idp.db).await?.into_iter().filter(|profile| held.contains(&profile.name));
    Ok(all.map(|profile| Profile { areas: behind(&profile.name), title: profile.title }).collect())
}

/// `POST /account/badge`: a card was lost.
pub(crate) async fn post(visitor: Visitor, form: Sent) -> HttpResponse {
    visitor.sends(form, lost).await
}

async fn lost(visit: &Visit<'_>, form: &Params) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Badge).await?;
    let named = form.one("lost")?.unwrap_or_default();
    for _ in 0..TRIES {
        let cards = credential::of_user(&visit.idp.db, user.id).await?;
        // Only those of this person are looked at, and what opens nothing needs no suspending.
        let Some(card) = cards.iter().find(|card| card.id.to_string() == named && card.is_active()) else {
            return Ok(see_other(BADGE));
        };
        let mut tx = visit.write_as(user.id).await?;
        let suspended = credential::end(&mut tx, card, State::Suspended, Some(&user.user_name)).await;
        match tx.end(suspended).await {
            // Whatever it was changed to, it is lost.
            Err(DirectoryError::VersionMismatch) => {}
            suspended => {
                suspended?;
                return Ok(see_other(BADGE));
            }
        }
    }
    Err(IdpError::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_cards_number_two_digits_are_shown() {
        for (number, expect) in [(0, "••• 00"), (7, "••• 07"), (65_535, "••• 35"), (i64::MAX, "••• 07")]
        {
            assert_eq!(masked(number), expect);
        }
    }
}
