//! What to do about a card until its door system is reached: worked out from what is known. Pure.
//!
//! | what it may open | who decides there | what is proposed |
//! |---|---|---|
//! | one or two doors of class 3 or more | anybody | guard them |
//! | more of them | a controller (R0, R1, R5) | switch it off |
//! | more of them | lock, key or card (R2, R3, R4): none needs a controller | lock up what is behind them |
//! | any door | what stands on the card (R4) | carry the new list to the locks |
//! | doors of class 1 or 2 | anybody | have those who work there look out for the card |
//! | anything | anybody | take the card back |
//!
//! What it is not: an order. Whoever knows the house decides, and notes what was done.
//!
//! To add a measure: a variant, its words, and the rows of the table above, and of the test's, in which it is due.

use std::fmt;

use super::OpenDoor;
use crate::connector::RevocationClass;

/// From this protection class on, a door cannot wait for five minutes, and somebody stands before it.
pub const SENSITIVE: i64 = 3;
/// So many doors can be guarded.
const GUARDED: usize = 2;

/// One thing that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Somebody at these access points who lets in only whom they know.
    Guard(Vec<String>),
    /// The controllers of this door system, so that its doors stay shut.
    SwitchOff(String),
    /// These areas, by a lock that no card opens.
    LockUp(Vec<String>),
    /// To the locks of these access points, by a card or a programmer.
    CarryList(Vec<String>),
    /// The card itself, from whoever has it.
    TakeBack,
    /// Those who see who comes in at these access points.
    LookOut(Vec<String>),
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard(points) => write!(f, "put a guard at {}", points.join(" and ")),
            Self::SwitchOff(system) => write!(
                f,
                "switch the controllers of {system} off where the locks stay shut without power, and leave the way \
                 out free"
            ),
            Self::LockUp(areas) => {
                write!(
                    f,
                    "lock up {} by a lock that no card opens, and leave the way out free",
                    areas.join(", ")
                )
            }
            Self::CarryList(points) => write!(f, "carry the new list to the locks of {}", points.join(", ")),
            Self::TakeBack => f.write_str("take the card back from its holder"),
            Self::LookOut(points) => {
                write!(f, "have those who work at {} look out for the card", points.join(", "))
            }
        }
    }
}

