//! Watches the journal, the apps and the mailboxes, and tells every browser that reads along.
//!
//! The journal gives facts their order soon after their commit, and has no bell for followers yet: one look in
//! [`LOOK`] serves all browsers together. Apps, letters and what was done here ring by themselves.
//!
//! INVARIANT: what waits for one reader is bounded by [`BEHIND`] updates. Who falls further behind is dropped, comes
//! back with the last number it has seen, and is told what it missed, or to begin anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Ctx, Timestamp};
use kit::Locale;
use sim::relying_party::{Logout, RelyingParty};
use store::{StoreError, follower};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::MissedTickBehavior;

use super::picture::Picture;
use super::play::Play;
use super::telling::{Names, Told, Tone, Who, heard, tell};
use super::texts;
use crate::stage::Stage;

use ::web as kit;

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Facts at one look.
const AT_ONCE: i64 = 200;
/// Happenings that are remembered.
const REMEMBERED: usize = 300;
/// Updates that may wait for one reader.
const BEHIND: usize = 64;
/// Readers at once.
const READERS: usize = 64;
/// How long what an app says waits for the journal, which tells of the cause only once it has an order.
const HELD_BACK: Duration = Duration::from_millis(500);
/// Longer after HR's word nothing is counted from it.
const COUNTED: Duration = Duration::from_secs(60);

/// One thing that happened, in every language.
pub(super) struct Happening {
    /// From 1, in the order of telling.
    pub(super) number: u64,
    pub(super) at: Timestamp,
    /// Milliseconds since HR's last word, when that was not long ago.
    pub(super) after: Option<i64>,
    pub(super) who: Who,
    pub(super) tone: Tone,
    words: [String; Locale::ALL.len()],
}

impl Happening {
    pub(super) fn words(&self, locale: Locale) -> &str {
        let at = Locale::ALL.iter().position(|one| *one == locale).unwrap_or(0);
        &self.words[at]
    }
}

/// What is new.
#[derive(Clone)]
pub(super) struct Update {
    pub(super) happenings: Vec<Arc<Happening>>,
    pub(super) picture: Arc<Picture>,
}

/// Somebody who reads along.
pub(super) struct Reader {
    pub(super) updates: broadcast::Receiver<Arc<Update>>,
    /// What was missed; nothing when that is not known any more, or was never known here.
    pub(super) missed: Option<Update>,
    _place: OwnedSemaphorePermit,
}

#[derive(Default)]
struct State {
    happenings: VecDeque<Arc<Happening>>,
    picture: Arc<Picture>,
    /// Gone when the page is closed, which ends every stream.
    updates: Option<broadcast::Sender<Arc<Update>>>,
}

/// Who watches.
pub(super) struct Hub {
    stage: Arc<Stage>,
    play: Arc<Play>,
    /// Tells the numbers of one demo from those of another at the same address.
    pub(super) epoch: i64,
    state: Mutex<State>,
    places: Arc<Semaphore>,
}

/// How far the watching has come.
struct Progress {
    seq: i64,
    number: u64,
    /// HR's last word.
    word: Option<Timestamp>,
    /// When the latest fact was recorded that was read.
    read: Timestamp,
    /// How many logout tokens of each app were told.
    logouts: [usize; 2],
    names: Names,
}

impl Hub {
    pub(super) async fn begin(stage: &Arc<Stage>, play: &Arc<Play>) -> Self {
        let picture = Picture::take(stage, None).await.unwrap_or_default();
        let updates = Some(broadcast::Sender::new(BEHIND));
        let state = State { picture: Arc::new(picture), updates, ..State::default() };
        Self {
            stage: stage.clone(),
            play: play.clone(),
            epoch: stage.ctx.now().as_millis(),
            state: Mutex::new(state),
            places: Arc::new(Semaphore::new(READERS)),
        }
    }

    pub(super) fn ctx(&self) -> &Ctx {
        &self.stage.ctx
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// How things stand, and what happened lately.
    pub(super) fn now(&self) -> Update {
        let state = self.lock();
        Update { happenings: state.happenings.iter().cloned().collect(), picture: state.picture.clone() }
    }

    /// Reads along from behind this number. Nobody when there are too many readers, or the page is being closed.
    pub(super) fn reader(&self, epoch: i64, seen: u64) -> Option<Reader> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        // Subscribed while nothing can be added: nothing is missed, and nothing comes twice.
        let state = self.lock();
        let updates = state.updates.as_ref()?.subscribe();
        let first = state.happenings.front().map_or(1, |first| first.number);
        let last = state.happenings.back().map_or(0, |last| last.number);
        let is_known = epoch == self.epoch && seen + 1 >= first && seen <= last;
        let missed = is_known.then(|| Update {
            happenings: state.happenings.iter().filter(|one| one.number > seen).cloned().collect(),
            picture: state.picture.clone(),
        });
        Some(Reader { updates, missed, _place: place })
    }

