//! Where a browser goes from here: the one place that decides it.
//!
//! A session is what was proven so far; policy decides what it opens. Every step of a sign-in ends here, and no code is
//! granted anywhere else: whatever order somebody takes the steps in, in how many tabs, and however often they go back,
//! what counts is the session as it is now, and what policy says of it now.
//!
//! To add a step: a variant of [`Onward`], found in [`onward`], gone to in [`arrive`].

use actix_web::HttpResponse;
use directory::authenticator;
use directory::session::{self, Session};
use directory::user::{self, User};
use kernel::Assurance;
use policy::{Decision, Method, Reason};

use crate::authorize::{self, Asked, Next, Prompt, Refusal, next};
use crate::destination::{Destination, Own};
use crate::error::IdpError;
use crate::judge::{self, Scene, Verdict, WhatToDo};
use crate::pages::{see_other, with_cookie};
use crate::steps::{self, Way};
use crate::visit::Visit;
use crate::{assurance, consent, device, enrol, sign_in, step_up};

/// What comes next.
pub(crate) enum Onward {
    /// Nothing stands between: the application gets its code, the person the page.
    There(Scene),
    /// Somebody must sign in, or anew.
    SignIn,
    /// One more thing must be proven.
    StepUp(Step),
    /// One more thing must be proven and is not set up, but may be.
    Enrol(Step),
    /// The person must be asked what the application may know.
    Consent(User),
    /// Policy says no.
    Refused(User, Decision, WhatToDo),
    /// The application is told.
    SentBack(Refusal),
}

/// A step that is asked for.
pub(crate) struct Step {
    pub(crate) user: User,
    pub(crate) because: Vec<Reason>,
    /// What leads there, the strongest first. Never empty.
    pub(crate) ways: Vec<Way>,
}

/// Somebody with what they have.
struct Person<'a> {
    user: User,
    session: &'a Session,
    proven: Vec<Method>,
    held: Vec<Method>,
    scene: Scene,
}

impl Person<'_> {
    /// The step to a rung, if something is set up that leads there.
    fn step(&self, required: Assurance, because: &[Reason]) -> Option<Step> {
        let ways = steps::ways(required, &self.proven, &self.held);
        (!ways.is_empty()).then(|| self.by(ways, because))
    }

    fn by(&self, ways: Vec<Way>, because: &[Reason]) -> Step {
        Step { user: self.user.clone(), because: because.to_vec(), ways }
    }
}

/// Sends a browser on.
pub(crate) async fn arrive(
    visit: &Visit<'_>,
    destination: &Destination,
    session: Option<&Session>,
) -> Result<HttpResponse, IdpError> {
    let onward = onward(visit, destination, session).await?;
    go(visit, destination, session, onward).await
}

/// Sends a browser where it was found to go.
pub(crate) async fn go(
    visit: &Visit<'_>,
    destination: &Destination,
    session: Option<&Session>,
    onward: Onward,
) -> Result<HttpResponse, IdpError> {
    match (onward, session) {
        (Onward::There(scene), Some(session)) => there(visit, destination, session, scene).await,
        (Onward::StepUp(_), _) => Ok(see_other(&destination.by_way_of(step_up::PATH))),
        (Onward::Enrol(_), _) => Ok(see_other(&destination.by_way_of(enrol::PATH))),
        (Onward::Consent(_), _) => Ok(see_other(&destination.by_way_of(consent::PATH))),
        (Onward::Refused(user, decision, what_to_do), _) => match Verdict::of(&decision) {
            Some(verdict) => judge::refuse(visit, destination, &user, &verdict, what_to_do).await,
            None => Err(IdpError::failed("a sign-in was refused that policy allows")),
        },
        (Onward::SentBack(refusal), _) => match destination.asked() {
            Some(asked) => Err(asked.send_back(visit.idp, refusal)),
            None => Ok(see_other(&destination.by_way_of(sign_in::PATH))),
        },
        (Onward::SignIn | Onward::There(_), _) => Ok(see_other(&destination.by_way_of(sign_in::PATH))),
    }
}

async fn there(
    visit: &Visit<'_>,
    destination: &Destination,
    session: &Session,
    scene: Scene,
) -> Result<HttpResponse, IdpError> {
    session::touch(&visit.idp.db, session).await?;
    let answer = match destination {
        Destination::Application(asked) => {
            match authorize::answer(visit, asked, session, scene.network).await? {
                Some(answer) => answer,
                // The consent was withdrawn meanwhile.
                None => see_other(&destination.by_way_of(consent::PATH)),
            }
        }
        Destination::Own(own) => see_other(&own.path()),
    };
    Ok(with_cookie(answer, device::cookie(visit, session.user_id)))
}

/// What stands between this session and where it wants to go.
pub(crate) async fn onward(
    visit: &Visit<'_>,
    destination: &Destination,
    session: Option<&Session>,
) -> Result<Onward, IdpError> {
    if let Destination::Application(asked) = destination {
        match next(&asked.wishes, session, asked.began(), visit.idp.ctx().now()) {
            Next::SignIn => return Ok(Onward::SignIn),
            Next::Refuse(refusal) => return Ok(Onward::SentBack(refusal)),
            Next::Ask => {}
        }
    }
    let Some(session) = session else { return Ok(Onward::SignIn) };
    let Some(user) = user::get(&visit.idp.db, session.user_id).await? else { return Ok(Onward::SignIn) };
    let scene = judge::scene(visit, &user).await;
    let held = assurance::held(&authenticator::of_user(&visit.idp.db, user.id).await?);
    let person = Person { user, session, proven: assurance::proven_in(session), held, scene };
    match destination {
        Destination::Application(asked) => to_application(visit, asked, person).await,
        Destination::Own(own) => to_own(visit, *own, person).await,
    }
}

