//! An HR department's provisioning job: SCIM 2.0 over HTTP in the request shapes of Entra ID's default job.
//!
//! The shapes are Microsoft's, quirks included: `op` with a capital letter, booleans as `"False"`, the manager as a
//! bare string, `$ref: null` in members, a foreign schema on groups. What the server must do with them is RFC 7644.
//!
//! It is a client and a witness, not a directory: it keeps nothing but the address and the token.

mod shapes;

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Method, header};
use serde_json::Value;
use url::Url;

pub use shapes::Person;

const MEDIA_TYPE: &str = "application/scim+json";

/// What the server answered, whatever it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type as sent.
    pub content_type: String,
    /// `ETag`, if sent.
    pub etag: Option<String>,
    /// `Location`, if sent.
    pub location: Option<String>,
    /// The body; `Null` if there was none, a string if it was not JSON.
    pub body: Value,
}

/// A user or a group as the server shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The server's id.
    pub id: String,
    /// `active`, if the resource has it.
    pub active: Option<bool>,
    /// All of it.
    pub body: Value,
}

/// Why a step of the provisioning job came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HrError {
    /// The address is none, or cannot have paths.
    #[error("{0:?} is no address of a SCIM server")]
    Address(String),
    /// The server could not be reached, or broke off.
    #[error("{step}: no answer")]
    Network {
        /// What was being done.
        step: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The server answered with another status than it should.
    #[error("{step}: {} {} {}", .answer.status, .answer.scim_type(), .answer.detail())]
    Refused {
        /// What was being done.
        step: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// The status was right, the body was not.
    #[error("{step}: {reason} in {}", .answer.body)]
    Malformed {
        /// What was being done.
        step: String,
        /// What is wrong with it.
        reason: &'static str,
        /// What it said.
        answer: Box<Answer>,
    },
}

impl HrError {
    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { answer, .. } | Self::Malformed { answer, .. } => Some(answer.status),
            Self::Address(_) | Self::Network { .. } => None,
        }
    }
}

impl Answer {
    /// `scimType` of an error (RFC 7644, section 3.12); empty if there is none.
    #[must_use]
    pub fn scim_type(&self) -> &str {
        self.body["scimType"].as_str().unwrap_or_default()
    }

    /// `detail` of an error; empty if there is none.
    #[must_use]
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// The provisioning job of one SCIM connection.
pub struct Hr {
    client: reqwest::Client,
    base: Url,
    token: String,
    probes: AtomicU64,
}

impl Hr {
    /// A job that writes to `base_url` (what stands before `/Users`) with a bearer token.
    ///
    /// # Errors
    /// [`HrError::Address`].
    pub fn new(base_url: &str, token: impl Into<String>) -> Result<Self, HrError> {
        let bad = || HrError::Address(base_url.to_owned());
        let base: Url = base_url.trim_end_matches('/').parse().map_err(|_| bad())?;
        if base.cannot_be_a_base() {
            return Err(bad());
        }
        Ok(Self { client: crate::client(), base, token: token.into(), probes: AtomicU64::new(0) })
    }

    /// "Test connection": looks for a user and a group that nobody has, and expects an empty list of each.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn test_connection(&self) -> Result<(), HrError> {
        let nobody = self.probe();
        let step = "test connection";
        for path in [
            list("Users", &[("filter", &shapes::eq("userName", &nobody))]),
            list(
                "Groups",
                &[("excludedAttributes", "members"), ("filter", &shapes::eq("displayName", &nobody))],
            ),
        ] {
            if let Some(found) = self.find_one(step, &path).await? {
                let answer = Answer { body: found.body, ..Answer::ok() };
                let reason = "a resource that nobody has";
                return Err(HrError::Malformed { step: step.into(), reason, answer: Box::new(answer) });
            }
        }
        Ok(())
    }

