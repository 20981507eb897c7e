//! What can be wrong with a device or with the wire to it.

use std::time::Duration;

/// One way to be difficult. Several add up; `Device::behave` ends them all, but brings back nothing that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Connections are accepted and never answered. What the device sends by itself still leaves.
    Silent,
    /// The wire is cut: connections are reset, and neither notifications nor questions leave.
    Cut,
    /// Each request waits this long before it is carried out.
    Slow(Duration),
    /// The next so many requests that make cards are taken up so much later, whether or not anybody still waits.
    LateCards(u32, Duration),
    /// Every request is answered with 500, and not carried out.
    ServerError,
    /// Requests are carried out and answered with 200 and nonsense.
    Garbage,
    /// Requests are carried out, and the answer ends in the middle of its body.
    Truncate,
    /// The next so many requests are carried out, and the connection is reset instead of an answer.
    LoseAnswers(u32),
    /// The next so many requests are carried out, and their answers never leave; the connection stays.
    HoldAnswers(u32),
    /// Nobody is logged in any more. Once.
    ForgetSessions,
    /// Writes to objects are answered as if they had been done, and are not.
    Lie,
    /// There is no room for another card.
    Full,
    /// `load_objects` obeys neither `where` nor `limit`, as old firmware is said to.
    IgnoreFilters,
    /// The clock starts anew in 1970. Once; setting the time helps.
    LoseClock,
    /// All objects, settings and sessions are those of the factory again, and access logs count from 1. The login
    /// stays. Once.
    ForgetObjects,
    /// It says that it is this device.
    OtherDevice(i64),
}

/// All that is wrong at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) silent: bool,
    pub(super) cut: bool,
    pub(super) slow: Duration,
    late_cards: u32,
    lateness: Duration,
    pub(super) server_error: bool,
    pub(super) garbage: bool,
    pub(super) truncate: bool,
    lost_answers: u32,
    held_answers: u32,
    pub(super) lie: bool,
    pub(super) full: bool,
    pub(super) ignore_filters: bool,
    pub(super) other_device: Option<i64>,
}

impl Faults {
    /// Notes what lasts; what happens once is not for here.
    pub(super) fn add(&mut self, misbehaviour: Misbehaviour) {
        match misbehaviour {
            Misbehaviour::Silent => self.silent = true,
            Misbehaviour::Cut => self.cut = true,
            Misbehaviour::Slow(busy) => self.slow = busy,
            Misbehaviour::LateCards(count, lateness) => {
                (self.late_cards, self.lateness) = (count, lateness);
            }
            Misbehaviour::ServerError => self.server_error = true,
            Misbehaviour::Garbage => self.garbage = true,
            Misbehaviour::Truncate => self.truncate = true,
            Misbehaviour::LoseAnswers(count) => self.lost_answers = count,
            Misbehaviour::HoldAnswers(count) => self.held_answers = count,
            Misbehaviour::Lie => self.lie = true,
            Misbehaviour::Full => self.full = true,
            Misbehaviour::IgnoreFilters => self.ignore_filters = true,
            Misbehaviour::OtherDevice(id) => self.other_device = Some(id),
            Misbehaviour::ForgetSessions | Misbehaviour::LoseClock | Misbehaviour::ForgetObjects => {}
        }
    }

    /// How long the request at hand, which makes cards, is left lying.
    pub(super) fn leaves_lying(&mut self) -> Duration {
        let lateness = if self.late_cards > 0 { self.lateness } else { Duration::ZERO };
        self.late_cards = self.late_cards.saturating_sub(1);
        lateness
    }

    /// Whether the answer at hand is one of those that are lost.
    pub(super) fn loses_an_answer(&mut self) -> bool {
        let loses = self.lost_answers > 0;
        self.lost_answers = self.lost_answers.saturating_sub(1);
        loses
    }

    /// Whether the answer at hand is one of those that never leave.
    pub(super) fn holds_an_answer(&mut self) -> bool {
        let holds = self.held_answers > 0;
        self.held_answers = self.held_answers.saturating_sub(1);
        holds
    }
}
