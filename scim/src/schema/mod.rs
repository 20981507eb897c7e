//! The schema registry: which attributes there are, and what may be done with each.
//!
//! Every rule about an attribute (who may set it, when it is shown, whether case matters) is a
//! characteristic here and nowhere else; reading, writing, filtering and patching only ask. The standard
//! schemas are data (`data/*.json`, in the form of RFC 7643, section 7, with defaults left out), read once
//! at start; custom ones are added with [`Registry::define`] and [`Registry::extend`] in the same form.
//!
//! What it is not: it knows no resource, no storage and no tenant. It is cheap to clone: to change it while
//! running, clone, add, and swap.

mod attribute;
mod name;
mod path;
mod registry;

pub use attribute::{Attribute, Mutability, Returned, Type, Uniqueness};
pub use name::Name;
pub use path::{AttrPath, Place, Resolved};
pub(crate) use path::{attribute_path, is_attribute_name, is_own_value, is_path_byte};
pub use registry::{Extension, Registry, ResourceType, Schema, SchemaError};

/// URN of the core User schema (RFC 7643, section 4.1).
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// URN of the core Group schema (RFC 7643, section 4.2).
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// URN of the Enterprise User extension (RFC 7643, section 4.3).
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// URN of the service provider configuration (RFC 7643, section 5).
pub const SERVICE_PROVIDER_CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
/// URN of resource types (RFC 7643, section 6).
pub const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// URN of schema definitions (RFC 7643, section 7).
pub const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

#[cfg(test)]
mod tests;
