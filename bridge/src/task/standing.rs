//! What a card may still open at a door system, and must not: by what was proven there, door by door, held against
//! what the directory wants now. As receipts judge it: what was proven for an older state of the credential proves
//! nothing of this one.

use std::collections::BTreeMap;

use directory::credential;
use kernel::id::{CredentialId, UserId};
use store::{Db, StoreError, sql};

use super::OpenDoor;
use crate::connector::{Access, AccessPointAddress, AckLevel, Descriptor, Rights, Want};
use crate::placement::{self, ABSENT, PRESENT, PointProof, Points, Wanted};
use crate::systems;

/// Every access point that is configured: its door system, and what is behind it. And what is to be said of each door
/// system.
pub(crate) struct Doors {
    points: BTreeMap<String, Behind>,
    systems: BTreeMap<String, Descriptor>,
}

struct Behind {
    door_system: String,
    area: String,
    protection_class: i64,
}

impl Doors {
    pub(crate) async fn read(db: &Db) -> Result<Self, StoreError> {
        let rows: Vec<(String, String, String, i64)> = db
            .all(
                sql!(
                    "SELECT p.name, p.door_system, a.title, a.protection_class FROM access_point p \
                     JOIN area a ON a.name = p.area ORDER BY p.name"
                ),
                (),
            )
            .await?;
        let behind = |(name, door_system, area, protection_class)| {
            (name, Behind { door_system, area, protection_class })
        };
        Ok(Self { points: rows.into_iter().map(behind).collect(), systems: systems::described(db).await? })
    }

    /// What is to be said of each door system.
    pub(crate) fn systems(&self) -> &BTreeMap<String, Descriptor> {
        &self.systems
    }

    /// Whether an access point of this name is configured.
    pub(crate) fn has(&self, access_point: &str) -> bool {
        self.points.contains_key(access_point)
    }

    /// `None` of a door system that is not configured any more.
    pub(crate) fn descriptor(&self, door_system: &str) -> Option<&Descriptor> {
        self.systems.get(door_system)
    }

    pub(super) fn describe(&self, access_point: String) -> OpenDoor {
        let behind = self.points.get(&access_point);
        OpenDoor {
            area: behind.map(|behind| behind.area.clone()),
            protection_class: behind.map(|behind| behind.protection_class),
            access_point,
        }
    }

    fn of<'a>(&'a self, door_system: &'a str) -> impl Iterator<Item = &'a String> {
        self.points.iter().filter(move |(_, behind)| behind.door_system == door_system).map(|(name, _)| name)
    }
}

/// A card at a door system, and how far it is proven there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Standing {
    pub(crate) door_system: String,
    pub(crate) credential_id: CredentialId,
    pub(crate) user_id: UserId,
    pub(crate) user_name: String,
    format: String,
    facility: i64,
    number: i64,
    /// Raised at each change of the credential.
    pub(crate) credential_version: i64,
    /// Somebody may carry it.
    pub(crate) is_in_order: bool,
    /// Of the placement, if there is one ([`placement::Placement`]).
    pub(crate) wanted: Option<String>,
    pub(crate) rights: Option<String>,
    points: Option<String>,
    /// The placement is for the credential as it is now.
    pub(crate) is_current: Option<bool>,
}

impl Standing {
    /// The card as people write it.
    pub(crate) fn card(&self) -> String {
        placement::written(&self.format, self.facility, self.number)
    }

    /// Whether it may ever have stood on a list there: nothing is put on one before that is noted.
    pub(super) fn is_noted(&self) -> bool {
        self.wanted.is_some()
    }

    /// All that it may open, whether or not it must.
    pub(super) fn opens(&self, doors: &Doors) -> Vec<OpenDoor> {
        let open = self.may_open(doors.of(&self.door_system));
        open.into_iter().map(|point| doors.describe(point)).collect()
    }

    /// Whether all that it may open belongs to this door system no more.
    pub(super) fn is_abandoned(&self, doors: &Doors) -> bool {
        let opens = self.opens(doors);
        let is_there = |door: &OpenDoor| doors.of(&self.door_system).any(|point| *point == door.access_point);
        match opens.is_empty() {
            true => doors.descriptor(&self.door_system).is_none(),
            false => !opens.iter().any(is_there),
        }
    }

    /// What it may open and must not, or at other times than it must.
    pub(crate) async fn still_opens(&self, db: &Db, doors: &Doors) -> Result<Vec<OpenDoor>, StoreError> {
        Ok(self.opens_beyond(&self.wanted_now(db).await?, doors))
    }

