//! Which step leads from what was proven to what is required. Pure.
//!
//! One step at a time: a way is offered only if it reaches the rung in one step, so nobody proves something and is
//! then told that it was not enough.
//!
//! To add a way: a variant of [`Way`], its method in [`Way::proves`], its form in `step_up/`.

use kernel::Assurance;
use policy::{Factor, Method};

use crate::assurance;

/// What a person can be asked for beside the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Passkey,
    Totp,
    RecoveryCode,
}

impl Way {
    /// The strongest first, and the one for bad days last.
    pub(crate) const ALL: [Self; 3] = [Self::Passkey, Self::Totp, Self::RecoveryCode];

    /// As forms and counters write it.
    pub(crate) const fn word(self) -> &'static str {
        self.factor().as_str()
    }

    pub(crate) const fn factor(self) -> Factor {
        match self {
            Self::Passkey => Factor::Passkey,
            Self::Totp => Factor::Totp,
            Self::RecoveryCode => Factor::RecoveryCode,
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.word() == word)
    }

    /// Whether a method is proven in this way.
    pub(crate) fn proves(self, method: Method) -> bool {
        match method {
            Method::Password => false,
            Method::Totp => self == Self::Totp,
            Method::RecoveryCode => self == Self::RecoveryCode,
            Method::SyncedPasskey { .. } | Method::DeviceBoundPasskey { .. } => self == Self::Passkey,
        }
    }

    /// The best that this way can prove: of a passkey that is not there yet, nobody knows which kind it will be.
    fn at_best(self) -> Method {
        match self {
            Self::Passkey => assurance::passkey(true, true),
            Self::Totp => Method::Totp,
            Self::RecoveryCode => Method::RecoveryCode,
        }
    }

    /// How sure whoever adds or removes this must be made first: as sure as it makes us, with a password where it
    /// needs one.
    pub(crate) fn strength(self) -> Assurance {
        assurance::of(&[Method::Password, self.at_best()])
    }
}

/// The rung that is reached with one more method.
pub(crate) fn reached_with(proven: &[Method], more: Method) -> Assurance {
    let mut all = proven.to_vec();
    all.push(more);
    assurance::of(&all)
}

/// The ways that lead to a rung in one step, the strongest first.
pub(crate) fn ways(required: Assurance, proven: &[Method], held: &[Method]) -> Vec<Way> {
    let leads = |way: &Way| {
        let mut methods = held.iter().filter(|method| way.proves(**method));
        methods.any(|method| reached_with(proven, *method) >= required)
    };
    Way::ALL.into_iter().filter(leads).collect()
}

/// What would lead to a rung if it were set up. Recovery codes are no way to begin.
pub(crate) fn to_set_up(required: Assurance, proven: &[Method]) -> Vec<Way> {
    let leads = |way: &Way| reached_with(proven, way.at_best()) >= required;
    [Way::Passkey, Way::Totp].into_iter().filter(leads).collect()
}

/// The rung at which something may be added or removed: its own strength, but no more than the person can show
/// with what is set up. Who has only a password begins with it.
pub(crate) fn to_change(way: Way, held: &[Method]) -> Assurance {
    way.strength().min(assurance::of(held))
}

#[cfg(test)]
mod tests {
    use Assurance::{Aal1, Aal2, Phr, Phrh};
    use Method::{Password, RecoveryCode, Totp};

    use super::*;

    const SYNCED: Method = Method::SyncedPasskey { user_verified: true };
    const BOUND: Method = Method::DeviceBoundPasskey { user_verified: true };

    #[test]
    fn the_next_step_is_the_strongest_that_is_set_up_and_is_enough() {
        for (required, proven, held, expect) in [
            (Aal2, &[Password][..], &[Password][..], &[][..]),
            (Aal2, &[Password], &[Password, Totp], &[Way::Totp]),
            (Aal2, &[Password], &[Password, RecoveryCode, Totp], &[Way::Totp, Way::RecoveryCode]),
            (Aal2, &[Password], &[Password, Totp, SYNCED], &[Way::Passkey, Way::Totp]),
            (Phr, &[Password], &[Password, Totp, SYNCED], &[Way::Passkey]),
            (Phr, &[Password, Totp], &[Password, Totp, RecoveryCode], &[]),
            (Phrh, &[Password], &[Password, SYNCED], &[]),
            (Phrh, &[Password], &[Password, SYNCED, BOUND], &[Way::Passkey]),
            (Phrh, &[SYNCED], &[SYNCED, BOUND], &[Way::Passkey]),
            // A second thing that is had is no second factor.
            (Aal2, &[Totp], &[Totp, RecoveryCode], &[]),
        ] {
            assert_eq!(ways(required, proven, held), expect, "{required} {proven:?} {held:?}");
        }
    }

    #[test]
    fn no_way_is_offered_that_is_not_enough() {
        for required in Assurance::ALL {
            for held in [&[Password, Totp, RecoveryCode, SYNCED][..], &[Totp, BOUND], &[Password]] {
                for way in ways(required, &[Password], held) {
                    let best = held.iter().filter(|method| way.proves(**method));
                    let best = best.map(|method| reached_with(&[Password], *method)).max();
                    assert!(best >= Some(required), "{way:?} {required}");
                }
            }
        }
    }

    #[test]
    fn what_can_be_set_up_reaches_what_is_required() {
        assert_eq!(to_set_up(Aal2, &[Password]), [Way::Passkey, Way::Totp]);
        assert_eq!(to_set_up(Phr, &[Password, Totp]), [Way::Passkey]);
        assert_eq!(to_set_up(Phrh, &[Password]), [Way::Passkey]);
    }

    #[test]
    fn a_factor_is_changed_with_one_of_its_strength_as_far_as_there_is_one() {
        for (way, held, expect) in [
            (Way::Totp, &[Password][..], Aal1),
            (Way::Passkey, &[Password], Aal1),
            (Way::Totp, &[Password, Totp], Aal2),
            (Way::Passkey, &[Password, Totp], Aal2),
            (Way::RecoveryCode, &[Password, BOUND], Aal2),
            (Way::Totp, &[Password, Totp, BOUND], Aal2),
            (Way::Passkey, &[Password, Totp, SYNCED], Phr),
            (Way::Passkey, &[Password, Totp, BOUND], Phrh),
        ] {
            assert_eq!(to_change(way, held), expect, "{way:?} {held:?}");
        }
    }
}
