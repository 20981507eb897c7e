//! The commands: which there are, how their requests look, and what the device does about them.
//!
//! A command that the vendor says answers nothing answers an empty body here. To add one: a variant in [`Command`], an
//! arm in [`Command::carry_out`], and a row in the tables of `sim/tests/controlid`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::decision::event;
use super::objects;
use super::refusal::Refusal;
use super::row::{ints, type_of};
use super::state::State;
use crate::http::Request;

/// What a command answers.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Empty,
    Json(Value),
}

/// A command that this device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Login,
    Logout,
    SessionIsValid,
    ChangeLogin,
    CreateObjects,
    LoadObjects,
    ModifyObjects,
    DestroyObjects,
    CreateOrModifyObjects,
    GetConfiguration,
    SetConfiguration,
    SystemInformation,
    SetSystemTime,
    ExecuteActions,
}

impl Command {
    pub(super) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/login.fcgi" => Self::Login,
            "/logout.fcgi" => Self::Logout,
            "/session_is_valid.fcgi" => Self::SessionIsValid,
            "/change_login.fcgi" => Self::ChangeLogin,
            "/create_objects.fcgi" => Self::CreateObjects,
            "/load_objects.fcgi" => Self::LoadObjects,
            "/modify_objects.fcgi" => Self::ModifyObjects,
            "/destroy_objects.fcgi" => Self::DestroyObjects,
            "/create_or_modify_objects.fcgi" => Self::CreateOrModifyObjects,
            "/get_configuration.fcgi" => Self::GetConfiguration,
            "/set_configuration.fcgi" => Self::SetConfiguration,
            "/system_information.fcgi" => Self::SystemInformation,
            "/set_system_time.fcgi" => Self::SetSystemTime,
            "/execute_actions.fcgi" => Self::ExecuteActions,
            _ => return None,
        })
    }

    /// These two were seen to take GET as well; the others are POST only, as documented.
    pub(super) fn takes(self, method: &str) -> bool {
        method == "POST" || method == "GET" && matches!(self, Self::Logout | Self::SessionIsValid)
    }

    pub(super) fn needs_session(self) -> bool {
        !matches!(self, Self::Login | Self::SessionIsValid)
    }

    /// Commands that have no parameters need no body, and no type of one.
    fn needs_body(self) -> bool {
        !matches!(self, Self::Logout | Self::SessionIsValid | Self::SystemInformation)
    }

    /// It changes objects.
    pub(super) fn writes(self) -> bool {
        use Command::{CreateObjects, CreateOrModifyObjects, DestroyObjects, ModifyObjects};
        matches!(self, CreateObjects | ModifyObjects | DestroyObjects | CreateOrModifyObjects)
    }

    /// The body as JSON, which it has to be.
    pub(super) fn body(self, request: &Request) -> Result<Value, Refusal> {
        if request.body.is_empty() && !self.needs_body() {
            return Ok(json!({}));
        }
        let media_type =
            request.header("content-type").and_then(|kind| kind.split(';').next()).map(str::trim);
        if !media_type.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            return Err(Refusal::bad("Invalid Content-Type (application/json expected)"));
        }
        serde_json::from_str(&request.body).map_err(|_| Refusal::bad("Invalid JSON"))
    }

    pub(super) fn carry_out(self, state: &mut State, body: &Value, session: &str) -> Result<Answer, Refusal> {
        match self {
            Self::Login => login(state, body),
            Self::Logout => {
                members(body, &[])?;
                state.sessions.close(session);
                Ok(Answer::Empty)
            }
            Self::SessionIsValid => {
                members(body, &[])?;
                let valid = state.sessions.is_valid(session, state.now());
                Ok(Answer::Json(json!({ "session_is_valid": valid })))
            }
            Self::ChangeLogin => change_login(state, body),
            Self::CreateObjects => objects::create(state, body),
            Self::LoadObjects => objects::load(state, body),
            Self::ModifyObjects => objects::modify(state, body),
            Self::DestroyObjects => objects::destroy(state, body),
            Self::CreateOrModifyObjects => objects::create_or_modify(state, body),
            Self::GetConfiguration => state.settings.get(object(body)?).map(Answer::Json),
            Self::SetConfiguration => {
                state.settings.set(object(body)?)?;
                Ok(Answer::Empty)
            }
            Self::SystemInformation => {
                members(body, &[])?;
                Ok(Answer::Json(system_information(state)))
            }
            Self::SetSystemTime => set_system_time(state, body),
            Self::ExecuteActions => execute_actions(state, body),
        }
    }
}

