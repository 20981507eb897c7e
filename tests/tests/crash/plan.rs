//! What a round is to be, drawn from a seed: the same seed draws the same rounds. What the machine makes of them, which
//! request is under way when the process dies, differs from run to run.

use std::ops::Range;
use std::time::Duration;

use sim::{controlid, uhppote};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// For somebody who throws beside this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.throw())
    }

    /// Of 0 up to, and without, 100.
    pub(crate) fn percent(&mut self) -> u64 {
        self.throw() % 100
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.percent() < percent
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.throw() % (range.end - range.start))
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let count = u64::try_from(all.len()).ok().filter(|count| *count > 0)?;
        all.get(usize::try_from(self.throw() % count).ok()?).copied()
    }
}

/// When the process is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kill {
    /// So long after HR was answered for the first time.
    At(Duration),
    /// So long after HR was told that somebody's access has ended: while doors are being closed.
    AfterEnd(Duration),
    /// So long after somebody began to part with something: many are not answered.
    AfterParting(Duration),
}

/// What is given up by whoever has it. Each asks the process that is killed, so the answer may be lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parting {
    /// A person signs out.
    SignOut,
    /// The application gives its tokens back (RFC 7009).
    Revocation,
    /// A person reports the own card lost.
    LostCard,
}

/// What somebody does to a card with the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// Suspends it, or brings it back.
    Suspend,
    /// Revokes it: its holder gets another one.
    Revoke,
}

/// Something is wrong with a door system, or with the wire to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Controller(uhppote::Misbehaviour),
    Device(controlid::Misbehaviour),
}

/// A door system's trouble in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    /// So long after the load begins.
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
    /// Whether the next process meets it still, and for how long. Short: what fails then is tried again after a second,
    /// and at the latest when the events can be read again.
    pub(crate) lingers: Option<Duration>,
}

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kill: Kill,
    /// Whether the next process dies too, so long after it was started.
    pub(crate) while_starting: Option<Duration>,
    pub(crate) outage: Option<Outage>,
    /// What somebody parts with, so long after the load begins: soon, or many a process would be dead before.
    pub(crate) parting: Option<(Duration, Parting)>,
    pub(crate) hand: Option<Hand>,
    /// For what everybody does.
    pub(crate) dice: Dice,
}

impl Plan {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let parting = match dice.percent() {
            0..25 => Some(Parting::SignOut),
            25..50 => Some(Parting::Revocation),
            50..85 => Some(Parting::LostCard),
            _ => None,
        };
        let kill = match dice.percent() {
            0..50 => Kill::AfterEnd(dice.millis(0..25)),
            50..60 if parting.is_some() => Kill::AfterParting(dice.millis(0..15)),
            _ => Kill::At(dice.millis(0..400)),
        };
        let hand = match dice.percent() {
            0..30 => Some(Hand::Suspend),
            30..55 => Some(Hand::Revoke),
            _ => None,
        };
        Self {
            kill,
            while_starting: dice.chance(25).then(|| dice.millis(0..250)),
            outage: dice.chance(60).then(|| Outage::draw(dice)),
            parting: parting.map(|parting| (dice.millis(0..30), parting)),
            hand,
            dice: dice.fork(),
        }
    }
}

impl Outage {
    fn draw(dice: &mut Dice) -> Self {
        let (at, fault) = (dice.millis(0..100), Fault::draw(dice));
        let lingers = fault.keeps_silent() && dice.chance(40);
        Self { at, fault, lingers: lingers.then(|| dice.millis(1..600)) }
    }
}

impl Fault {
    /// None that a door system refuses by: what it refuses is tried again after a minute only. Slow is much less than
    /// it takes to start again: what a process has sent arrives before the next one asks.
    fn draw(dice: &mut Dice) -> Self {
        use controlid::Misbehaviour as Device;
        use uhppote::Misbehaviour as Controller;
        let (few, slow) = (dice.one_of(&[1, 2, 3]).unwrap_or(1), dice.millis(10..60));
        let of_controller = [
            Self::Controller(Controller::Silent),
            Self::Controller(Controller::DropReplies(few)),
            Self::Controller(Controller::Slow(slow)),
        ];
        let of_device = [
            Self::Device(Device::Silent),
            Self::Device(Device::Cut),
            Self::Device(Device::Slow(slow)),
            Self::Device(Device::HoldAnswers(few)),
            Self::Device(Device::LoseAnswers(few)),
            Self::Device(Device::ForgetSessions),
        ];
        // As often of the one as of the other, however many ways to fail each has.
        let fault = if dice.chance(50) { dice.one_of(&of_controller) } else { dice.one_of(&of_device) };
        fault.unwrap_or(of_controller[0])
    }

    const fn keeps_silent(self) -> bool {
        matches!(
            self,
            Self::Controller(uhppote::Misbehaviour::Silent)
                | Self::Device(controlid::Misbehaviour::Silent | controlid::Misbehaviour::Cut)
        )
    }
}
