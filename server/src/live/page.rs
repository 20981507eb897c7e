//! The page itself, and its buttons. It works without script: then a button loads the page anew.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError as _};
use askama::Template;
use bridge::connector::AckLevel;
use kernel::id::UserId;
use kit::body::{BodyError, Form};
use kit::browser::Browser;
use kit::page::Frame;
use kit::{Locale, Params, Passage};
use sim::relying_party::{Ended, EndedBy};

use super::Room;
use super::hub::{Happening, Update};
use super::picture::{CardPicture, PersonPicture, Picture, Placed, ReceiptPicture, SignedIn, readable};
use super::play::{Done, Play, PlayError};
use super::telling::{Who, put};
use super::texts::{self, Levels, Texts};
use crate::stage::DOORS;

use ::web as kit;

/// Lines of the timeline that a page begins with.
const LINES: usize = 40;

/// Everything.
#[derive(Template)]
#[template(path = "live.html")]
struct LivePage<'a> {
    frame: &'a Frame,
    t: &'static Texts,
    people: String,
    lines: Vec<String>,
    problem: Option<String>,
    form_token: &'a str,
    /// The last number that is on the page.
    after: String,
    apps: Vec<AppView<'a>>,
    mailbox: Option<&'a str>,
    account: String,
}

/// A way to an app.
struct AppView<'a> {
    name: &'a str,
    href: &'a str,
    about: &'static str,
}

/// The people, and what was done last: the part that changes.
#[derive(Template)]
#[template(path = "live-people.html")]
struct PeoplePart<'a> {
    t: &'static Texts,
    people: Vec<PersonView<'a>>,
    said: String,
    form_token: &'a str,
}

struct PersonView<'a> {
    id: String,
    person: &'a PersonPicture,
    mailbox: Option<(&'a str, String)>,
    sessions: Vec<SessionView<'a>>,
    cards: Vec<CardView<'a>>,
    receipt: Option<String>,
    /// Name of each door, and what the button says.
    doors: Vec<(&'static str, String)>,
}

struct SessionView<'a> {
    at: &'a str,
    over: bool,
    state: String,
}

struct CardView<'a> {
    number: &'a str,
    systems: Vec<SystemView<'a>>,
}

struct SystemView<'a> {
    placed: &'a Placed,
    revoked: bool,
    state: &'static str,
    level: String,
    rungs: Vec<RungView>,
}

struct RungView {
    code: &'static str,
    reached: bool,
    /// What it means, and whether it is reached.
    title: String,
}

/// One line of the timeline.
#[derive(Template)]
#[template(path = "live-line.html")]
struct LinePart<'a> {
    happening: &'a Happening,
    iso: String,
    clock: String,
    who: &'a str,
    is_app: bool,
    words: &'a str,
}

/// For whom something is rendered.
pub(super) struct View {
    locale: Locale,
    form_token: String,
}

pub(super) fn view(locale: Locale, browser: &Browser) -> View {
    View { locale, form_token: browser.form_token() }
}

/// `GET /`.
pub(super) async fn get(room: Data<Room>, passage: Passage, request: HttpRequest) -> HttpResponse {
    show(&room, &passage, &request, StatusCode::OK, None)
}

fn show(
    room: &Room,
    passage: &Passage,
    request: &HttpRequest,
    status: StatusCode,
    problem: Option<String>,
) -> HttpResponse {
    let browser = Browser::of(room.hub.ctx(), request);
    let view = view(passage.locale(), &browser);
    let frame = Frame::new(passage.id(), passage.locale()).scripted(true);
    let (t, stage) = (texts::of(view.locale), room.hub.stage());
    let Update { happenings, picture } = room.hub.now();
    let last = happenings.last().map_or(0, |last| last.number);
    let page = LivePage {
        frame: &frame,
        t,
        people: people(&picture, &view),
        lines: happenings.iter().rev().take(LINES).map(|happening| line(happening, &view)).collect(),
        problem,
        form_token: &view.form_token,
        after: format!("{}-{last}", room.hub.epoch),
        apps: [(&stage.app, t.page.low.as_str()), (&stage.control, t.page.critical.as_str())]
            .map(|(app, about)| AppView { name: app.name(), href: app.home().as_str(), about })
            .into(),
        mailbox: stage.mail.as_ref().map(|mail| mail.home().as_str()),
        account: stage.house.issuer.url("/account"),
    };
    let mut answer = frame.respond(status, &page);
    // The one page of the house whose script asks for anything: its own events, and its own buttons.
    let policy = format!("{}; connect-src 'self'", frame.policy());
    if let Ok(policy) = header::HeaderValue::from_str(&policy) {
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(cookie) = browser.cookie() {
        // A cookie of ours has a form that can be written.
        let _ = answer.add_cookie(&cookie);
    }
    answer
}

/// A browser in which a button was pressed.
pub(super) struct Press {
    room: Data<Room>,
    passage: Passage,
    request: HttpRequest,
}

/// What a handler of a button is given.
type Sent = Result<Form, BodyError>;

impl FromRequest for Press {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    /// Fails only where the routes were not mounted as they must be.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (room, passage) = (Data::extract(request).into_inner(), Passage::extract(request).into_inner());
        let request = request.clone();
        ready(room.and_then(|room| Ok(Self { room, passage: passage?, request })))
    }
}

