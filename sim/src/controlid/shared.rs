//! The device behind its lock: what a request, a swipe and a tester do with it, and what then leaves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use super::command::Answer;
use super::decision::{self, event};
use super::device::{Decided, Swipe};
use super::online::{self, Question, Verdict};
use super::outbox::Note;
use super::refusal::Refusal;
use super::row::{self, ints};
use super::state::{Outcome, State};
use super::store::Store;
use crate::http::{Request, Response};

const JSON: &str = "application/json";

/// What the device's parts share.
pub(super) struct Shared {
    state: Mutex<State>,
    notes: mpsc::Sender<Note>,
    /// An interval may have changed.
    pub(super) changed: Notify,
    client: reqwest::Client,
}

impl Shared {
    pub(super) fn new(state: State, notes: mpsc::Sender<Note>) -> Self {
        Self { state: Mutex::new(state), notes, changed: Notify::new(), client: crate::client() }
    }

    /// A tester's panic elsewhere does not spoil what the device holds.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. It is carried out also when whoever sent it is gone.
    pub(super) async fn answer(&self, request: Request) -> Response {
        let busy = self.busy_with(&request);
        if !busy.is_zero() {
            tokio::time::sleep(busy).await;
        }
        self.serve(&request)
    }

    /// How long the request waits before it is carried out.
    fn busy_with(&self, request: &Request) -> Duration {
        let body = serde_json::from_str::<Value>(&request.body).unwrap_or_default();
        let mut state = self.lock();
        let lying = match request.path == "/create_objects.fcgi" && body["object"] == "cards" {
            true => state.faults.leaves_lying(),
            false => Duration::ZERO,
        };
        state.faults.slow.max(lying)
    }

    fn serve(&self, request: &Request) -> Response {
        let mut state = self.lock();
        let outcome = state.serve(request);
        self.tell(&mut state);
        self.changed.notify_one();
        if state.faults.garbage {
            return Response::new(200, JSON, "{\"cards\": <!-- lighttpd");
        }
        match outcome {
            Outcome::Done(Answer::Json(value)) => Response::new(200, JSON, value.to_string()),
            Outcome::Done(Answer::Empty) => Response::new(200, JSON, ""),
            Outcome::Refused(refusal) => Response::new(refusal.status, JSON, refusal.body()),
            Outcome::Elsewhere(status) => Response::html(status, format!("<h1>{status}</h1>")),
        }
    }

    /// Sends off what the monitor is to hear.
    fn tell(&self, state: &mut State) {
        for note in state.take_notes() {
            if self.notes.try_send(note).is_err() {
                state.counters.lost += 1;
            }
        }
    }

    /// Posts a notification, once.
    pub(super) async fn deliver(&self, note: &Note) {
        let taken = self.post(note).await.is_some_and(|status| status.is_success());
        let mut state = self.lock();
        if taken {
            state.counters.notified += 1;
        } else {
            state.counters.lost += 1;
        }
    }

    /// The status that it got; nothing if the wire is cut or nobody answers.
    async fn post(&self, note: &Note) -> Option<reqwest::StatusCode> {
        let cut = self.lock().faults.cut;
        if cut {
            return None;
        }
        let post = self.client.post(&note.url).timeout(note.timeout).json(&note.body);
        Some(post.send().await.ok()?.status())
    }

    /// How often the monitor hears a sign of life, and how often a server that is not there is asked for one.
    pub(super) fn intervals(&self) -> (Option<Duration>, Option<Duration>) {
        let state = self.lock();
        let online = state.settings.is_on("general", "online");
        let monitor = state.settings.monitor().filter(|_| !online);
        let monitor = monitor.map(|_| state.settings.monitor_interval());
        (monitor, state.alone.then(|| state.settings.server_interval()))
    }

    pub(super) async fn report_alive(&self) {
        let note = self.lock().sign_of_life();
        if let Some(note) = note {
            self.deliver(&note).await;
        }
    }

