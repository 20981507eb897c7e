//! The configuration: sections of keys, and every value a string.
//!
//! A key that the device does not have makes the whole request fail, as a firmware 5.13.2 was seen to do. Here are the
//! keys that this device obeys, and a few without effect that clients like to set. To add one: a row in [`KNOWN`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::row::type_of;

/// What the text of a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    /// `0` or `1`.
    Flag,
    /// Digits.
    Number,
}

/// Section, key, shape, and the value of a device that leaves the factory.
const KNOWN: [(&str, &str, Shape, &str); 24] = [
    ("general", "online", Shape::Flag, "0"),
    ("general", "local_identification", Shape::Flag, "1"),
    ("general", "exception_mode", Shape::Text, "none"),
    ("general", "attendance_mode", Shape::Flag, "0"),
    ("general", "beep_enabled", Shape::Flag, "1"),
    ("general", "language", Shape::Text, "en_US"),
    ("identifier", "verbose_logging", Shape::Flag, "1"),
    ("identifier", "card_identification_enabled", Shape::Flag, "1"),
    ("online_client", "server_id", Shape::Text, ""),
    ("online_client", "extract_template", Shape::Flag, "0"),
    ("online_client", "request_timeout", Shape::Number, "5000"),
    ("online_client", "max_request_attempts", Shape::Number, "3"),
    ("online_client", "contingency_enabled", Shape::Flag, "1"),
    ("online_client", "alive_interval", Shape::Number, "60000"),
    ("monitor", "hostname", Shape::Text, ""),
    ("monitor", "port", Shape::Number, ""),
    ("monitor", "path", Shape::Text, "api/notifications"),
    ("monitor", "request_timeout", Shape::Number, "1000"),
    ("monitor", "alive_interval", Shape::Number, "30000"),
    ("monitor", "inform_access_event_id", Shape::Flag, "0"),
    ("ntp", "enabled", Shape::Flag, "0"),
    ("ntp", "timezone", Shape::Text, "UTC-3"),
    ("push_server", "push_remote_address", Shape::Text, ""),
    ("push_server", "push_request_period", Shape::Number, "5"),
];

/// The longest that the device waits for its server, says the vendor.
const LONGEST_WAIT: u64 = 5000;

/// Where the monitor sends its notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Monitor {
    /// Up to and with the `/` before the topic.
    pub(super) base: String,
    pub(super) timeout: Duration,
}

/// What is set.
#[derive(Clone, Debug)]
pub(super) struct Settings(BTreeMap<(&'static str, &'static str), String>);

impl Settings {
    /// Of a device that leaves the factory, whose firmware does not know these.
    pub(super) fn factory(unknown: &[(&str, &str)]) -> Self {
        let known = KNOWN.iter().filter(|known| !unknown.contains(&(known.0, known.1)));
        Self(known.map(|(section, key, _, value)| ((*section, *key), (*value).to_owned())).collect())
    }

    /// Whether the device may decide while its server does not answer. Without the setting it does.
    pub(super) fn may_go_alone(&self) -> bool {
        self.0.get(&("online_client", "contingency_enabled")).is_none_or(|set| set == "1")
    }

    pub(super) fn text(&self, section: &'static str, key: &'static str) -> &str {
        self.0.get(&(section, key)).map_or("", String::as_str)
    }

    pub(super) fn is_on(&self, section: &'static str, key: &'static str) -> bool {
        self.text(section, key) == "1"
    }

    fn number(&self, section: &'static str, key: &'static str) -> Option<u64> {
        self.text(section, key).parse().ok()
    }

    fn milliseconds(&self, section: &'static str, key: &'static str) -> Duration {
        Duration::from_millis(self.number(section, key).unwrap_or(0))
    }

    /// Nothing as long as nobody said where to.
    pub(super) fn monitor(&self) -> Option<Monitor> {
        let (hostname, port) = (self.text("monitor", "hostname"), self.text("monitor", "port"));
        if hostname.is_empty() || port.is_empty() {
            return None;
        }
        let path = self.text("monitor", "path").trim_matches('/');
        let base = match path {
            "" => format!("http://{hostname}:{port}/"),
            path => format!("http://{hostname}:{port}/{path}/"),
        };
        Some(Monitor { base, timeout: self.milliseconds("monitor", "request_timeout") })
    }

    /// How often the monitor is told that the device is there; 0 is never.
    pub(super) fn monitor_interval(&self) -> Duration {
        self.milliseconds("monitor", "alive_interval")
    }

    /// How often the server is asked, in contingency, whether it is back; 0 is never.
    pub(super) fn server_interval(&self) -> Duration {
        self.milliseconds("online_client", "alive_interval")
    }

    /// How long the server is waited for.
    pub(super) fn patience(&self) -> Duration {
        let wait = self.number("online_client", "request_timeout").unwrap_or(LONGEST_WAIT);
        Duration::from_millis(wait.min(LONGEST_WAIT))
    }

    /// After how many failures in a row the device goes on alone.
    pub(super) fn attempts(&self) -> u64 {
        self.number("online_client", "max_request_attempts").unwrap_or(3).max(1)
    }

    /// The row of `devices` that is the server.
    pub(super) fn server_id(&self) -> Option<i64> {
        self.text("online_client", "server_id").parse().ok()
    }

    /// `{"section": ["key"]}` to `{"section": {"key": "value"}}`; an empty list gives nothing, not everything.
    pub(super) fn get(&self, sections: &Map<String, Value>) -> Result<Value, Refusal> {
        let mut answer = json!({});
        for (section, keys) in sections {
            let keys = keys.as_array().ok_or_else(|| Refusal::of_type(section, "array", type_of(keys)))?;
            for key in keys {
                let name = key.as_str().ok_or_else(|| Refusal::of_type(section, "string", type_of(key)))?;
                let (known_section, known_key, _) = self.known(section, name)?;
                answer[section.as_str()][name] = self.text(known_section, known_key).into();
            }
        }
        Ok(answer)
    }

