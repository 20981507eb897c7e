//! The declaration file: TOML, one table per thing, unknown keys refused, secrets by file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use directory::declared::{Item, Kind};
use kernel::{Secret, Sensitivity, TokenHash};
use serde::Deserialize;
use serde_json::json;

use super::doors::{AccessProfile, DoorSystem, check_access_points, door_items, profile_item};
use crate::config::{read_toml, secret_in};
use crate::files;

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
    schedule: BTreeMap<String, Schedule>,
    door_system: BTreeMap<String, DoorSystem>,
    access_profile: BTreeMap<String, AccessProfile>,
    card_pool: BTreeMap<String, CardPool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    name: Option<String>,
    /// None for a service, which signs nobody in and acts for itself.
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
    /// `optional` for an application that keeps a secret and knows no PKCE; by default it is required.
    #[serde(default)]
    pkce: Pkce,
    /// Whether it is given refresh tokens: by default when it keeps a secret.
    refresh_tokens: Option<bool>,
    /// Where a browser may be sent after signing out, exactly.
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    /// Where logout tokens go (OpenID Connect Back-Channel Logout 1.0).
    backchannel_logout_uri: Option<String>,
    /// `true` for an application that ends sessions by `sid` only.
    #[serde(default)]
    backchannel_logout_session_required: bool,
    /// `true` for an application of somebody else: people are asked what it may know of them.
    #[serde(default)]
    third_party: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pkce {
    #[default]
    Required,
    Optional,
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

/// Which hours they are is set at the devices: a door system says which of its time profiles a schedule is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    title: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CardPool {
    format: String,
    facility: i64,
    first: i64,
    last: i64,
}

/// The text of a file that a declaration names.
pub(super) type Read<'a> = &'a dyn Fn(&Path) -> std::io::Result<String>;

/// A bearer secret must not be guessable: we hash it fast.
const SHORTEST_SECRET: usize = 32;

