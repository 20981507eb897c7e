//! When keys are made, sign and are retired: a pure function of the keys there are and the clock.
//!
//! Of each slot (purpose and algorithm) the latest generation whose time has come signs. The next one is
//! made and published long enough before it signs that whoever caches the JWKS knows it by then; the last
//! one stays published until what it signed has expired. Nobody flips a switch, so nodes that look at the
//! same rows agree, and a node that was off for a year comes back to a sane state.

use std::time::Duration;

use kernel::Timestamp;

use crate::{Alg, KeysError};

/// What a key signs. A key of one purpose never signs for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// What clients verify today: ID tokens, access tokens, logout tokens.
    Token,
    /// Receipts and checkpoints: verified for years, so its public half is published for ever.
    Evidence,
}

impl Purpose {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Purpose::Token => "token",
            Purpose::Evidence => "evidence",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Purpose::Token, Purpose::Evidence].into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// The times of one purpose's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key signs. Must be longer than `announced`.
    pub signs: Duration,
    /// How long it is published before it signs: longer than anybody caches the JWKS, and than any node goes
    /// without [`KeyRing::maintain`](crate::KeyRing::maintain).
    pub announced: Duration,
    /// How long its private half, and of a token key the published one, outlives its signing: longer than
    /// anything signed with it is in force.
    pub overlap: Duration,
}

/// The times of all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    /// Of keys for tokens. Default: 90 days, announced for 24 hours, overlap 24 hours.
    pub token: Rotation,
    /// Of keys for receipts and checkpoints. Default: 365 days, announced for 24 hours, overlap 24 hours.
    pub evidence: Rotation,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        let signing_for = |days| Rotation { signs: day * days, announced: day, overlap: day };
        Self { token: signing_for(90), evidence: signing_for(365) }
    }
}

impl RotationPolicy {
    pub(crate) fn of(&self, purpose: Purpose) -> &Rotation {
        match purpose {
            Purpose::Token => &self.token,
            Purpose::Evidence => &self.evidence,
        }
    }

    pub(crate) fn check(&self) -> Result<(), KeysError> {
        let sound = |rotation: &Rotation| rotation.signs > rotation.announced;
        if sound(&self.token) && sound(&self.evidence) { Ok(()) } else { Err(KeysError::Rotation) }
    }
}

/// A purpose and an algorithm for which there is always a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) purpose: Purpose,
    pub(crate) alg: Alg,
}

/// ES256 first: it is made in no time, and evidence is always signed with it.
pub(crate) const SLOTS: [Slot; 3] = [
    Slot { purpose: Purpose::Token, alg: Alg::Es256 },
    Slot { purpose: Purpose::Evidence, alg: Alg::Es256 },
    Slot { purpose: Purpose::Token, alg: Alg::Rs256 },
];

/// What of a key decides when it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    pub(crate) slot: Slot,
    /// 1, 2, … within its slot, in the order of `signs_from`.
    pub(crate) generation: i64,
    pub(crate) signs_from: Timestamp,
    pub(crate) retired: bool,
}

/// Something to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make this generation.
    Create { slot: Slot, generation: i64, signs_from: Timestamp },
    /// Destroy this one's private half.
    Retire { slot: Slot, generation: i64 },
}

/// What is due.
pub(crate) fn due(keys: &[Age], policy: &RotationPolicy, now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    for slot in SLOTS {
        steps.extend(next_generation(keys, slot, policy.of(slot.purpose), now));
        let spent =
            keys.iter().filter(|key| key.slot == slot && !key.retired && is_spent(key, keys, policy, now));
        steps.extend(spent.map(|key| Step::Retire { slot, generation: key.generation }));
    }
    steps
}

fn next_generation(keys: &[Age], slot: Slot, rotation: &Rotation, now: Timestamp) -> Option<Step> {
    let newest = keys.iter().filter(|key| key.slot == slot).max_by_key(|key| key.generation);
    let Some(newest) = newest else { return Some(Step::Create { slot, generation: 1, signs_from: now }) };
    let ends = newest.signs_from.plus(rotation.signs);
    // Late is better than unannounced: the old key signs on until the new one has been published long enough.
    let signs_from = ends.max(now.plus(rotation.announced));
    let is_time = now >= ends.minus(rotation.announced);
    is_time.then_some(Step::Create { slot, generation: newest.generation + 1, signs_from })
}

/// Whether its successor has signed for so long that nothing of this key is in force any more.
pub(crate) fn is_spent(key: &Age, keys: &[Age], policy: &RotationPolicy, now: Timestamp) -> bool {
    keys.iter()
        .filter(|other| other.slot == key.slot && other.generation > key.generation)
        .any(|successor| successor.signs_from.plus(policy.of(key.slot.purpose).overlap) <= now)
}