async fn to_application(visit: &Visit<'_>, asked: &Asked, person: Person<'_>) -> Result<Onward, IdpError> {
    let reached = person.session.assurance();
    let principal = visit.principal(&person.user).await?;
    let decision = judge::judge(visit.idp, principal, &asked.client, reached, person.scene);
    let silent = asked.wishes.prompt == Prompt::None;
    match &decision {
        Decision::Allow { because, .. } if !silent => Ok(match wish(asked, &person, reached) {
            Some(ways) => Onward::StepUp(person.by(ways, because)),
            None => to_consent(visit, asked, person).await?,
        }),
        Decision::Allow { .. } => to_consent(visit, asked, person).await,
        Decision::StepUp { required, because } if !silent => match person.step(*required, because) {
            Some(step) => Ok(Onward::StepUp(step)),
            None => to_set_up(visit, person, *required, because, &decision).await,
        },
        _ => Ok(Onward::Refused(person.user, decision, WhatToDo::Nothing)),
    }
}

/// Nothing stands between but perhaps a question (OpenID Connect Core, sections 3.1.2.4 and 3.1.2.6).
async fn to_consent(visit: &Visit<'_>, asked: &Asked, person: Person<'_>) -> Result<Onward, IdpError> {
    Ok(match consent::is_needed(visit, &person.user, asked).await? {
        false => Onward::There(person.scene),
        true if asked.wishes.prompt == Prompt::None => Onward::SentBack(Refusal::CONSENT_REQUIRED),
        true => Onward::Consent(person.user),
    })
}

/// The rung that the application wishes for beyond what policy asks, if none of its wishes is satisfied and the person
/// can fulfil one. A wish that cannot be fulfilled stops nobody (OpenID Connect Core, section 5.5.1.1).
fn wish(asked: &Asked, person: &Person<'_>, reached: Assurance) -> Option<Vec<Way>> {
    let wished = assurance::wished(&asked.wishes.acr_values);
    if wished.iter().any(|rung| *rung <= reached) {
        return None;
    }
    let ways = |rung: Assurance| steps::ways(rung, &person.proven, &person.held);
    wished.into_iter().map(ways).find(|ways| !ways.is_empty())
}

/// Nothing that is set up leads there: what may be set up now?
async fn to_set_up(
    visit: &Visit<'_>,
    person: Person<'_>,
    required: Assurance,
    because: &[Reason],
    decision: &Decision,
) -> Result<Onward, IdpError> {
    let mut open = Vec::new();
    let mut before = None;
    for way in steps::to_set_up(required, &person.proven) {
        match may_change(visit, &person, way, true).await? {
            MayChange::Now => open.push(way),
            MayChange::After(onward) => before = before.or(Some(onward)),
            MayChange::Never(_) => {}
        }
    }
    if !open.is_empty() {
        return Ok(Onward::Enrol(person.by(open, because)));
    }
    let refused = || Onward::Refused(person.user.clone(), decision.clone(), WhatToDo::AskForFactor);
    Ok(before.map_or_else(refused, |before| *before))
}

async fn to_own(visit: &Visit<'_>, own: Own, person: Person<'_>) -> Result<Onward, IdpError> {
    let Some(way) = own.changes() else { return Ok(Onward::There(person.scene)) };
    Ok(match may_change(visit, &person, way, matches!(own, Own::Add(_))).await? {
        MayChange::Now => Onward::There(person.scene),
        MayChange::After(onward) => *onward,
        MayChange::Never(decision) => Onward::Refused(person.user, decision, WhatToDo::Nothing),
    })
}

/// Whether somebody may change what they sign in with.
enum MayChange {
    Now,
    /// Something else comes first.
    After(Box<Onward>),
    /// Policy says no.
    Never(Decision),
}

/// Adding and removing need a factor of at least the strength of what is added or removed, as far as there is one
/// ([`steps::to_change`]), shown not long ago; adding needs policy's permission, too.
async fn may_change(
    visit: &Visit<'_>,
    person: &Person<'_>,
    way: Way,
    adding: bool,
) -> Result<MayChange, IdpError> {
    let required = steps::to_change(way, &person.held);
    if person.session.assurance() < required {
        let onward = person.step(required, &[]).map_or(Onward::SignIn, Onward::StepUp);
        return Ok(MayChange::After(Box::new(onward)));
    }
    if visit.idp.ctx().now().since(person.session.authenticated_at) > enrol::FRESH {
        return Ok(MayChange::After(Box::new(Onward::SignIn)));
    }
    if !adding {
        return Ok(MayChange::Now);
    }
    let reached = person.session.assurance();
    let factor = way.factor();
    let principal = visit.principal(&person.user).await?;
    let decision = judge::judge_enrolment(visit.idp, principal, factor, reached, person.scene);
    Ok(match &decision {
        Decision::Allow { .. } => MayChange::Now,
        Decision::StepUp { required, because } => match person.step(*required, because) {
            Some(step) => MayChange::After(Box::new(Onward::StepUp(step))),
            None => MayChange::Never(decision),
        },
        Decision::Deny { .. } => MayChange::Never(decision),
    })
}
