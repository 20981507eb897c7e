//! From the structs of `request.rs` to what Cedar evaluates.
//!
//! Nothing here is validated against the schema at run time: the types leave no room to be wrong, and a test
//! validates what arbitrary inputs become.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};
use kernel::Assurance;

use crate::request::{
    AccessProfile, AdministerRequest, Area, Circumstances, Client, EnrolRequest, EnterRequest, SignInRequest,
    User,
};
use crate::schema::{Action, Kind};

/// Why Cedar could not take a request. No input is known to cause one; it is answered with deny.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

fn fault(error: impl Display) -> Fault {
    Fault(error.to_string())
}

/// A request at no particular assurance yet.
pub(crate) struct Query {
    pub(crate) action: Action,
    pub(crate) principal: Party,
    pub(crate) resource: Party,
    pub(crate) entities: Entities,
    circumstances: Vec<(String, RestrictedExpression)>,
}

/// The principal or the resource of a request, and every scope that can name it.
pub(crate) struct Party {
    pub(crate) uid: EntityUid,
    scopes: Vec<Option<EntityUid>>,
}

impl Party {
    fn new(uid: EntityUid, parents: &HashSet<EntityUid>) -> Self {
        let named = parents.iter().chain([&uid]).cloned().map(Some);
        Self { scopes: [None].into_iter().chain(named).collect(), uid }
    }

    /// The open scope, then the party itself and all it is in.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Option<EntityUid>> {
        self.scopes.iter()
    }
}

impl Query {
    fn new(
        action: Action,
        principal: Draft,
        resource: Draft,
        circumstances: Vec<(String, RestrictedExpression)>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            action,
            principal: Party::new(principal.uid.clone(), &principal.parents),
            resource: Party::new(resource.uid.clone(), &resource.parents),
            entities: Entities::from_entities([principal.finish()?, resource.finish()?], None)
                .map_err(fault)?,
            circumstances,
        })
    }

    pub(crate) fn sign_in(request: &SignInRequest) -> Result<Self, Fault> {
        let SignInRequest { user, client, circumstances } = request;
        Self::new(Action::SignIn, user.into(), client.into(), pairs(circumstances))
    }

    pub(crate) fn enrol(request: &EnrolRequest) -> Result<Self, Fault> {
        let EnrolRequest { user, factor, circumstances } = request;
        let factor = Draft::new(Kind::Factor.uid(factor.as_str()));
        Self::new(Action::Enrol, user.into(), factor, pairs(circumstances))
    }

    pub(crate) fn administer(request: &AdministerRequest) -> Result<Self, Fault> {
        let AdministerRequest { user, operation, circumstances } = request;
        let operation = Draft::new(Kind::AdminOperation.uid(operation));
        Self::new(Action::Administer, user.into(), operation, pairs(circumstances))
    }

    pub(crate) fn enter(request: &EnterRequest) -> Result<Self, Fault> {
        let EnterRequest { user, area, entitled, circumstances } = request;
        let mut pairs = pairs(circumstances);
        pairs.push(("entitled".into(), RestrictedExpression::new_bool(*entitled)));
        Self::new(Action::Enter, user.into(), area.into(), pairs)
    }

    pub(crate) fn hold(user: &User, access_profile: &AccessProfile) -> Result<Self, Fault> {
        Self::new(Action::Hold, user.into(), access_profile.into(), Vec::new())
    }

    /// The request as Cedar takes it, at an assurance. Holding has none.
    pub(crate) fn at(&self, assurance: Option<Assurance>) -> Result<Request, Fault> {
        let rung = assurance.map(|assurance| ("assurance".into(), long(assurance.rung())));
        let context = Context::from_pairs(self.circumstances.iter().cloned().chain(rung)).map_err(fault)?;
        let (principal, resource) = (self.principal.uid.clone(), self.resource.uid.clone());
        Request::new(principal, self.action.uid(), resource, context, None).map_err(fault)
    }
}

/// An entity in the making.
struct Draft {
    uid: EntityUid,
    attributes: HashMap<String, RestrictedExpression>,
    parents: HashSet<EntityUid>,
}

impl Draft {
    fn new(uid: EntityUid) -> Self {
        Self { uid, attributes: HashMap::new(), parents: HashSet::new() }
    }