/// Which generation of a slot signs now. Before the first one's time it signs all the same: another node made
/// it, whose clock is a little ahead.
pub(crate) fn signer(keys: &[Age], slot: Slot, now: Timestamp) -> Option<i64> {
    let live = || keys.iter().filter(|key| key.slot == slot && !key.retired);
    let begun = live().filter(|key| key.signs_from <= now).map(|key| key.generation).max();
    begun.or_else(|| live().map(|key| key.generation).min())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const SLOT: Slot = SLOTS[0];
    const BEGIN: Timestamp = Timestamp::from_millis(1_795_305_600_000);

    fn at(days: f64) -> Timestamp {
        BEGIN.plus(DAY.mul_f64(days))
    }

    /// Does what is due, and says what was done in `SLOT`.
    fn pass(keys: &mut Vec<Age>, now: Timestamp) -> Vec<Step> {
        let steps = due(keys, &RotationPolicy::default(), now);
        for step in &steps {
            match *step {
                Step::Create { slot, generation, signs_from } => {
                    keys.push(Age { slot, generation, signs_from, retired: false });
                }
                Step::Retire { slot, generation } => {
                    let key = keys.iter_mut().find(|key| key.slot == slot && key.generation == generation);
                    key.unwrap().retired = true;
                }
            }
        }
        let of_slot = |step: &Step| match step {
            Step::Create { slot, .. } | Step::Retire { slot, .. } => *slot == SLOT,
        };
        steps.into_iter().filter(of_slot).collect()
    }

    #[test]
    fn a_key_is_announced_signs_and_is_retired_on_time() {
        let mut keys = Vec::new();
        let create = |generation, signs_from| Step::Create { slot: SLOT, generation, signs_from };
        assert_eq!(pass(&mut keys, at(0.0)), [create(1, at(0.0))]);
        assert_eq!(pass(&mut keys, at(0.0)), []);
        assert_eq!(pass(&mut keys, at(88.9)), []);
        assert_eq!(pass(&mut keys, at(89.0)), [create(2, at(90.0))]);
        assert_eq!(signer(&keys, SLOT, at(89.9)), Some(1), "published, but not signing yet");
        assert_eq!(signer(&keys, SLOT, at(90.0)), Some(2));
        assert_eq!(pass(&mut keys, at(90.9)), [], "the old one still verifies");
        assert_eq!(pass(&mut keys, at(91.0)), [Step::Retire { slot: SLOT, generation: 1 }]);
        assert_eq!(pass(&mut keys, at(91.0)), []);
    }

    #[test]
    fn after_a_long_sleep_the_old_key_signs_until_the_new_one_is_known() {
        let mut keys = Vec::new();
        pass(&mut keys, at(0.0));
        let made = pass(&mut keys, at(400.0));
        assert_eq!(made, [Step::Create { slot: SLOT, generation: 2, signs_from: at(401.0) }]);
        assert_eq!(signer(&keys, SLOT, at(400.5)), Some(1));
        assert_eq!(signer(&keys, SLOT, at(401.0)), Some(2));
    }

    #[test]
    fn an_empty_database_gets_every_slot_and_all_sign_at_once() {
        let mut keys = Vec::new();
        pass(&mut keys, BEGIN);
        for slot in SLOTS {
            assert_eq!(signer(&keys, slot, BEGIN), Some(1), "{slot:?}");
        }
    }

    #[test]
    fn a_clock_behind_the_makers_still_finds_a_signer() {
        let mut keys = Vec::new();
        pass(&mut keys, at(1.0));
        assert_eq!(signer(&keys, SLOT, at(0.0)), Some(1));
        assert_eq!(signer(&[], SLOT, at(0.0)), None);
    }

    #[test]
    fn a_key_must_sign_for_longer_than_it_is_announced() {
        let mut policy = RotationPolicy::default();
        assert!(policy.check().is_ok());
        policy.evidence.signs = policy.evidence.announced;
        assert!(matches!(policy.check(), Err(KeysError::Rotation)));
    }

    proptest! {
        #[test]
        fn whenever_it_is_run_there_is_a_signer_that_was_announced_and_no_signature_outlives_its_key(
            pauses in proptest::collection::vec(1u32..24 * 60, 1..300)
        ) {
            let policy = RotationPolicy::default();
            let mut keys = Vec::new();
            let mut made_at = std::collections::HashMap::new();
            let mut signed: Vec<(i64, Timestamp)> = Vec::new();
            let mut now = BEGIN;
            for hours in pauses {
                let before = keys.len();
                pass(&mut keys, now);
                for key in keys.iter().skip(before).filter(|key: &&Age| key.slot == SLOT) {
                    made_at.insert(key.generation, now);
                }
                let generation = signer(&keys, SLOT, now);
                prop_assert!(generation.is_some());
                let generation = generation.unwrap();
                if generation > 1 {
                    prop_assert!(now.since(made_at[&generation]) >= policy.token.announced);
                }
                let of = |generation| keys.iter().find(|key| key.slot == SLOT && key.generation == generation).unwrap();
                for (generation, signed_at) in &signed {
                    let in_force = now.since(*signed_at) < policy.token.overlap;
                    prop_assert!(!in_force || !is_spent(of(*generation), &keys, &policy, now));
                }
                signed.push((generation, now));
                let live = keys.iter().filter(|key| key.slot == SLOT && !key.retired).count();
                prop_assert!(live <= 3);
                now = now.plus(HOUR * hours);
            }
        }
    }
}