    /// Sets all of it, or nothing.
    pub(super) fn set(&mut self, sections: &Map<String, Value>) -> Result<(), Refusal> {
        let mut changed = self.0.clone();
        for (section, keys) in sections {
            let keys = keys.as_object().ok_or_else(|| Refusal::of_type(section, "object", type_of(keys)))?;
            for (key, value) in keys {
                let (known_section, known_key, shape) = self.known(section, key)?;
                let text = value.as_str().ok_or_else(|| Refusal::bad("Invalid data (string expected)"))?;
                let fits = match shape {
                    Shape::Text => true,
                    Shape::Flag => matches!(text, "0" | "1"),
                    Shape::Number => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
                };
                if !fits {
                    return Err(Refusal::bad(format!("Invalid value '{text}' for {section}->{key}")));
                }
                changed.insert((known_section, known_key), text.to_owned());
            }
        }
        self.0 = changed;
        Ok(())
    }

    fn known(&self, section: &str, key: &str) -> Result<(&'static str, &'static str, Shape), Refusal> {
        let found = KNOWN.iter().find(|known| known.0 == section && known.1 == key);
        let found = found.filter(|known| self.0.contains_key(&(known.0, known.1)));
        let path = || format!("Node or attribute not found. Node path: config->{section}->param[name={key}]");
        found.map(|known| (known.0, known.1, known.2)).ok_or_else(|| Refusal::bad(path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &mut Settings, sections: Value) -> Result<(), String> {
        settings.set(sections.as_object().unwrap()).map_err(|refusal| refusal.words)
    }

    fn get(settings: &Settings, sections: Value) -> Result<Value, String> {
        settings.get(sections.as_object().unwrap()).map_err(|refusal| refusal.words)
    }

    #[test]
    fn values_are_strings_and_come_back_as_strings() {
        let mut settings = Settings::factory(&[]);
        set(&mut settings, json!({ "general": { "online": "1" }, "monitor": { "port": "80" } })).unwrap();
        let asked = json!({ "general": ["online", "beep_enabled"], "monitor": [] });
        let expect = json!({ "general": { "online": "1", "beep_enabled": "1" } });
        assert_eq!(get(&settings, asked).unwrap(), expect);
    }

    #[test]
    fn one_wrong_value_and_nothing_is_set() {
        let check = |sections: Value, words: &str| {
            let mut settings = Settings::factory(&[]);
            assert_eq!(set(&mut settings, sections.clone()).unwrap_err(), words, "{sections}");
            assert!(!settings.is_on("general", "online"), "{sections}");
        };
        let with = |section: &str, key: &str, value: Value| {
            let mut sections = json!({ "general": { "online": "1" } });
            sections[section][key] = value;
            sections
        };
        check(with("monitor", "port", json!(80)), "Invalid data (string expected)");
        check(with("monitor", "port", json!("http")), "Invalid value 'http' for monitor->port");
        check(
            with("general", "local_identification", json!("yes")),
            "Invalid value 'yes' for general->local_identification",
        );
        let path = "Node or attribute not found. Node path: config->general->param[name=ihm_enterprise_mode]";
        check(with("general", "ihm_enterprise_mode", json!("1")), path);
        check(json!({ "general": "1" }), "Invalid member 'general' (object expected, got string)");
        let unknown = get(&Settings::factory(&[]), json!({ "general": ["nothing"] }));
        assert!(unknown.unwrap_err().ends_with("param[name=nothing]"));
    }

    #[test]
    fn older_firmware_refuses_what_it_does_not_know_and_decides_alone() {
        let mut settings = Settings::factory(&[("online_client", "contingency_enabled")]);
        let forbid = || json!({ "online_client": { "contingency_enabled": "0" } });
        assert!(set(&mut settings, forbid()).unwrap_err().ends_with("param[name=contingency_enabled]"));
        assert!(get(&settings, json!({ "online_client": ["contingency_enabled"] })).is_err());
        assert!(settings.may_go_alone());
        let mut newer = Settings::factory(&[]);
        assert!(newer.may_go_alone());
        set(&mut newer, forbid()).unwrap();
        assert!(!newer.may_go_alone());
    }

    #[test]
    fn the_monitor_is_where_it_was_said_to_be() {
        let mut settings = Settings::factory(&[]);
        assert_eq!(settings.monitor(), None);
        let mut check = |path: &str, expect: &str| {
            let monitor =
                json!({ "hostname": "127.0.0.1", "port": "8000", "path": path, "request_timeout": "50" });
            set(&mut settings, json!({ "monitor": monitor })).unwrap();
            let expect = Monitor { base: expect.to_owned(), timeout: Duration::from_millis(50) };
            assert_eq!(settings.monitor(), Some(expect), "{path}");
        };
        check("api/notifications", "http://127.0.0.1:8000/api/notifications/");
        check("/deep/", "http://127.0.0.1:8000/deep/");
        check("", "http://127.0.0.1:8000/");
    }

    #[test]
    fn the_server_is_waited_for_five_seconds_at_most() {
        let mut settings = Settings::factory(&[]);
        set(
            &mut settings,
            json!({ "online_client": { "request_timeout": "60000", "max_request_attempts": "0" } }),
        )
        .unwrap();
        assert_eq!((settings.patience(), settings.attempts()), (Duration::from_secs(5), 1));
    }
}