impl Press {
    /// Does what the button is for, where the form is ours and sent by the browser that it was made for. Then back to
    /// the page, or the page with what went wrong.
    async fn does(
        self,
        form: Sent,
        what: impl AsyncFnOnce(&Play, &Params) -> Result<(), PlayError>,
    ) -> HttpResponse {
        let Self { room, passage, request } = self;
        let form = match form {
            Ok(Form(form)) => form,
            Err(error) => return error.error_response(),
        };
        if !Browser::of(room.hub.ctx(), &request).sent_form(&request, &room.issuer, &form) {
            return HttpResponse::Forbidden().finish();
        }
        let problem = match what(&room.play, &form).await {
            Ok(()) => return HttpResponse::SeeOther().insert_header((header::LOCATION, "/")).finish(),
            Err(PlayError::Everybody) => texts::of(passage.locale()).page.everybody.clone(),
            Err(error) => error.to_string(),
        };
        show(&room, &passage, &request, StatusCode::UNPROCESSABLE_ENTITY, Some(problem))
    }
}

/// `POST /hire`: the next person, or with `person` somebody who comes back.
pub(super) async fn hire(press: Press, form: Sent) -> HttpResponse {
    let hire = async |play: &Play, form: &Params| match form.one("person") {
        Ok(None) => play.hire().await.map(drop),
        _ => play.rehire(person(form)?).await,
    };
    press.does(form, hire).await
}

/// `POST /swipe`: `person` shows the card at `door`.
pub(super) async fn swipe(press: Press, form: Sent) -> HttpResponse {
    let swipe = async |play: &Play, form: &Params| {
        let door = form.one("door").ok().flatten().unwrap_or_default();
        play.swipe(person(form)?, door).await.map(drop)
    };
    press.does(form, swipe).await
}

/// `POST /end`: the employment of `person` ends.
pub(super) async fn end(press: Press, form: Sent) -> HttpResponse {
    press.does(form, async |play: &Play, form: &Params| play.end(person(form)?).await).await
}

fn person(form: &Params) -> Result<UserId, PlayError> {
    form.one("person").ok().flatten().and_then(|id| id.parse().ok()).ok_or(PlayError::Unknown)
}

/// A line of the timeline as HTML.
pub(super) fn line(happening: &Happening, view: &View) -> String {
    let at = happening.at.to_jiff().unwrap_or_default();
    let part = LinePart {
        happening,
        iso: at.to_string(),
        clock: clock(at),
        who: happening.who.in_words(&texts::of(view.locale).who),
        is_app: matches!(happening.who, Who::App(_)),
        words: happening.words(view.locale),
    };
    rendered(&part)
}

/// The people as HTML.
pub(super) fn people(picture: &Picture, view: &View) -> String {
    let t = texts::of(view.locale);
    let part = PeoplePart {
        t,
        people: picture.people.iter().map(|person| person_view(person, t)).collect(),
        said: picture.done.as_ref().map(|done| in_words(done, t)).unwrap_or_default(),
        form_token: &view.form_token,
    };
    rendered(&part)
}

/// A part that fails to render is empty; a test renders them all.
fn rendered(part: &impl Template) -> String {
    part.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a part of the live page failed to render");
        String::new()
    })
}