/// What to do, the most urgent first. Nothing when nothing may be opened.
#[must_use]
pub fn propose(door_system: &str, decides: Option<RevocationClass>, doors: &[OpenDoor]) -> Vec<Measure> {
    use RevocationClass::{R0, R1, R4, R5};
    if doors.is_empty() {
        return Vec::new();
    }
    let of_class = |fits: fn(i64) -> bool| {
        // Of a door that nobody describes any more, a class in the middle.
        doors.iter().filter(|door| fits(door.protection_class.unwrap_or(2))).collect::<Vec<_>>()
    };
    let names =
        |doors: &[&OpenDoor]| -> Vec<String> { doors.iter().map(|door| door.access_point.clone()).collect() };
    let sensitive = of_class(|class| class >= SENSITIVE);
    let watched = of_class(|class| (1..SENSITIVE).contains(&class));
    let mut measures = Vec::new();
    match (sensitive.len(), decides) {
        (0, _) => {}
        (1..=GUARDED, _) => measures.push(Measure::Guard(names(&sensitive))),
        (_, Some(R0 | R1 | R5)) => measures.push(Measure::SwitchOff(door_system.to_owned())),
        _ => {
            let mut areas: Vec<String> = sensitive.iter().map(|door| door.behind().to_owned()).collect();
            areas.sort();
            areas.dedup();
            measures.push(Measure::LockUp(areas));
        }
    }
    if decides == Some(R4) {
        measures.push(Measure::CarryList(doors.iter().map(|door| door.access_point.clone()).collect()));
    }
    measures.push(Measure::TakeBack);
    if !watched.is_empty() {
        measures.push(Measure::LookOut(names(&watched)));
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::Measure::{CarryList, Guard, LockUp, LookOut, SwitchOff, TakeBack};
    use super::*;
    use crate::connector::RevocationClass::{R0, R1, R2, R3, R4, R5};

    /// Doors `d0`, `d1`, … of these classes, each with an area of its own.
    fn doors(classes: &[i64]) -> Vec<OpenDoor> {
        let door = |(n, class): (usize, &i64)| OpenDoor {
            access_point: format!("d{n}"),
            area: Some(format!("Area {n}")),
            protection_class: Some(*class),
        };
        classes.iter().enumerate().map(door).collect()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_is_proposed_follows_from_who_decides_and_what_is_behind_how_many_doors() {
        let off = || SwitchOff("hq".into());
        for (decides, classes, expect) in [
            (Some(R1), &[][..], vec![]),
            (Some(R1), &[-1], vec![TakeBack]),
            (Some(R1), &[0, 0], vec![TakeBack]),
            (Some(R1), &[1], vec![TakeBack, LookOut(texts(&["d0"]))]),
            (Some(R1), &[0, 1, 2], vec![TakeBack, LookOut(texts(&["d1", "d2"]))]),
            (Some(R1), &[3], vec![Guard(texts(&["d0"])), TakeBack]),
            (Some(R1), &[1, 3, 5], vec![Guard(texts(&["d1", "d2"])), TakeBack, LookOut(texts(&["d0"]))]),
            (Some(R0), &[3, 3, 4], vec![off(), TakeBack]),
            (Some(R1), &[3, 3, 4], vec![off(), TakeBack]),
            (Some(R5), &[3, 3, 4], vec![off(), TakeBack]),
            (Some(R1), &[2, 3, 3, 4], vec![off(), TakeBack, LookOut(texts(&["d0"]))]),
            (Some(R2), &[3, 3, 4], vec![LockUp(texts(&["Area 0", "Area 1", "Area 2"])), TakeBack]),
            (
                Some(R3),
                &[1, 4, 4, 4],
                vec![LockUp(texts(&["Area 1", "Area 2", "Area 3"])), TakeBack, LookOut(texts(&["d0"]))],
            ),
            (Some(R3), &[4], vec![Guard(texts(&["d0"])), TakeBack]),
            (Some(R4), &[1], vec![CarryList(texts(&["d0"])), TakeBack, LookOut(texts(&["d0"]))]),
            (Some(R4), &[4], vec![Guard(texts(&["d0"])), CarryList(texts(&["d0"])), TakeBack]),
            (None, &[3, 3, 3], vec![LockUp(texts(&["Area 0", "Area 1", "Area 2"])), TakeBack]),
        ] {
            assert_eq!(propose("hq", decides, &doors(classes)), expect, "{decides:?} {classes:?}");
        }
    }

    #[test]
    fn an_area_with_three_doors_is_locked_up_once() {
        let mut doors = doors(&[3, 3, 3]);
        doors.iter_mut().for_each(|door| door.area = Some("Vault".into()));
        assert_eq!(propose("hq", Some(R2), &doors)[0], LockUp(texts(&["Vault"])));
    }

    #[test]
    fn a_door_that_nobody_describes_any_more_is_looked_at_and_named_by_itself() {
        let gone = |name: &str| OpenDoor { access_point: name.into(), area: None, protection_class: None };
        assert_eq!(propose("hq", None, &[gone("old")]), [TakeBack, LookOut(texts(&["old"]))]);
    }

    #[test]
    fn whoever_shuts_doors_is_told_to_leave_the_way_out_free() {
        for measure in [SwitchOff("hq".into()), LockUp(texts(&["Vault"]))] {
            assert!(measure.to_string().ends_with("leave the way out free"), "{measure}");
        }
        assert_eq!(Guard(texts(&["a", "b"])).to_string(), "put a guard at a and b");
    }
}