    fn attribute(mut self, name: &str, value: RestrictedExpression) -> Self {
        self.attributes.insert(name.into(), value);
        self
    }

    fn text(self, name: &str, value: Option<&String>) -> Self {
        match value {
            Some(value) => self.attribute(name, RestrictedExpression::new_string(value.clone())),
            None => self,
        }
    }

    fn within<'a>(mut self, kind: Kind, ids: impl IntoIterator<Item = &'a String>) -> Self {
        self.parents.extend(ids.into_iter().map(|id| kind.uid(id)));
        self
    }

    fn finish(self) -> Result<Entity, Fault> {
        Entity::new(self.uid, self.attributes, self.parents).map_err(fault)
    }
}

impl From<&User> for Draft {
    fn from(user: &User) -> Self {
        Draft::new(Kind::User.uid(&user.id))
            .attribute("active", RestrictedExpression::new_bool(user.active))
            .text("department", user.department.as_ref())
            .text("title", user.title.as_ref())
            .text("employee_type", user.employee_type.as_ref())
            .within(Kind::Group, &user.groups)
            .within(Kind::Role, &user.roles)
            .within(Kind::Department, &user.department)
    }
}

impl From<&Client> for Draft {
    fn from(client: &Client) -> Self {
        Draft::new(Kind::Client.uid(&client.id))
            .attribute("sensitivity", long(client.sensitivity as u8))
            .within(Kind::Project, &client.project)
    }
}

impl From<&Area> for Draft {
    fn from(area: &Area) -> Self {
        Draft::new(Kind::Area.uid(&area.id))
            .attribute("protection_class", long(area.protection_class))
            .within(Kind::Project, &area.project)
    }
}

impl From<&AccessProfile> for Draft {
    fn from(profile: &AccessProfile) -> Self {
        Draft::new(Kind::AccessProfile.uid(&profile.id))
            .attribute("protection_class", long(profile.protection_class))
            .within(Kind::Area, &profile.areas)
            .within(Kind::Project, &profile.project)
    }
}

/// The context of a request, all but the assurance.
fn pairs(circumstances: &Circumstances) -> Vec<(String, RestrictedExpression)> {
    let network = Kind::Network.uid(circumstances.network.as_str());
    let mut pairs = vec![
        ("risk".into(), long(circumstances.risk as u8)),
        ("risk_score".into(), RestrictedExpression::new_decimal(decimal(circumstances.risk_score))),
        ("network".into(), RestrictedExpression::new_entity_uid(network)),
        ("device_known".into(), RestrictedExpression::new_bool(circumstances.device_known)),
    ];
    if let Some(presence) = circumstances.presence {
        pairs.push(("presence".into(), RestrictedExpression::new_bool(presence)));
    }
    let time = [
        ("at".into(), long(circumstances.time.at.as_millis())),
        ("hour".into(), long(circumstances.time.hour)),
        ("weekday".into(), long(circumstances.time.weekday)),
    ];
    // A record can only be refused for a repeated key. Without a time, every policy that asks for it fails
    // and so counts against the request.
    pairs.extend(RestrictedExpression::new_record(time).ok().map(|time| ("time".into(), time)));
    pairs
}

fn long(value: impl Into<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(value.into())
}

const HIGHEST_SCORE: f64 = 1_000_000.0;

/// A score as Cedar writes it: four decimals, clamped. What is not a number is the worst.
fn decimal(score: f64) -> String {
    let score = if score.is_nan() { HIGHEST_SCORE } else { score.clamp(0.0, HIGHEST_SCORE) };
    let ten_thousandths = (score * 10_000.0).round() as u64;
    format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_decimals_and_are_clamped() {
        for (score, expect) in [
            (0.0, "0.0000"),
            (-0.0, "0.0000"),
            (-7.5, "0.0000"),
            (0.9, "0.9000"),
            (1.2, "1.2000"),
            (10.666_666_666_666_666, "10.6667"),
            (0.000_04, "0.0000"),
            (999_999.999_99, "1000000.0000"),
            (f64::MAX, "1000000.0000"),
            (f64::INFINITY, "1000000.0000"),
            (f64::NEG_INFINITY, "0.0000"),
            (f64::NAN, "1000000.0000"),
            (f64::MIN_POSITIVE, "0.0000"),
        ] {
            assert_eq!(decimal(score), expect, "{score}");
        }
    }
}