    /// The same, of what is wanted.
    pub(super) fn opens_beyond(&self, wanted: &Wanted, doors: &Doors) -> Vec<OpenDoor> {
        let mut opens = self.opens(doors);
        opens.retain(|door| !self.is_wanted(wanted, &AccessPointAddress(door.access_point.clone())));
        opens
    }

    /// What the directory wants of it there now.
    pub(super) async fn wanted_now(&self, db: &Db) -> Result<Wanted, StoreError> {
        let credential = match self.is_in_order {
            true => credential::get(db, self.credential_id).await?,
            false => None,
        };
        match credential {
            Some(credential) => placement::wanted(db, &self.door_system, &credential).await,
            None => Ok(Wanted::nothing()),
        }
    }

    /// Whether what it may open here is what is wanted. Of some hours, and of a first day that is to come, only once
    /// they were read: until then it may be others, and an earlier one.
    fn is_wanted(&self, wanted: &Wanted, point: &AccessPointAddress) -> bool {
        let Want::Present(rights) = &wanted.want else { return false };
        let Some(access) = rights.access.get(point) else { return false };
        if *access == Access::Always && !wanted.is_to_come {
            return true;
        }
        let Some(read) = self.told().filter(|_| self.is_read_at(point)) else { return false };
        let keeps_hours = *access == Access::Always || read.access.get(point) == Some(access);
        // No first day is before all days.
        keeps_hours && (!wanted.is_to_come || read.valid_from >= rights.valid_from)
    }

    /// Whether it was told last to open all of these, at all hours.
    pub(super) fn is_told_to_open(&self, points: &[String]) -> bool {
        let told = self.told().unwrap_or_default();
        let opens =
            |point: &String| told.access.get(&AccessPointAddress(point.clone())) == Some(&Access::Always);
        self.wanted.as_deref() == Some(PRESENT) && points.iter().all(opens)
    }

    fn is_read_at(&self, point: &AccessPointAddress) -> bool {
        self.points().get(point).is_some_and(|proof| proof.level() >= AckLevel::ReadBack)
    }

    pub(crate) fn points(&self) -> Points {
        let points = self.points.as_deref().map(serde_json::from_str::<Points>);
        points.and_then(Result::ok).unwrap_or_default()
    }

