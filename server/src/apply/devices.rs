//! Which door system speaks to which device: each device belongs to one.
//!
//! A card stands once on a device's list, whoever put it there. Of two door systems that share one each would take for
//! its own what the other has put there, and take the other's cards off.

use std::collections::{BTreeMap, BTreeSet};

use bridge::connector::Connector;
use directory::declared::Item;

use super::{ApplyError, text};

/// The devices of the door systems that were looked at, by the kind of connector: each maker counts its own.
#[derive(Debug, Default)]
pub(super) struct Devices(BTreeMap<(String, String), String>);

impl Devices {
    /// Those of one door system, which no other has.
    pub(super) fn add(&mut self, system: &Item, connector: &dyn Connector) -> Result<(), ApplyError> {
        let devices: BTreeSet<String> = connector.units().into_values().map(|unit| unit.device).collect();
        for device in devices {
            let key = (text(system, "connector"), device);
            if let Some(other) = self.0.get(&key) {
                return Err(ApplyError::Doors(format!(
                    "door system {}: device {} belongs to {other}, and each would take the other's cards off its list: name \
                     all of its doors in one of them",
                    system.name, key.1
                )));
            }
            self.0.insert(key, system.name.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bridge::connector::Opening;
    use directory::declared::Kind;
    use kernel::{Ctx, Secret};
    use serde_json::{Value, json};

    use super::*;

    fn uhppote(serial: u32, door: &str) -> Value {
        let address = format!("10.0.0.{serial}:60000");
        json!({ "controllers": [{ "serial": serial, "address": address, "doors": { door: "main" } }] })
    }

    fn controlid(device: u32) -> Value {
        let device = json!({ "device_id": device, "url": "http://10.0.0.9", "portals": { "1": "gate" } });
        json!({ "login": "cardea", "devices": [device] })
    }

    #[test]
    fn a_device_belongs_to_one_door_system() {
        let ctx = Ctx::for_tests(1);
        let one = uhppote(7, "1");
        for (kind, config, is_refused) in [
            // Another door of the same controller stands on the same list.
            ("uhppote", uhppote(7, "2"), true),
            ("uhppote", uhppote(8, "1"), false),
            ("controlid", controlid(7), false),
        ] {
            let mut devices = Devices::default();
            let mut add = |name: &str, kind: &str, config: &Value| {
                let system =
                    Item::new(Kind::DoorSystem, name, json!({ "connector": kind, "config": config }));
                let secret = (kind == "controlid").then(|| Secret::new("a long password".to_owned()));
                let opening = Opening { secret, ..Opening::new(&ctx, config) };
                let connector = bridge::connector::open(kind, opening).unwrap();
                devices.add(&system, connector.as_ref()).map_err(|error| error.to_string())
            };
            add("one", "uhppote", &one).unwrap();
            let said = add("two", kind, &config).err().unwrap_or_default();
            let says = "door system two: device 7 belongs to one, and each would take the other's cards off";
            assert_eq!(said.starts_with(says), is_refused, "{kind} {config}: {said}");
            assert_eq!(said.is_empty(), !is_refused, "{said}");
        }
        // Many doors of one device are one device.
        let config = json!({ "controllers": [
            { "serial": 7, "address": "10.0.0.7:60000", "doors": { "1": "main", "2": "side" } },
        ] });
        let system = Item::new(Kind::DoorSystem, "one", json!({ "connector": "uhppote", "config": config }));
        let connector = bridge::connector::open("uhppote", Opening::new(&ctx, &config)).unwrap();
        assert!(Devices::default().add(&system, connector.as_ref()).is_ok());
    }
}