fn in_words(done: &Done, t: &Texts) -> String {
    let Done::Swiped { name, door, granted } = done;
    let text = if *granted { &t.page.opens } else { &t.page.stays_shut };
    put(text, &[("name", name), ("door", &readable(door))])
}

fn person_view<'a>(person: &'a PersonPicture, t: &'static Texts) -> PersonView<'a> {
    let mailbox = person.mailbox.as_ref().map(|(url, count)| {
        let text = put(&t.person.letters, &[("name", &person.name), ("count", &count.to_string())]);
        (url.as_str(), text)
    });
    let provider = person.provider.as_ref().map(|rung| SessionView {
        at: &t.person.provider,
        over: false,
        state: format!("{} ({rung})", t.person.signed_in),
    });
    let has_card = !person.cards.is_empty();
    let doors = DOORS.into_iter().filter(|_| has_card);
    PersonView {
        id: person.id.to_string(),
        person,
        mailbox,
        sessions: provider.into_iter().chain(person.apps.iter().map(|one| session_view(one, t))).collect(),
        cards: person.cards.iter().map(|card| card_view(card, t)).collect(),
        receipt: person.receipt.as_ref().map(|receipt| receipt_in_words(receipt, t)),
        doors: doors
            .map(|door| (door.name, put(&t.person.swipe, &[("door", &readable(door.name))])))
            .collect(),
    }
}

fn session_view<'a>(signed_in: &'a SignedIn, t: &'static Texts) -> SessionView<'a> {
    let state = match signed_in.ended {
        None => format!("{} ({})", t.person.signed_in, signed_in.assurance),
        Some(Ended { at, by }) => {
            let by = match by {
                EndedBy::LogoutToken => &t.person.by_logout_token,
                EndedBy::Refusal => &t.person.by_refusal,
            };
            format!("{}, {by}", put(&t.person.signed_out, &[("at", &clock(at))]))
        }
    };
    SessionView { at: &signed_in.app, over: signed_in.ended.is_some(), state }
}

fn card_view<'a>(card: &'a CardPicture, t: &'static Texts) -> CardView<'a> {
    CardView {
        number: &card.number,
        systems: card.placements.iter().map(|placed| system_view(placed, t)).collect(),
    }
}

fn system_view<'a>(placed: &'a Placed, t: &'static Texts) -> SystemView<'a> {
    let state = match (placed.wanted, placed.level >= AckLevel::ReadBack) {
        (true, true) => &t.person.on_list,
        (true, false) => &t.person.being_placed,
        (false, false) => &t.person.being_revoked,
        (false, true) => &t.person.revoked,
    };
    SystemView {
        placed,
        revoked: placed.is_revoked(),
        state,
        level: format!("{} {}", placed.level.code(), rung_in_words(placed.level, &t.levels)),
        rungs: AckLevel::ALL.into_iter().map(|rung| rung_view(rung, placed, t)).collect(),
    }
}

fn rung_view(rung: AckLevel, placed: &Placed, t: &'static Texts) -> RungView {
    // No connector's lock confirms as yet: that rung is passed over, never reached.
    let is_offered = rung != AckLevel::LockConfirmed;
    let reached = is_offered && rung <= placed.level;
    let state = match (is_offered, reached) {
        (false, _) => &t.person.not_offered,
        (true, true) => &t.person.reached,
        (true, false) => &t.person.not_reached,
    };
    RungView { code: rung.code(), reached, title: format!("{}: {state}", rung_in_words(rung, &t.levels)) }
}

const fn rung_in_words(rung: AckLevel, t: &Levels) -> &str {
    match rung {
        AckLevel::Recorded => t.recorded.as_str(),
        AckLevel::Accepted => t.accepted.as_str(),
        AckLevel::ReadBack => t.read_back.as_str(),
        AckLevel::LockConfirmed => t.lock_confirmed.as_str(),
        AckLevel::ObservedDenial => t.observed_denial.as_str(),
    }
}

fn receipt_in_words(receipt: &ReceiptPicture, t: &Texts) -> String {
    let level = receipt.level.map_or(t.things.none.as_str(), |level| level.code());
    let [edition, proven, doors] =
        [receipt.edition.to_string(), receipt.proven.to_string(), receipt.doors.to_string()];
    put(&t.person.receipt, &[("edition", &edition), ("proven", &proven), ("doors", &doors), ("level", level)])
}

/// To the millisecond, which is what this is about.
fn clock(at: jiff::Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}
