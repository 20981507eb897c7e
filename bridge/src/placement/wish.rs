//! What a look at one credential found to be wanted of a door system, beside what was seen of it before.

use std::collections::BTreeSet;

use directory::credential::Credential;
use kernel::Timestamp;
use store::Delivery;

use super::{ABSENT, PRESENT, Placement, PointProof, Points, json};
use crate::card::Card;
use crate::connector::{
    Accepted, AccessPointAddress, AckLevel, DesiredCredential, ReadBack, Reading, Rights, Want,
};

/// A wish, and the row that was there when it was looked for.
pub(super) struct Wish {
    pub(super) credential: Credential,
    pub(super) desired: DesiredCredential,
    pub(super) seen: Option<Placement>,
}

impl Wish {
    pub(super) fn want(&self) -> &Want {
        &self.desired.want
    }

    pub(super) fn card(&self) -> &Card {
        &self.desired.card
    }

    /// The row is about this very wish: compared by meaning, so that another spelling is no other wish.
    fn is_known(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| {
            seen.credential_version == self.credential.version && seen.want().as_ref() == Some(self.want())
        })
    }

    /// This very wish was proven before.
    pub(super) fn is_proven(&self) -> bool {
        self.is_known() && self.seen.as_ref().is_some_and(Placement::is_proven)
    }

    /// Whether the row says already that the credential may open all that is wanted, at all times at which it is.
    ///
    /// INVARIANT: what stands there, or is being put there, never opens more than a row says, unless what goes beyond is
    /// being taken away. So whoever compares what is wanted with the row sees every loss, also of what is just being
    /// given.
    pub(super) fn is_noted(&self) -> bool {
        let Want::Present(rights) = self.want() else { return false };
        self.seen.as_ref().filter(|seen| seen.wanted == PRESENT).is_some_and(|seen| {
            let noted = seen.points();
            rights.access.keys().all(|point| noted.contains_key(point))
                && seen.want().is_some_and(|noted| !self.want().loses_by(&noted))
        })
    }

    /// Whether the credential may open a door that it must not open any more, or at more times than it must.
    pub(super) fn takes_away(&self) -> bool {
        let Some(seen) = &self.seen else { return false };
        let held = seen.points();
        match self.want() {
            Want::Absent => true,
            Want::Present(rights) => {
                held.keys().any(|point| !rights.access.contains_key(point))
                    || seen.want().is_some_and(|was| was.loses_by(self.want()))
            }
        }
    }

    /// Whether nobody knows at which hours, or on which days, it opens: what was wanted was noted, and not read back.
    pub(super) fn is_unread(&self) -> bool {
        let is_unread = |proof: &PointProof| proof.level() < AckLevel::ReadBack;
        self.want().has_limits()
            && self.seen.as_ref().is_some_and(|seen| seen.points().values().any(is_unread))
    }

    /// Whether an access point is opened at some hours only, or was.
    pub(super) fn has_hours(&self) -> bool {
        let was = self.seen.as_ref().and_then(Placement::want);
        self.want().has_hours() || was.is_some_and(|was| was.has_hours())
    }

    /// The access points this wish is about: those that shall open, and those that may be open still. A door that
    /// the wish before gave and this one does not is such a one until it has been read.
    fn about(&self, all: Vec<AccessPointAddress>) -> BTreeSet<AccessPointAddress> {
        let mut about: BTreeSet<AccessPointAddress> = match self.want() {
            Want::Absent => BTreeSet::new(),
            Want::Present(rights) => rights.access.keys().cloned().collect(),
        };
        // Only what was proven absent, and is wanted again, stands nowhere.
        let may_stand =
            |seen: &&Placement| *self.want() == Want::Absent || seen.wanted == PRESENT || !seen.is_proven();
        about.extend(
            self.seen.as_ref().filter(may_stand).into_iter().flat_map(|seen| seen.points().into_keys()),
        );
        if about.is_empty() { all.into_iter().collect() } else { about }
    }

    /// The attempt that begins now: the one before it goes on when it was for this wish and not yet proven.
    pub(super) fn attempt(
        &self,
        door_system: &str,
        delivery: &Delivery,
        all: Vec<AccessPointAddress>,
    ) -> Attempt {
        let unfinished = self.seen.as_ref().filter(|seen| self.is_known() && !seen.is_proven());
        let mut points: Points =
            self.about(all).into_iter().map(|point| (point, PointProof::default())).collect();
        points.extend(unfinished.iter().flat_map(|seen| seen.points()));
        let row = Placement {
            door_system: door_system.into(),
            credential_id: self.credential.id,
            version: delivery.version,
            credential_version: self.credential.version,
            wanted: if *self.want() == Want::Absent { ABSENT } else { PRESENT }.into(),
            rights: json(self.want()),
            points: json(&points),
            ack: 0,
            cause: Some(delivery.fact.to_string()),
            requested_at: unfinished.map_or(delivery.created_at, |seen| seen.requested_at),
            sent_at: unfinished.and_then(|seen| seen.sent_at),
            accepted_at: None,
            read_back_at: None,
            lock_confirmed_at: None,
            denial_observed_at: None,
            watched_at: None,
            // A delivery that is raised again begins to count anew.
            attempts: unfinished.map_or(delivery.attempt, |seen| delivery.attempt.max(seen.attempts + 1)),
        };
        let opens = match self.want() {
            Want::Absent => None,
            Want::Present(rights) => Some(rights.access.keys().cloned().collect()),
        };
        Attempt { row, points, opens, newly: Vec::new(), goes_on: unfinished.is_some() }
    }
}