fn login(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    let members = members(body, &["login", "password"])?;
    let (login, password) = (text(members, "login")?, text(members, "password")?);
    if (login, password) != (state.options.login.as_str(), state.options.password.as_str()) {
        return Err(Refusal::no_login());
    }
    let (device_id, now) = (state.device_id(), state.now());
    Ok(Answer::Json(json!({ "session": state.sessions.open(device_id, now) })))
}

/// Whoever was logged in is not any more, as was seen.
fn change_login(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    let members = members(body, &["login", "password"])?;
    let (login, password) = (text(members, "login")?, text(members, "password")?);
    if login.is_empty() || password.is_empty() {
        return Err(Refusal::bad("Invalid login or password"));
    }
    state.options.login = login.to_owned();
    state.options.password = password.to_owned();
    state.sessions.forget();
    Ok(Answer::Empty)
}

fn system_information(state: &State) -> Value {
    let uptime = state.uptime();
    let (days, hours, minutes) = (uptime / 86_400, uptime / 3600 % 24, uptime / 60 % 60);
    json!({
        "uptime": { "days": days, "hours": hours, "minutes": minutes, "seconds": uptime % 60 },
        "time": state.wall(),
        "memory": {
            "disk": { "free": 3_000_000, "total": 4_000_000 },
            "ram": { "free": 30_000, "total": 60_000 },
        },
        "license": { "users": state.options.cards, "device": 0, "type": 0 },
        "network": {
            "mac": "FC:52:CE:00:00:01",
            "ip": "127.0.0.1",
            "netmask": "255.0.0.0",
            "gateway": "127.0.0.1",
            "web_server_port": state.port,
            "ssl_enabled": false,
            "dhcp_enabled": false,
        },
        "serial": state.options.serial,
        "version": state.options.version,
        "device_id": state.device_id().to_string(),
        "online": state.settings.is_on("general", "online"),
        "online_available": true,
    })
}

/// The numbers are local time.
fn set_system_time(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    let names = ["day", "month", "year", "hour", "minute", "second"];
    let members = members(body, &names)?;
    let mut numbers = [0; 6];
    for (number, name) in numbers.iter_mut().zip(names) {
        let value = members.get(name).ok_or_else(|| Refusal::missing(name))?;
        *number = value.as_i64().ok_or_else(|| Refusal::of_type(name, "int", type_of(value)))?;
    }
    let wall = seconds_of(numbers).filter(|wall| *wall >= 0);
    state.set_wall(wall.ok_or_else(|| Refusal::bad("Invalid date or time"))?);
    Ok(Answer::Empty)
}

/// Day, month, year, hour, minute and second as the device counts time.
fn seconds_of([day, month, year, hour, minute, second]: [i64; 6]) -> Option<i64> {
    let small = |number: i64| i8::try_from(number).ok();
    let year = i16::try_from(year).ok()?;
    let time =
        DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, 0);
    Some(time.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

fn execute_actions(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    let members = members(body, &["actions"])?;
    let actions = members.get("actions").ok_or_else(|| Refusal::missing("actions"))?;
    let actions = actions.as_array().ok_or_else(|| Refusal::of_type("actions", "array", type_of(actions)))?;
    let mut opened = Vec::new();
    for action in actions {
        let action = self::members(action, &["action", "parameters"])?;
        opened.extend(state.opens(text(action, "action")?, text(action, "parameters")?));
    }
    for portal in opened {
        state.log(&ints(&[("event", event::REMOTE.into()), ("portal_id", portal)]));
    }
    Ok(Answer::Empty)
}

/// The body as an object.
pub(super) fn object(body: &Value) -> Result<&Map<String, Value>, Refusal> {
    body.as_object()
        .ok_or_else(|| Refusal::bad(format!("Invalid data (object expected, got {})", type_of(body))))
}

/// The body as an object with no other members than these.
pub(super) fn members<'a>(body: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, Refusal> {
    let members = object(body)?;
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Refusal::unknown(name)),
        None => Ok(members),
    }
}

/// A member that is a string.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    let value = members.get(name).ok_or_else(|| Refusal::missing(name))?;
    value.as_str().ok_or_else(|| Refusal::of_type(name, "string", type_of(value)))
}
