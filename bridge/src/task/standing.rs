//! What a card may still open at a door system, and must not: by what was proven there, door by door, held against
//! what the directory wants now. As receipts judge it: what was proven for an older state of the credential proves
//! nothing of this one.

use std::collections::BTreeMap;

use directory::credential;
use kernel::id::{CredentialId, UserId};
use store::{Db, StoreError, sql};

use super::OpenDoor;
use crate::connector::{Access, AccessPointAddress, AckLevel, Descriptor, Want};
use crate::placement::{self, ABSENT, PRESENT, PointProof, Points};
use crate::systems;

/// Every access point that is configured: its door system, and what is behind it. And what is to be said of each door
/// system.
pub(super) struct Doors {
    points: BTreeMap<String, Behind>,
    systems: BTreeMap<String, Descriptor>,
}

struct Behind {
    door_system: String,
    area: String,
    protection_class: i64,
}

impl Doors {
    pub(super) async fn read(db: &Db) -> Result<Self, StoreError> {
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

    /// `None` of a door system that is not configured any more.
    pub(super) fn descriptor(&self, door_system: &str) -> Option<&Descriptor> {
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
pub(super) struct Standing {
    pub(super) door_system: String,
    pub(super) credential_id: CredentialId,
    pub(super) user_id: UserId,
    pub(super) user_name: String,
    format: String,
    facility: i64,
    number: i64,
    /// Raised at each change of the credential.
    pub(super) credential_version: i64,
    /// Somebody may carry it.
    is_in_order: bool,
    /// Of the placement, if there is one ([`placement::Placement`]).
    wanted: Option<String>,
    rights: Option<String>,
    points: Option<String>,
    /// The placement is for the credential as it is now.
    is_current: Option<bool>,
}

impl Standing {
    /// The card as people write it.
    pub(super) fn card(&self) -> String {
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
    pub(super) async fn still_opens(&self, db: &Db, doors: &Doors) -> Result<Vec<OpenDoor>, StoreError> {
        let want = self.wanted_now(db).await?;
        let mut opens = self.opens(doors);
        opens.retain(|door| !self.is_wanted(&want, &AccessPointAddress(door.access_point.clone())));
        Ok(opens)
    }

    async fn wanted_now(&self, db: &Db) -> Result<Want, StoreError> {
        let credential = match self.is_in_order {
            true => credential::get(db, self.credential_id).await?,
            false => None,
        };
        match credential {
            Some(credential) => Ok(placement::wanted(db, &self.door_system, &credential).await?.want),
            None => Ok(Want::Absent),
        }
    }

    /// Whether what it may open here is what is wanted. Of some hours only once they were read: until then it may be
    /// others.
    fn is_wanted(&self, want: &Want, point: &AccessPointAddress) -> bool {
        let Want::Present(rights) = want else { return false };
        match rights.access.get(point) {
            None => false,
            Some(Access::Always) => true,
            hours => self.told().as_ref().and_then(|told| told.get(point)) == hours && self.is_read_at(point),
        }
    }

    /// Whether it was told last to open all of these, at all times.
    pub(super) fn is_told_to_open(&self, points: &[String]) -> bool {
        let told = self.told().unwrap_or_default();
        let opens = |point: &String| told.get(&AccessPointAddress(point.clone())) == Some(&Access::Always);
        self.wanted.as_deref() == Some(PRESENT) && points.iter().all(opens)
    }

    fn is_read_at(&self, point: &AccessPointAddress) -> bool {
        self.points().get(point).is_some_and(|proof| proof.level() >= AckLevel::ReadBack)
    }

    fn points(&self) -> Points {
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
            proof.level() >= AckLevel::ReadBack && told.as_ref().is_some_and(|told| !told.contains_key(point))
        };
        let open = points.iter().filter(|(point, proof)| !has_let_go(point, proof));
        open.map(|(point, _)| point.0.clone()).collect()
    }

    /// What the door system was last told that it should open. `None` when nobody knows, or when it was told to open
    /// nothing for an older state of the credential.
    fn told(&self) -> Option<BTreeMap<AccessPointAddress, Access>> {
        if self.wanted.as_deref() == Some(ABSENT) {
            return (self.is_current == Some(true)).then(BTreeMap::new);
        }
        match serde_json::from_str::<Want>(self.rights.as_deref()?) {
            Ok(Want::Present(rights)) => Some(rights.access),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Ctx, Timestamp};

    use super::*;
    use crate::connector::Rights;
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

    #[test]
    fn hours_are_what_is_wanted_once_they_were_read_and_always_is_at_once() {
        use Access::{Always, TimeProfile};
        use AckLevel::{Accepted, ReadBack};
        for (told, level, wanted, is_wanted) in [
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
            let found = known.is_wanted(&opening(&["a"], wanted), &"a".into());
            assert_eq!(found, is_wanted, "{told:?} {level:?} {wanted:?}");
            assert!(!known.is_wanted(&opening(&["b"], wanted), &"a".into()));
            assert!(!known.is_wanted(&Want::Absent, &"a".into()));
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