    /// Of a door system that has `all` these access points.
    fn may_open<'a>(&self, all: impl Iterator<Item = &'a String>) -> Vec<String> {
        let points = self.points();
        if points.is_empty() {
            // Of a row that names no point nobody knows where it stands.
            return all.cloned().collect();
        }
        let told = self.told();
        let has_let_go = |point: &AccessPointAddress, proof: &PointProof| {
            proof.level() >= AckLevel::ReadBack
                && told.as_ref().is_some_and(|told| !told.access.contains_key(point))
        };
        let open = points.iter().filter(|(point, proof)| !has_let_go(point, proof));
        open.map(|(point, _)| point.0.clone()).collect()
    }

    /// What the door system was last told that it should open. `None` when nobody knows, or when it was told to open
    /// nothing for an older state of the credential.
    fn told(&self) -> Option<Rights> {
        if self.wanted.as_deref() == Some(ABSENT) {
            return (self.is_current == Some(true)).then(Rights::default);
        }
        match serde_json::from_str::<Want>(self.rights.as_deref()?) {
            Ok(Want::Present(rights)) => Some(rights),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Ctx, Timestamp};

    use super::*;
    use crate::placement::json;

    fn opening(points: &[&str], access: Access) -> Want {
        let access = points.iter().map(|point| ((*point).into(), access)).collect();
        Want::Present(Rights { access, ..Rights::default() })
    }

    /// A card of whose placement this is known.
    fn standing(wanted: &str, opens: &[&str], points: &[(&str, AckLevel)], is_current: bool) -> Standing {
        let ctx = Ctx::for_tests(1);
        let proof = |level: &AckLevel| PointProof {
            accepted_at: (*level >= AckLevel::Accepted).then_some(Timestamp::EPOCH),
            read_back_at: (*level >= AckLevel::ReadBack).then_some(Timestamp::EPOCH),
            ..PointProof::default()
        };
        let points: Points = points.iter().map(|(point, level)| ((*point).into(), proof(level))).collect();
        Standing {
            door_system: "hq".into(),
            credential_id: CredentialId::new(&ctx),
            user_id: UserId::new(&ctx),
            user_name: "ada".into(),
            format: "h10301".into(),
            facility: 7,
            number: 1,
            credential_version: 1,
            is_in_order: false,
            wanted: Some(wanted.into()),
            rights: Some(json(&opening(opens, Access::Always))),
            points: Some(json(&points)),
            is_current: Some(is_current),
        }
    }

    #[test]
    fn a_door_has_let_go_when_it_was_read_so_for_what_is_wanted_now() {
        use AckLevel::{Accepted, ReadBack, Recorded};
        for (wanted, opens, points, is_current, open) in [
            // Nobody has looked yet: what was put there opens.
            (PRESENT, &["a", "b"][..], &[("a", ReadBack), ("b", ReadBack)][..], false, &["a", "b"][..]),
            (ABSENT, &[], &[("a", ReadBack), ("b", Accepted)], true, &["b"]),
            (ABSENT, &[], &[("a", ReadBack), ("b", Recorded)], true, &["b"]),
            (ABSENT, &[], &[("a", ReadBack)], true, &[]),
            // Proven for an older state of the credential.
            (ABSENT, &[], &[("a", ReadBack)], false, &["a"]),
            // A mover's lost door stands among the points until it was read to have let go.
            (PRESENT, &["a"], &[("a", ReadBack), ("b", Recorded)], true, &["a", "b"]),
            (PRESENT, &["a"], &[("a", ReadBack), ("b", ReadBack)], true, &["a"]),
            // Nobody knows where it stands.
            (ABSENT, &[], &[], true, &["a", "b", "c"]),
        ] {
            let all = ["a", "b", "c"].map(str::to_owned);
            let found = standing(wanted, opens, points, is_current).may_open(all.iter());
            assert_eq!(found, open, "{wanted} {opens:?} {points:?} current: {is_current}");
        }
    }

    fn wanted(want: Want) -> Wanted {
        Wanted { want, ..Wanted::nothing() }
    }

    #[test]
    fn hours_are_what_is_wanted_once_they_were_read_and_always_is_at_once() {
        use Access::{Always, TimeProfile};
        use AckLevel::{Accepted, ReadBack};
        for (told, level, access, is_wanted) in [
            (Always, Accepted, Always, true),
            (Always, ReadBack, TimeProfile(2), false),
            (TimeProfile(2), Accepted, TimeProfile(2), false),
            (TimeProfile(2), ReadBack, TimeProfile(2), true),
            (TimeProfile(3), ReadBack, TimeProfile(2), false),
            (TimeProfile(2), Accepted, Always, true),
        ] {
            let known = Standing {
                rights: Some(json(&opening(&["a"], told))),
                ..standing(PRESENT, &[], &[("a", level)], true)
            };
            let found = known.is_wanted(&wanted(opening(&["a"], access)), &"a".into());
            assert_eq!(found, is_wanted, "{told:?} {level:?} {access:?}");
            assert!(!known.is_wanted(&wanted(opening(&["b"], access)), &"a".into()));
            assert!(!known.is_wanted(&Wanted::nothing(), &"a".into()));
        }
    }

    #[test]
    fn what_is_to_come_is_what_is_wanted_once_a_first_day_was_read_that_is_not_before_it() {
        use Access::{Always, TimeProfile};
        use AckLevel::{Accepted, ReadBack};
        let day = |day: i8| Some(jiff::civil::date(2026, 11, day));
        let from = |first: Option<jiff::civil::Date>, access: Access| match opening(&["a"], access) {
            Want::Present(rights) => Want::Present(Rights { valid_from: first, ..rights }),
            Want::Absent => Want::Absent,
        };
        for (told, level, access, is_wanted) in [
            (from(None, Always), ReadBack, Always, false),
            (from(day(8), Always), ReadBack, Always, false),
            (from(day(9), Always), Accepted, Always, false),
            (from(day(9), Always), ReadBack, Always, true),
            (from(day(10), Always), ReadBack, Always, true),
            (from(day(9), TimeProfile(3)), ReadBack, TimeProfile(2), false),
            (from(day(9), TimeProfile(2)), ReadBack, TimeProfile(2), true),
        ] {
            let known =
                Standing { rights: Some(json(&told)), ..standing(PRESENT, &[], &[("a", level)], true) };
            let to_come = Wanted { is_to_come: true, ..wanted(from(day(9), access)) };
            assert_eq!(known.is_wanted(&to_come, &"a".into()), is_wanted, "{told:?} {level:?} {access:?}");
            // The day has come: it opens as it should, whatever it did before.
            let begun = wanted(from(day(9), Always));
            assert!(known.is_wanted(&begun, &"a".into()), "{told:?} {level:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_may_open_everything() {
        let broken = Standing { points: Some("{".into()), ..standing(ABSENT, &[], &[], true) };
        assert_eq!(broken.may_open(["a".to_owned()].iter()), ["a"]);
        let points = &[("a", AckLevel::ReadBack)];
        let broken = Standing { rights: Some("?".into()), ..standing(PRESENT, &["b"], points, true) };
        assert_eq!(broken.may_open(["a", "b"].map(str::to_owned).iter()), ["a"]);
    }
}
