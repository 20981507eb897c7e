//! What userinfo says of a person: claims by scope, from the SCIM document that HR wrote.
//!
//! Nothing is claimed that nobody knows: SCIM does not say whether a mail address or a telephone number was
//! verified, so `email_verified` and `phone_number_verified` are left out. What a document does not have, or has
//! in another form, is left out, too.
//!
//! To add a claim: a line here and in [`CLAIMS`].

use directory::session::grant::LiveGrant;
use serde_json::{Map, Value, json};

/// Every claim that may be given, besides `sub` (OpenID Connect Core, sections 5.1 and 5.4).
pub(crate) const CLAIMS: [&str; 12] = [
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "zoneinfo",
    "locale",
    "updated_at",
    "email",
    "address",
    "phone_number",
];

/// The claims of the scopes that were granted.
pub(super) fn of(grant: &LiveGrant) -> Map<String, Value> {
    let document: Value = serde_json::from_str(&grant.document).unwrap_or_default();
    let mut claims = Claims(Map::new());
    claims.put("sub", Some(json!(grant.user_id)));
    for scope in grant.scope.split(' ') {
        match scope {
            "profile" => claims.profile(grant, &document),
            "email" => claims.text("email", grant.email.as_deref()),
            "address" => claims.put("address", preferred(&document["addresses"]).and_then(address)),
            "phone" => {
                let number = preferred(&document["phoneNumbers"]).and_then(|phone| phone["value"].as_str());
                claims.text("phone_number", number);
            }
            _ => {}
        }
    }
    claims.0
}

struct Claims(Map<String, Value>);

impl Claims {
    fn put(&mut self, name: &str, value: Option<Value>) {
        self.0.extend(value.map(|value| (name.to_owned(), value)));
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        self.put(name, value.filter(|text| !text.is_empty()).map(Value::from));
    }

    fn profile(&mut self, grant: &LiveGrant, document: &Value) {
        let name = &document["name"];
        for (claim, value) in [
            ("given_name", &name["givenName"]),
            ("family_name", &name["familyName"]),
            ("middle_name", &name["middleName"]),
            ("nickname", &document["nickName"]),
            ("zoneinfo", &document["timezone"]),
            ("locale", &document["locale"]),
        ] {
            self.text(claim, value.as_str());
        }
        self.text("name", grant.display_name.as_deref());
        self.text("preferred_username", Some(&grant.user_name));
        self.put("updated_at", Some(json!(grant.updated_at.as_secs())));
    }
}

/// Of many the primary one, else the first.
fn preferred(list: &Value) -> Option<&Value> {
    let all = list.as_array()?;
    all.iter().find(|one| one["primary"] == true).or(all.first())
}

/// OpenID Connect Core, section 5.1.1. `None` when nothing of it is known.
fn address(scim: &Value) -> Option<Value> {
    let mut address = Claims(Map::new());
    for (claim, attribute) in [
        ("formatted", "formatted"),
        ("street_address", "streetAddress"),
        ("locality", "locality"),
        ("region", "region"),
        ("postal_code", "postalCode"),
        ("country", "country"),
    ] {
        address.text(claim, scim[attribute].as_str());
    }
    (!address.0.is_empty()).then_some(Value::Object(address.0))
}