/// How far an attempt to fulfil a wish has come.
pub(super) struct Attempt {
    pub(super) row: Placement,
    points: Points,
    /// Those that shall open, where presence is wanted. The other points must be seen not to.
    opens: Option<BTreeSet<AccessPointAddress>>,
    /// Access points that this attempt has proven.
    newly: Vec<AccessPointAddress>,
    /// Whether one before it was noted.
    goes_on: bool,
}

impl Attempt {
    pub(super) fn sent(&mut self, at: Timestamp) {
        self.row.sent_at.get_or_insert(at);
    }

    /// The door system says that it did as asked, at these access points.
    pub(super) fn accepted(&mut self, at: Timestamp, said: &Accepted) {
        for (_, proof) in self.points.iter_mut().filter(|(point, _)| said.contains(point)) {
            proof.accepted_at.get_or_insert(at);
        }
        self.row.accepted_at = self.points.values().all(|proof| proof.accepted_at.is_some()).then_some(at);
    }

    /// What the door system holds, access point by access point. `true` when it is what was wanted everywhere.
    pub(super) fn read(&mut self, at: Timestamp, seen: &ReadBack, want: &Want) -> bool {
        let whole = seen.meets(want);
        for (point, proof) in &mut self.points {
            // A point that the door system does not have any more was not read.
            if proof.read_back_at.is_none() && meets_at(seen, want, point) {
                proof.read_back_at = Some(at);
                self.newly.push(point.clone());
            }
        }
        if whole {
            self.row.read_back_at = Some(at);
        }
        whole
    }

    /// It was taken off again: what was proven of its standing there is proven no more.
    pub(super) fn taken_off(&mut self) {
        for (point, proof) in &mut self.points {
            if self.opens.as_ref().is_none_or(|opens| opens.contains(point)) {
                *proof = PointProof::default();
            }
        }
        self.row.accepted_at = None;
        self.goes_on = false;
    }

    /// Whether this attempt came farther than what is noted of the one before.
    pub(super) fn is_news(&self) -> bool {
        !self.goes_on || !self.newly.is_empty()
    }

    /// Access points that this attempt has proven, and those that are not proven yet.
    pub(super) fn proven_and_missing(&self) -> (Vec<String>, Vec<String>) {
        let open = self.points.iter().filter(|(_, proof)| proof.level() < AckLevel::ReadBack);
        let proven = self.newly.iter().filter(|point| self.is_wanted_at(point));
        (proven.map(ToString::to_string).collect(), open.map(|(point, _)| point.to_string()).collect())
    }

    /// Whether what the row wants is wanted at this point, as opposed to a door that it takes away.
    fn is_wanted_at(&self, point: &AccessPointAddress) -> bool {
        self.opens.as_ref().is_none_or(|opens| opens.contains(point))
    }

    /// The row to be noted. Doors that were taken away leave it once every part was read to have let go.
    pub(super) fn row(mut self) -> Placement {
        if let (Some(opens), Some(_)) = (&self.opens, self.row.read_back_at) {
            self.points.retain(|point, _| opens.is_empty() || opens.contains(point));
        }
        self.row.set_points(&self.points);
        self.row
    }
}

