//! Where door systems hear of their devices: each at an address of its own.
//!
//! Of two that listen at one address one would hear nothing; where devices ask us, all of its doors would stay shut.
//! Port 0 is any that is free. Whether something else has the port already, only listening tells.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use directory::declared::{Item, Kind};

use super::{ApplyError, text};

/// No two door systems of one kind listen at one address. (Kinds differ in their transport.)
pub(super) fn check(after: &[Item]) -> Result<(), ApplyError> {
    let mut taken: BTreeMap<(String, SocketAddrV4), &str> = BTreeMap::new();
    for system in after.iter().filter(|item| item.kind == Kind::DoorSystem) {
        let written = system.fields.get("config").and_then(|config| config.get("listen")?.as_str());
        let address = written.and_then(|written| written.parse::<SocketAddrV4>().ok());
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        if let Some(other) = taken.insert((text(system, "connector"), address), &system.name) {
            return Err(ApplyError::Doors(format!(
                "door system {}: listen = \"{address}\" is where {other} listens, and one of them would hear nothing: \
                 give each a port of its own",
                system.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_door_systems_of_one_kind_listen_at_two_addresses() {
        let system = |name: &str, connector: &str, listen: &str| {
            let fields = json!({ "connector": connector, "config": { "listen": listen } });
            Item::new(Kind::DoorSystem, name, fields)
        };
        for (kind, listen, is_refused) in [
            ("controlid", "10.0.0.2:8470", true),
            ("controlid", "10.0.0.2:8471", false),
            ("controlid", "10.0.0.3:8470", false),
            ("uhppote", "10.0.0.2:8470", false),
        ] {
            let items = [system("one", "controlid", "10.0.0.2:8470"), system("two", kind, listen)];
            let said = check(&items).err().map(|error| error.to_string()).unwrap_or_default();
            let says = "door system two: listen = \"10.0.0.2:8470\" is where one listens";
            assert_eq!(said.starts_with(says), is_refused, "{kind} {listen}: {said}");
            assert_eq!(said.is_empty(), !is_refused, "{said}");
        }
        let anywhere = [system("one", "controlid", "127.0.0.1:0"), system("two", "controlid", "127.0.0.1:0")];
        assert!(check(&anywhere).is_ok());
        let silent = Item::new(Kind::DoorSystem, "three", json!({ "connector": "controlid", "config": {} }));
        assert!(check(&[silent.clone(), silent]).is_ok());
    }
}