    /// Watches until `stop` turns true, then hangs up.
    pub(super) async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut progress = Progress {
            seq: 0,
            number: 0,
            word: None,
            read: Timestamp::from_millis(0),
            logouts: [0; 2],
            names: Names::default(),
        };
        progress.names.apps =
            [("grid-console", &self.stage.app), ("switchgear-control", &self.stage.control)]
                .map(|(client, app)| (client, app.name().to_owned()))
                .into();
        let (mut console, mut control) = (self.stage.app.changes(), self.stage.control.changes());
        let mut letters = self.stage.mail.as_ref().map(sim::mail::MailServer::taken);
        let mut done = self.play.done();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            let rung = tokio::select! {
                _ = look.tick() => false,
                changed = console.changed() => changed.is_ok(),
                changed = control.changed() => changed.is_ok(),
                () = next_letter(&mut letters) => true,
                changed = done.changed() => changed.is_ok(),
                changed = stop.changed() => if changed.is_err() { break } else { continue },
            };
            if let Err(error) = self.look(&mut progress, rung).await {
                tracing::warn!(%error, "the live page could not look");
            }
        }
        self.lock().updates = None;
    }

    async fn look(&self, progress: &mut Progress, rung: bool) -> Result<(), StoreError> {
        let mut news = self.facts(progress).await?;
        news.extend(self.logouts(progress));
        if news.is_empty() && !rung {
            return Ok(());
        }
        // At the same moment HR's word is the cause.
        news.sort_by_key(|(at, told)| (*at, told.who != Who::Hr));
        let happenings = news.into_iter().map(|(at, told)| Arc::new(progress.happening(at, &told))).collect();
        let done = self.play.done().borrow().clone();
        let picture = Picture::take(&self.stage, done).await?;
        self.tell(Update { happenings, picture: Arc::new(picture) });
        Ok(())
    }

    async fn facts(&self, progress: &mut Progress) -> Result<Vec<(Timestamp, Told)>, StoreError> {
        let db = &self.stage.house.db;
        let mut news = Vec::new();
        for fact in follower::read(db, progress.seq, AT_ONCE).await? {
            if let Some(told) = tell(db, &mut progress.names, &fact).await? {
                news.push((fact.at, told));
            }
            progress.seq = fact.seq.unwrap_or(progress.seq);
            progress.read = progress.read.max(fact.at);
        }
        Ok(news)
    }

    /// What the apps heard by themselves, as far as the journal has come to that moment.
    fn logouts(&self, progress: &mut Progress) -> Vec<(Timestamp, Told)> {
        let told = progress.read.max(self.stage.ctx.now().minus(HELD_BACK));
        let apps: [&RelyingParty; 2] = [&self.stage.app, &self.stage.control];
        let news = apps.into_iter().zip(&mut progress.logouts).flat_map(|(app, seen)| {
            let all = app.logouts().into_iter().skip(*seen);
            let at = |logout: &Logout| Timestamp::from_millis(logout.at.as_millisecond());
            let new: Vec<_> =
                all.map(|logout| (at(&logout), logout.ended)).take_while(|(at, _)| *at <= told).collect();
            *seen += new.len();
            new.into_iter().map(|(at, ended)| (at, heard(app.name(), ended)))
        });
        news.collect()
    }

    fn tell(&self, update: Update) {
        let mut state = self.lock();
        state.happenings.extend(update.happenings.iter().cloned());
        let beyond = state.happenings.len().saturating_sub(REMEMBERED);
        state.happenings.drain(..beyond);
        state.picture = update.picture.clone();
        if let Some(updates) = &state.updates {
            // Nobody may be reading along.
            let _ = updates.send(Arc::new(update));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn happening(&mut self, at: Timestamp, told: &Told) -> Happening {
        self.number += 1;
        if told.who == Who::Hr {
            self.word = Some(at);
        }
        let since = self.word.filter(|word| *word <= at && told.who != Who::Hr).map(|word| at.since(word));
        let after =
            since.filter(|since| *since <= COUNTED).and_then(|since| i64::try_from(since.as_millis()).ok());
        let words = Locale::ALL.map(|locale| (told.say)(texts::of(locale)));
        Happening { number: self.number, at, after, who: told.who.clone(), tone: told.tone, words }
    }
}

/// The next letter; never, where there is no mail.
async fn next_letter(letters: &mut Option<watch::Receiver<usize>>) {
    let has_come = match letters {
        Some(letters) => letters.changed().await.is_ok(),
        None => false,
    };
    if !has_come {
        std::future::pending().await
    }
}