    /// The user with that `userName`, in any case.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn find(&self, user_name: &str) -> Result<Option<Resource>, HrError> {
        let path = list("Users", &[("filter", &shapes::eq("userName", user_name))]);
        self.find_one(&format!("find {user_name}"), &path).await
    }

    /// The user with that id.
    ///
    /// # Errors
    /// See [`HrError`]; an unknown id is [`HrError::Refused`] with status 404.
    pub async fn user(&self, id: &str) -> Result<Resource, HrError> {
        let step = format!("get user {id}");
        let answer = self.expect(&step, Method::GET, &format!("Users/{id}"), None, &[200]).await?;
        resource(&step, answer)
    }

    /// A new employee: creates the user and gives the id.
    ///
    /// # Errors
    /// See [`HrError`]; a name that is taken is [`HrError::Refused`] with status 409.
    pub async fn hire(&self, person: &Person) -> Result<String, HrError> {
        self.create(&format!("hire {}", person.user_name), "Users", person.to_scim()).await
    }

    /// Somebody leaves: the user is disabled, as Entra does on unassignment and on soft deletion.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn end_employment(&self, id: &str) -> Result<(), HrError> {
        self.patch(&format!("end employment of {id}"), &format!("Users/{id}"), shapes::active(false)).await
    }

    /// Somebody comes back within the thirty days.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn rehire(&self, id: &str) -> Result<(), HrError> {
        self.patch(&format!("rehire {id}"), &format!("Users/{id}"), shapes::active(true)).await
    }

    /// Somebody changes department.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn move_department(&self, id: &str, department: &str) -> Result<(), HrError> {
        let body = shapes::department(department);
        self.patch(&format!("move {id} to {department}"), &format!("Users/{id}"), body).await
    }

    /// Somebody gets another manager; `None` takes the manager away.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn set_manager(&self, id: &str, manager: Option<&str>) -> Result<(), HrError> {
        self.patch(&format!("set manager of {id}"), &format!("Users/{id}"), shapes::manager(manager)).await
    }

    /// The thirty days are over: the user is deleted.
    ///
    /// # Errors
    /// See [`HrError`]; an unknown id is [`HrError::Refused`] with status 404.
    pub async fn delete(&self, id: &str) -> Result<(), HrError> {
        self.remove(&format!("delete user {id}"), &format!("Users/{id}")).await
    }

    /// A new group, empty as Entra makes it; gives the id.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn create_group(&self, external_id: &str, display_name: &str) -> Result<String, HrError> {
        let body = shapes::group(external_id, display_name);
        self.create(&format!("create group {display_name}"), "Groups", body).await
    }

    /// The group with that `displayName`, without its members.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn find_group(&self, display_name: &str) -> Result<Option<Resource>, HrError> {
        let filter = shapes::eq("displayName", display_name);
        let path = list("Groups", &[("excludedAttributes", "members"), ("filter", &filter)]);
        self.find_one(&format!("find group {display_name}"), &path).await
    }

    /// Adds users to a group.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn add_members(&self, group: &str, users: &[&str]) -> Result<(), HrError> {
        let body = shapes::members("Add", users);
        self.patch(&format!("add members to {group}"), &format!("Groups/{group}"), body).await
    }

    /// Takes users, and nobody else, out of a group.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn remove_members(&self, group: &str, users: &[&str]) -> Result<(), HrError> {
        let body = shapes::members("Remove", users);
        self.patch(&format!("remove members from {group}"), &format!("Groups/{group}"), body).await
    }

    /// Whether the user is a direct member of the group.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn is_member(&self, group: &str, user: &str) -> Result<bool, HrError> {
        let filter = format!("{} and {}", shapes::eq("id", group), shapes::eq("members", user));
        let path = list("Groups", &[("excludedAttributes", "members"), ("filter", &filter)]);
        Ok(self.find_one(&format!("is {user} in {group}"), &path).await?.is_some())
    }

    /// Deletes a group.
    ///
    /// # Errors
    /// See [`HrError`].
    pub async fn delete_group(&self, id: &str) -> Result<(), HrError> {
        self.remove(&format!("delete group {id}"), &format!("Groups/{id}")).await
    }

    /// Sends anything and gives back whatever comes: for what no well-behaved job would send.
    ///
    /// # Errors
    /// Only [`HrError::Network`].
    pub async fn send(&self, method: Method, path: &str, body: Option<&str>) -> Result<Answer, HrError> {
        let step = format!("{method} {path}");
        let network = |source| HrError::Network { step: step.clone(), source };
        let url = format!("{}/{path}", self.base);
        let mut request = self.client.request(method.clone(), url).bearer_auth(&self.token);
        request = request.header(header::ACCEPT, MEDIA_TYPE);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, MEDIA_TYPE).body(body.to_owned());
        }
        let response = request.send().await.map_err(network)?;
        let value = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (content_type, etag, location) =
            (value(header::CONTENT_TYPE), value(header::ETAG), value(header::LOCATION));
        let status = response.status().as_u16();
        let text = response.text().await.map_err(network)?;
        let body = match text.as_str() {
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap_or_else(|_| text.clone().into()),
        };
        Ok(Answer { status, content_type: content_type.unwrap_or_default(), etag, location, body })
    }

    async fn expect(
        &self,
        step: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        statuses: &[u16],
    ) -> Result<Answer, HrError> {
        let body = body.map(|body| body.to_string());
        let answer = self.send(method, path, body.as_deref()).await?;
        if !statuses.contains(&answer.status) {
            return Err(HrError::Refused { step: step.to_owned(), answer: Box::new(answer) });
        }
        if answer.body != Value::Null && !answer.content_type.starts_with(MEDIA_TYPE) {
            return Err(malformed(step, "another media type than application/scim+json", answer));
        }
        Ok(answer)
    }

    async fn create(&self, step: &str, path: &str, body: Value) -> Result<String, HrError> {
        let answer = self.expect(step, Method::POST, path, Some(body), &[201]).await?;
        Ok(resource(step, answer)?.id)
    }

    async fn patch(&self, step: &str, path: &str, body: Value) -> Result<(), HrError> {
        self.expect(step, Method::PATCH, path, Some(body), &[200, 204]).await.map(|_| ())
    }

    async fn remove(&self, step: &str, path: &str) -> Result<(), HrError> {
        self.expect(step, Method::DELETE, path, None, &[204]).await.map(|_| ())
    }

    /// The only resource of a list, or nothing if the list is empty.
    async fn find_one(&self, step: &str, path: &str) -> Result<Option<Resource>, HrError> {
        let answer = self.expect(step, Method::GET, path, None, &[200]).await?;
        let found = answer.body["Resources"].as_array().map(Vec::as_slice).unwrap_or_default();
        match (answer.body["totalResults"].as_u64(), found) {
            (Some(0), []) => Ok(None),
            (Some(1), [one]) => {
                let body = one.clone();
                resource(step, Answer { body, ..answer }).map(Some)
            }
            _ => Err(malformed(step, "not a list of none or one", answer)),
        }
    }

    /// An identifier that nobody has, and another one each time.
    fn probe(&self) -> String {
        let count = self.probes.fetch_add(1, Ordering::Relaxed);
        let seed = format!("{}\n{}\n{count}", self.base, self.token);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, seed.as_bytes());
        shapes::guid(digest.as_ref())
    }
}

impl Answer {
    fn ok() -> Self {
        Self { status: 200, content_type: MEDIA_TYPE.into(), etag: None, location: None, body: Value::Null }
    }
}

fn list(kind: &str, query: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{kind}?{query}")
}

fn malformed(step: &str, reason: &'static str, answer: Answer) -> HrError {
    HrError::Malformed { step: step.to_owned(), reason, answer: Box::new(answer) }
}

fn resource(step: &str, answer: Answer) -> Result<Resource, HrError> {
    let Some(id) = answer.body["id"].as_str().filter(|id| !id.is_empty()) else {
        return Err(malformed(step, "no id", answer));
    };
    Ok(Resource { id: id.to_owned(), active: answer.body["active"].as_bool(), body: answer.body })
}

#[cfg(test)]
mod tests;