/// Whether one access point holds what is wanted there.
fn meets_at(seen: &ReadBack, want: &Want, point: &AccessPointAddress) -> bool {
    let Some(reading) = seen.points.get(point) else { return false };
    let here =
        ReadBack { points: [(point.clone(), reading.clone())].into(), deviations: seen.deviations.clone() };
    match want {
        Want::Absent => here.is_absent(),
        Want::Present(rights) => {
            let access =
                rights.access.get(point).map(|access| (point.clone(), *access)).into_iter().collect();
            here.meets(&Want::Present(Rights { access, ..rights.clone() }))
        }
    }
}

/// Whether what was read contradicts what is wanted. What could not be read contradicts nothing.
pub(crate) fn contradicts(seen: &ReadBack, want: &Want) -> bool {
    let readable = |point: &AccessPointAddress| !matches!(seen.points.get(point), Some(Reading::Unread(_)));
    let points = seen.points.iter().filter(|(point, _)| readable(point));
    let read = ReadBack {
        points: points.map(|(point, reading)| (point.clone(), reading.clone())).collect(),
        deviations: seen.deviations.clone(),
    };
    let want = match want {
        Want::Absent => Want::Absent,
        Want::Present(rights) => {
            let mut rights = rights.clone();
            rights.access.retain(|point, _| readable(point));
            Want::Present(rights)
        }
    };
    !read.meets(&want)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Access, Deviation, Held};

    fn seen(points: &[(&str, Reading)]) -> ReadBack {
        let points = points.iter().map(|(point, reading)| ((*point).into(), reading.clone())).collect();
        ReadBack { points, deviations: BTreeSet::new() }
    }

    fn opening(points: &[&str]) -> Want {
        let access = points.iter().map(|point| ((*point).into(), Access::Always)).collect();
        Want::Present(Rights { access, ..Rights::default() })
    }

    fn held(opens: bool) -> Reading {
        let access = opens.then_some(Access::Always);
        Reading::Held(Held { access, valid_from: None, valid_to: None })
    }

    #[test]
    fn each_access_point_is_held_against_its_own_part_of_the_wish() {
        let unread = Reading::Unread("silent".into());
        for (seen, want, met) in [
            (seen(&[("a", Reading::Absent), ("b", unread.clone())]), Want::Absent, true),
            (seen(&[("a", held(true)), ("b", Reading::Absent)]), Want::Absent, false),
            (seen(&[("a", held(false))]), Want::Absent, false),
            (seen(&[("a", unread.clone())]), Want::Absent, false),
            (seen(&[("b", Reading::Absent)]), Want::Absent, false),
            (seen(&[("a", held(true)), ("b", unread)]), opening(&["a", "b"]), true),
            (seen(&[("a", held(false))]), opening(&["a"]), false),
            (seen(&[("a", held(true))]), opening(&["b"]), false),
            (seen(&[("a", held(false))]), opening(&["b"]), true),
        ] {
            assert_eq!(meets_at(&seen, &want, &"a".into()), met, "{seen:?} {want:?}");
        }
    }

    #[test]
    fn what_could_not_be_read_contradicts_nothing() {
        let unread = Reading::Unread("silent".into());
        let mut with_pin = seen(&[("a", held(true))]);
        with_pin.deviations.insert(Deviation::Pin);
        for (seen, want, contradicts_it) in [
            (seen(&[("a", held(true)), ("b", unread.clone())]), opening(&["a", "b"]), false),
            (seen(&[("a", unread.clone()), ("b", unread.clone())]), opening(&["a"]), false),
            (seen(&[("a", Reading::Absent), ("b", unread.clone())]), opening(&["a", "b"]), true),
            (seen(&[("a", held(true)), ("b", held(true))]), opening(&["a"]), true),
            (seen(&[("a", Reading::Absent), ("b", unread.clone())]), Want::Absent, false),
            (seen(&[("a", held(false)), ("b", unread)]), Want::Absent, true),
            (with_pin, opening(&["a"]), true),
        ] {
            assert_eq!(contradicts(&seen, &want), contradicts_it, "{seen:?} {want:?}");
        }
    }
}
