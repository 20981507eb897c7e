//! The declaration file: TOML, one table per thing, unknown keys refused, secrets by file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use directory::declared::{Item, Kind};
use kernel::{Secret, Sensitivity, TokenHash};
use serde::Deserialize;
use serde_json::json;

use crate::config::read_secret;

/// Why a file cannot be read as a declaration.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not TOML, or not these keys; with line and column.
    #[error("{0}")]
    Malformed(String),
    /// A file that it names cannot be read.
    #[error("{what}: cannot read {}: {reason}", path.display())]
    Unreadable {
        /// Whose file.
        what: String,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Two keys exclude each other, or one is missing.
    #[error("{0}")]
    Contradiction(String),
}

/// What a file declares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Declaration {
    client: BTreeMap<String, Client>,
    scim_connection: BTreeMap<String, ScimConnection>,
    policy: BTreeMap<String, Policy>,
    area: BTreeMap<String, Area>,
    door_system: BTreeMap<String, DoorSystem>,
    access_profile: BTreeMap<String, AccessProfile>,
    card_pool: BTreeMap<String, CardPool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    name: Option<String>,
    redirect_uris: Vec<String>,
    /// A file that holds the client's secret; at least 32 characters.
    secret_file: Option<PathBuf>,
    /// `true` for an application that can keep no secret (browser, phone).
    #[serde(default)]
    public: bool,
    #[serde(default = "moderate")]
    sensitivity: Sensitivity,
    project: Option<String>,
    #[serde(default = "es256")]
    id_token_alg: String,
}

fn moderate() -> Sensitivity {
    Sensitivity::Moderate
}

fn es256() -> String {
    "ES256".into()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScimConnection {
    /// A file that holds the bearer token; at least 32 characters.
    token_file: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    text: Option<String>,
    file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Area {
    title: Option<String>,
    protection_class: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoorSystem {
    connector: String,
    secret_file: Option<PathBuf>,
    /// The connector's own settings.
    #[serde(default)]
    config: serde_json::Value,
    /// Access point → area.
    #[serde(default)]
    access_points: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessProfile {
    title: Option<String>,
    project: Option<String>,
    access_points: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CardPool {
    format: String,
    facility: i64,
    first: i64,
    last: i64,
}

/// A bearer secret must not be guessable: we hash it fast.
const SHORTEST_SECRET: usize = 32;

impl Declaration {
    /// Reads a text; the error names line and column.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        toml::from_str(text).map_err(|error| FileError::Malformed(error.to_string().trim_end().to_owned()))
    }

    /// The items in canonical form; files are taken from `folder` when relative.
    pub fn items(self, folder: &Path) -> Result<Vec<Item>, FileError> {
        let mut items = Vec::new();
        for (name, client) in self.client {
            items.push(client_item(name, client, folder)?);
        }
        for (name, connection) in self.scim_connection {
            let token = bearer(&format!("scim_connection {name}"), folder, &connection.token_file)?;
            let fields = json!({ "token_hash": token.as_str() });
            items.push(Item::new(Kind::ScimConnection, name, fields));
        }
        for (name, policy) in self.policy {
            items.push(policy_item(name, policy, folder)?);
        }
        for (name, area) in self.area {
            let fields = json!({
                "title": area.title.unwrap_or_else(|| name.clone()), "protection_class": area.protection_class,
            });
            items.push(Item::new(Kind::Area, name, fields));
        }
        for (name, system) in self.door_system {
            door_items(name, system, folder, &mut items)?;
        }
        for (name, profile) in self.access_profile {
            let mut points = profile.access_points;
            points.sort();
            points.dedup();
            let fields = json!({
                "title": profile.title.unwrap_or_else(|| name.clone()), "project": profile.project,
                "access_points": points,
            });
            items.push(Item::new(Kind::AccessProfile, name, fields));
        }
        for (name, pool) in self.card_pool {
            let fields = json!({
                "format": pool.format, "facility": pool.facility, "first": pool.first, "last": pool.last,
            });
            items.push(Item::new(Kind::CardPool, name, fields));
        }
        Ok(items)
    }
}

fn client_item(name: String, client: Client, folder: &Path) -> Result<Item, FileError> {
    let secret_hash = match (&client.secret_file, client.public) {
        (Some(file), false) => Some(bearer(&format!("client {name}"), folder, file)?.as_str().to_owned()),
        (None, true) => None,
        _ => {
            return Err(FileError::Contradiction(format!(
                "client {name}: give secret_file, or public = true for an application that can keep no secret"
            )));
        }
    };
    let fields = json!({
        "name": client.name.unwrap_or_else(|| name.clone()), "secret_hash": secret_hash,
        "redirect_uris": client.redirect_uris, "sensitivity": client.sensitivity, "project": client.project,
        "id_token_alg": client.id_token_alg,
    });
    Ok(Item::new(Kind::Client, name, fields))
}

fn policy_item(name: String, policy: Policy, folder: &Path) -> Result<Item, FileError> {
    let text = match (policy.text, policy.file) {
        (Some(text), None) => text,
        (None, Some(file)) => {
            let path = folder.join(file);
            std::fs::read_to_string(&path)
                .map_err(|error| unreadable(format!("policy {name}"), path, &error))?
        }
        _ => return Err(FileError::Contradiction(format!("policy {name}: give text or file, one of them"))),
    };
    Ok(Item::new(Kind::Policy, name, json!({ "text": text })))
}

fn door_items(
    name: String,
    system: DoorSystem,
    folder: &Path,
    items: &mut Vec<Item>,
) -> Result<(), FileError> {
    let secret = match &system.secret_file {
        Some(file) => Some(secret(&format!("door_system {name}"), folder, file)?),
        None => None,
    };
    for (point, area) in system.access_points {
        items.push(Item::new(Kind::AccessPoint, point, json!({ "door_system": name, "area": area })));
    }
    let fields = json!({ "connector": system.connector, "config": system.config });
    items.push(Item::new(Kind::DoorSystem, name, fields).with_secret(secret));
    Ok(())
}

fn secret(what: &str, folder: &Path, file: &Path) -> Result<Secret<String>, FileError> {
    let path = folder.join(file);
    read_secret(&path).map_err(|reason| FileError::Unreadable { what: what.into(), path, reason })
}

fn bearer(what: &str, folder: &Path, file: &Path) -> Result<TokenHash, FileError> {
    let secret = secret(what, folder, file)?;
    if secret.expose().chars().count() < SHORTEST_SECRET {
        return Err(FileError::Contradiction(format!(
            "{what}: the secret in {} is shorter than {SHORTEST_SECRET} characters; make one with: openssl rand -base64 32",
            file.display()
        )));
    }
    Ok(TokenHash::of(secret.expose()))
}

fn unreadable(what: String, path: PathBuf, error: &std::io::Error) -> FileError {
    FileError::Unreadable { what, path, reason: error.to_string() }
}