impl Declaration {
    /// Reads a text; the error names line and column.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        read_toml(text).map_err(FileError::Malformed)
    }

    /// The items in canonical form; files are taken from `folder` when relative.
    pub fn items(self, folder: &Path) -> Result<Vec<Item>, FileError> {
        self.items_with(&|file| files::read_text(&folder.join(file))).map_err(|error| match error {
            FileError::Unreadable { what, path, reason } => {
                FileError::Unreadable { what, path: folder.join(path), reason }
            }
            other => other,
        })
    }

    /// The same, with texts of files from elsewhere.
    pub fn items_with(self, read: Read<'_>) -> Result<Vec<Item>, FileError> {
        let mut items = Vec::new();
        for (name, client) in self.client {
            items.push(client_item(name, client, read)?);
        }
        for (name, connection) in self.scim_connection {
            let token = bearer(&format!("scim_connection {name}"), read, &connection.token_file)?;
            let fields = json!({ "token_hash": token.as_str() });
            items.push(Item::new(Kind::ScimConnection, name, fields));
        }
        for (name, policy) in self.policy {
            items.push(policy_item(name, policy, read)?);
        }
        for (name, area) in self.area {
            let fields = json!({
                "title": area.title.unwrap_or_else(|| name.clone()), "protection_class": area.protection_class,
            });
            items.push(Item::new(Kind::Area, name, fields));
        }
        for (name, schedule) in self.schedule {
            let fields = json!({ "title": schedule.title.unwrap_or_else(|| name.clone()) });
            items.push(Item::new(Kind::Schedule, name, fields));
        }
        check_access_points(&self.door_system)?;
        for (name, system) in self.door_system {
            door_items(name, system, read, &mut items)?;
        }
        for (name, profile) in self.access_profile {
            items.push(profile_item(name, profile)?);
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

fn client_item(name: String, client: Client, read: Read<'_>) -> Result<Item, FileError> {
    let secret_hash = match (&client.secret_file, client.public) {
        (Some(file), false) => Some(bearer(&format!("client {name}"), read, file)?.as_str().to_owned()),
        (None, true) => None,
        _ => {
            return Err(FileError::Contradiction(format!(
                "client {name}: give secret_file, or public = true for an application that can keep no secret"
            )));
        }
    };
    // Only what differs from the rule is written down.
    let pkce = (client.pkce == Pkce::Optional).then_some("optional");
    let fields = json!({
        "name": client.name.unwrap_or_else(|| name.clone()), "secret_hash": secret_hash,
        "redirect_uris": client.redirect_uris, "sensitivity": client.sensitivity, "project": client.project,
        "id_token_alg": client.id_token_alg, "pkce": pkce,
        "refresh_tokens": client.refresh_tokens.filter(|said| *said == client.public),
        "post_logout_redirect_uris": Some(client.post_logout_redirect_uris).filter(|uris| !uris.is_empty()),
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "backchannel_logout_session_required": client.backchannel_logout_session_required.then_some(true),
        "third_party": client.third_party.then_some(true),
    });
    Ok(Item::new(Kind::Client, name, fields))
}

fn policy_item(name: String, policy: Policy, read: Read<'_>) -> Result<Item, FileError> {
    let text = match (policy.text, policy.file) {
        (Some(text), None) => text,
        (None, Some(file)) => {
            read(&file).map_err(|error| unreadable(&format!("policy {name}"), &file, &error))?
        }
        _ => return Err(FileError::Contradiction(format!("policy {name}: give text or file, one of them"))),
    };
    Ok(Item::new(Kind::Policy, name, json!({ "text": text })))
}

pub(super) fn secret(what: &str, read: Read<'_>, file: &Path) -> Result<Secret<String>, FileError> {
    let text = read(file).map_err(|error| unreadable(what, file, error))?;
    secret_in(&text).map_err(|reason| unreadable(what, file, reason))
}

fn bearer(what: &str, read: Read<'_>, file: &Path) -> Result<TokenHash, FileError> {
    let secret = secret(what, read, file)?;
    if secret.expose().chars().count() < SHORTEST_SECRET {
        return Err(FileError::Contradiction(format!(
            "{what}: the secret in {} is shorter than {SHORTEST_SECRET} characters; make one with: openssl rand -base64 32",
            file.display()
        )));
    }
    Ok(TokenHash::of(secret.expose()))
}

fn unreadable(what: &str, file: &Path, reason: impl ToString) -> FileError {
    FileError::Unreadable { what: what.into(), path: file.into(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// A folder with files: a bearer secret of 32 characters, and what is wrong with others.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("good.secret", format!("{SECRET}\n")),
            ("windows.secret", format!("{SECRET}\r\n")),
            ("spaced.secret", format!(" {SECRET}")),
            ("short.secret", format!("{}\n", &SECRET[1..])),
            ("empty.secret", "\n".to_owned()),
            ("doors.cedar", "permit (principal, action, resource);\n".to_owned()),
        ] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        folder
    }

    fn read(text: &str) -> Result<Vec<Item>, FileError> {
        let folder = folder();
        Declaration::parse(text)?.items(folder.path())
    }

    #[track_caller]
    fn one(text: &str) -> Item {
        let mut items = read(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(items.len(), 1);
        items.remove(0)
    }

    #[track_caller]
    fn check(text: &str, expect: serde_json::Value) {
        let item = one(text);
        assert_eq!(item.fields, Item::new(item.kind, &item.name, expect).fields);
    }

    #[track_caller]
    fn refuses(text: &str, because: &[&str]) {
        let error = read(text).unwrap_err().to_string();
        for words in because {
            assert!(error.contains(words), "{words:?} is not in: {error}");
        }
    }

    #[test]
    fn nothing_declares_nothing() {
        assert!(read("").unwrap().is_empty());
        assert!(read("# nothing yet\n[client]\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        check(
            r#"
            [client.app]
            public = true
            redirect_uris = ["https://app.example/cb"]
            "#,
            json!({
                "name": "app", "redirect_uris": ["https://app.example/cb"], "sensitivity": "moderate",
                "id_token_alg": "ES256",
            }),
        );
        check("[area.hall]\nprotection_class = -1", json!({ "title": "hall", "protection_class": -1 }));
        check("[access_profile.p]\naccess_points = []", json!({ "title": "p", "access_points": [] }));
        check("[door_system.hq]\nconnector = \"x\"", json!({ "connector": "x" }));
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        check(
            r#"
            [client."grid console"]
            name = "Grid"
            secret_file = "good.secret"
            redirect_uris = []
            sensitivity = "critical"
            project = "grid"
            id_token_alg = "RS256"
            pkce = "optional"
            "#,
            json!({
                "name": "Grid", "secret_hash": TokenHash::of(SECRET).as_str(), "redirect_uris": [],
                "sensitivity": "critical", "project": "grid", "id_token_alg": "RS256", "pkce": "optional",
            }),
        );
        check(
            r#"
            [access_profile.p]
            title = "P"
            project = "grid"
            access_points = ["b", "a", "b"]
            "#,
            json!({ "title": "P", "project": "grid", "access_points": ["a", "b"] }),
        );
        check(
            r#"
            [card_pool.staff]
            format = "h10301"
            facility = 123
            first = 1
            last = 9
            "#,
            json!({ "format": "h10301", "facility": 123, "first": 1, "last": 9 }),
        );
    }

    #[test]
    fn what_a_client_says_by_default_is_not_written_down() {
        let client = |more: &str| {
            let base = if more.contains("public") { "" } else { "secret_file = \"good.secret\"\n" };
            one(&format!("[client.app]\nredirect_uris = []\n{base}{more}"))
        };
        for (more, expect) in [
            ("", None),
            ("refresh_tokens = true", None),
            ("refresh_tokens = false", Some(false)),
            ("public = true", None),
            ("public = true\nrefresh_tokens = false", None),
            ("public = true\nrefresh_tokens = true", Some(true)),
        ] {
            let item = client(more);
            assert_eq!(item.fields.get("refresh_tokens"), expect.map(|said| json!(said)).as_ref(), "{more}");
        }
        let silent = client("post_logout_redirect_uris = []\nbackchannel_logout_session_required = false");
        assert_eq!(silent.fields, client("").fields);
        let told = client(
            "post_logout_redirect_uris = [\"https://app.example/bye\"]\nbackchannel_logout_session_required = true\n\
             backchannel_logout_uri = \"https://app.example/logout\"",
        );
        assert_eq!(told.fields["post_logout_redirect_uris"], json!(["https://app.example/bye"]));
        assert_eq!(told.fields["backchannel_logout_uri"], "https://app.example/logout");
        assert_eq!(told.fields["backchannel_logout_session_required"], true);
        assert_eq!(client("third_party = false").fields, client("").fields);
        assert_eq!(client("third_party = true").fields["third_party"], true);
    }

    #[test]
    fn a_policy_is_given_as_text_or_as_file() {
        let expect = json!({ "text": "permit (principal, action, resource);\n" });
        check("[policy.p]\ntext = '''\npermit (principal, action, resource);\n'''", expect.clone());
        check("[policy.p]\nfile = \"doors.cedar\"", expect);
        refuses("[policy.p]", &["policy p", "text or file"]);
        refuses("[policy.p]\ntext = \"\"\nfile = \"doors.cedar\"", &["policy p", "text or file"]);
    }

    #[test]
    fn a_door_system_comes_with_its_access_points_and_its_own_settings() {
        let items = read(
            r#"
            [door_system.hq]
            connector = "uhppote"
            secret_file = "short.secret"
            config = { listen = "x", n = [1, 2.5] }
            access_points = { b = "hall", a = "lobby" }
            "#,
        )
        .unwrap();
        let names: Vec<_> = items.iter().map(|item| (item.kind, item.name.as_str())).collect();
        assert_eq!(names, [(Kind::AccessPoint, "a"), (Kind::AccessPoint, "b"), (Kind::DoorSystem, "hq")]);
        assert_eq!(
            (&items[1].fields["door_system"], &items[1].fields["area"]),
            (&json!("hq"), &json!("hall"))
        );
        assert_eq!(items[2].fields["config"], json!({ "listen": "x", "n": [1, 2.5] }));
        let secret = items[2].secret.as_ref().unwrap().expose();
        assert_eq!(secret.len(), 31, "it is as long as its vendor wants it");
    }

    #[test]
    fn cards_of_nobody_are_reported_unless_it_is_said_that_they_go_into_quarantine() {
        let system = |more: &str| format!("[door_system.hq]\nconnector = \"x\"\n{more}");
        check(&system("unknown_cards = \"report\""), json!({ "connector": "x" }));
        check(
            &system("unknown_cards = \"quarantine\""),
            json!({ "connector": "x", "unknown_cards": "quarantine" }),
        );
        refuses(&system("unknown_cards = \"burn\""), &["line 3", "burn", "quarantine"]);
    }

    #[test]
    fn an_access_point_belongs_to_one_door_system() {
        let system = |name: &str| {
            format!("[door_system.{name}]\nconnector = \"x\"\naccess_points = {{ d = \"hall\" }}\n")
        };
        let both = system("a") + &system("b");
        refuses(&both, &["access point d", "door_system a", "door_system b"]);
    }

    #[test]
    fn a_line_end_is_no_part_of_a_secret_and_a_space_is() {
        let hash = |file: &str| {
            let item = one(&format!("[scim_connection.hr]\ntoken_file = \"{file}\""));
            item.fields["token_hash"].as_str().unwrap().to_owned()
        };
        assert_eq!(hash("good.secret"), hash("windows.secret"));
        assert_ne!(hash("good.secret"), hash("spaced.secret"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        refuses(
            "[client.app]\npublic = true\nredirect_uri = \"x\"",
            &["line 3", "`redirect_uri`", "redirect_uris"],
        );
        refuses("\n\n[clients.app]", &["line 3", "`clients`", "client"]);
        for (kind, body) in [
            ("client", "redirect_uris = []"),
            ("scim_connection", "token_file = \"good.secret\""),
            ("policy", "text = \"\""),
            ("area", "protection_class = 1"),
            ("schedule", "title = \"s\""),
            ("door_system", "connector = \"x\""),
            ("access_profile", "access_points = []"),
            ("card_pool", "format = \"h10301\"\nfacility = 1\nfirst = 1\nlast = 2"),
        ] {
            let line = format!("line {}", body.lines().count() + 2);
            refuses(&format!("[{kind}.x]\n{body}\nno_such_key = 1"), &[&line, "no_such_key"]);
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line() {
        refuses("[area.hall]\nprotection_class = \"high\"", &["line 2", "high"]);
        refuses("[area.hall]", &["line 1", "protection_class"]);
        refuses("[client.a]\npublic = true\nredirect_uris = []\nsensitivity = \"Low\"", &["line 4", "low"]);
        refuses("[client.a]\nredirect_uris = \"https://a.example\"", &["line 2", "sequence"]);
        refuses("[area.hall]\nprotection_class = 1\nprotection_class = 2", &["line 3", "duplicate"]);
        refuses("[area.hall\nprotection_class = 1", &["line 1"]);
        refuses("[area.hall]\nprotection_class = 99999999999999999999", &["line 2"]);
    }

    #[test]
    fn a_client_has_a_secret_or_says_that_it_can_keep_none() {
        let neither = "[client.app]\nredirect_uris = []\n";
        let secret = "secret_file = \"good.secret\"\n";
        for text in [
            neither.to_owned(),
            format!("{neither}public = false"),
            format!("{neither}{secret}public = true"),
        ] {
            refuses(&text, &["client app", "give secret_file, or public = true"]);
        }
        assert!(one(&format!("{neither}{secret}public = false")).fields.contains_key("secret_hash"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_what_wants_it() {
        refuses(
            "[scim_connection.hr]\ntoken_file = \"none\"",
            &["scim_connection hr", "none", "No such file"],
        );
        refuses(
            "[scim_connection.hr]\ntoken_file = \"empty.secret\"",
            &["scim_connection hr", "it is empty"],
        );
        refuses("[client.a]\nredirect_uris = []\nsecret_file = \"none\"", &["client a", "none"]);
        refuses("[door_system.hq]\nconnector = \"x\"\nsecret_file = \"none\"", &["door_system hq", "none"]);
        refuses("[policy.p]\nfile = \"none.cedar\"", &["policy p", "none.cedar"]);
    }

    #[test]
    fn a_bearer_secret_that_could_be_guessed_is_refused_and_not_repeated() {
        for text in [
            "[scim_connection.hr]\ntoken_file = \"short.secret\"",
            "[client.a]\nredirect_uris = []\nsecret_file = \"short.secret\"",
        ] {
            refuses(text, &["short.secret", "shorter than 32 characters", "openssl rand"]);
            assert!(!read(text).unwrap_err().to_string().contains(&SECRET[1..9]));
        }
    }

    fn kinds(text: &str) -> std::collections::BTreeSet<Kind> {
        let folder = folder();
        for secret in ["hr.token", "grid-console.secret", "switchgear-control.secret", "substation.password"]
        {
            std::fs::write(folder.path().join(secret), SECRET).unwrap();
        }
        let items = Declaration::parse(text).and_then(|declared| declared.items(folder.path()));
        items.unwrap_or_else(|error| panic!("{error}")).iter().map(|item| item.kind).collect()
    }

    /// README.md points to them.
    #[test]
    fn the_examples_show_every_kind() {
        let text = include_str!("../stage/grid.toml")
            .replace("{console.callback}", "https://console.example/callback")
            .replace("{console.backchannel}", "https://console.example/backchannel")
            .replace("{control.callback}", "https://control.example/callback")
            .replace("{control.backchannel}", "https://control.example/backchannel")
            .replace("{serial}", "405419896")
            .replace("{controller}", "127.0.0.1:60000")
            .replace("{push}", "127.0.0.1:60001")
            .replace("{device_id}", "14227560204340541")
            .replace("{device}", "http://127.0.0.1:60002")
            .replace("{notices}", "127.0.0.1:60003");
        let hours = kinds(include_str!("hours.toml"));
        assert!(hours.contains(&Kind::Schedule));
        assert_eq!(kinds(&text).union(&hours).copied().collect::<Vec<_>>(), Kind::ALL);
    }
}
