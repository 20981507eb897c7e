//! A person as decisions see one: what the directory knows, in the words that policies use.

use serde::{Deserialize, Serialize};

/// A person's account, on the day of the decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The user id: `User::"…"` in policies.
    pub id: String,
    /// Whether the account is active. An inactive user is permitted nothing, whatever the policies say.
    pub active: bool,
    /// All groups, inherited ones included, each as policies name it: `Group::"…"`.
    pub groups: Vec<String>,
    /// The roles: `Role::"…"`.
    pub roles: Vec<String>,
    /// The department: `Department::"…"`, and its name as `principal.department`.
    pub department: Option<String>,
    /// The job title.
    pub title: Option<String>,
    /// The kind of employment, in the words of the HR system.
    pub employee_type: Option<String>,
}