    /// Whether a server that did not answer is back.
    pub(super) async fn knock(&self) -> bool {
        let note = {
            let state = self.lock();
            online::knock(&state).filter(|_| state.alone)
        };
        let Some(note) = note else { return false };
        let back = self.post(&note).await == Some(reqwest::StatusCode::OK);
        if back {
            self.lock().alone = false;
            self.changed.notify_one();
        }
        back
    }

    /// What happens when a card is shown.
    pub(super) async fn swipe(&self, portal: i64, card: i64) -> Swipe {
        if let Some(question) = self.question(portal, card) {
            match question.ask(&self.client).await {
                Some(verdict) => return self.obey(portal, card, &verdict),
                None => self.lock().go_alone(),
            }
        }
        self.changed.notify_one();
        self.decide(portal, card)
    }

    /// What the server is asked, if it is asked at all.
    fn question(&self, portal: i64, card: i64) -> Option<Question> {
        let mut state = self.lock();
        if state.alone || !state.settings.is_on("general", "online") {
            return None;
        }
        state.counters.asked += 1;
        let question = Question::about(&state, portal, card).filter(|_| !state.faults.cut);
        if question.is_none() {
            state.go_alone();
        }
        question
    }

    /// Does what the server said.
    fn obey(&self, portal: i64, card: i64, verdict: &Verdict) -> Swipe {
        let mut state = self.lock();
        let opens = |(action, parameters): &(String, String)| state.opens(action, parameters) == Some(portal);
        let opened = verdict.actions.iter().any(opens);
        let identified = decision::identify(&state.store, card).map_or(0, |user| row::int(user, "id"));
        let user_id = verdict.user_id.unwrap_or(identified);
        let swipe = Swipe { event: verdict.event, user_id, log: None, opened, by: Decided::Server };
        self.record(&mut state, portal, card, swipe)
    }

    /// Decides without the server.
    fn decide(&self, portal: i64, card: i64) -> Swipe {
        let mut state = self.lock();
        let at = state.wall();
        let (decision, by) = if !state.settings.is_on("general", "online") {
            (decision::decide(&state.store, portal, card, at), Decided::Device)
        } else if state.alone {
            let contingency = state.options.contingency;
            let decision = decision::decide_alone(&state.store, portal, card, at, contingency);
            (decision, Decided::Contingency)
        } else {
            let decision = decision::Decision { event: event::NO_RESPONSE, user_id: 0 };
            (decision, Decided::Nobody)
        };
        let (event, user_id) = (decision.event, decision.user_id);
        let swipe = Swipe { event, user_id, log: None, opened: event == event::GRANTED, by };
        self.record(&mut state, portal, card, swipe)
    }

    /// Writes down what happened, as far as the device does.
    fn record(&self, state: &mut State, portal: i64, card: i64, mut swipe: Swipe) -> Swipe {
        let verbose = state.settings.is_on("identifier", "verbose_logging");
        let silent = match swipe.event {
            event::NO_RESPONSE => true,
            event::NOT_IDENTIFIED => !verbose,
            _ => false,
        };
        if silent {
            return swipe;
        }
        swipe.log = Some(state.log(&ints(&[
            ("event", swipe.event.into()),
            ("portal_id", portal),
            ("user_id", swipe.user_id),
            ("card_value", card),
            ("identifier_id", online::IDENTIFIER),
        ])));
        if swipe.event == event::GRANTED {
            let at = state.wall();
            state.store.let_in(swipe.user_id, at);
        }
        self.tell(state);
        swipe
    }

    /// Does something at the device that did not come over the wire: whole, or not at all.
    pub(super) fn by_hand<T>(&self, act: impl FnOnce(&mut Store) -> Result<T, Refusal>) -> Option<T> {
        let mut state = self.lock();
        let before = state.store.clone();
        match act(&mut state.store) {
            Ok(done) => {
                self.tell(&mut state);
                Some(done)
            }
            Err(refusal) => {
                tracing::debug!(words = %refusal.words, "what was done by hand does not fit");
                state.store = before;
                None
            }
        }
    }
}
