//! Edits of single-valued attributes.

use super::Edit;
use crate::error::ScimError;
use crate::path::AttributeTarget;
use crate::value::{Object, Reader, Value, is_nothing, is_to_nobody, only_element};

/// The attribute after the edit; `None` when it has no value. Adding and replacing are the same: a complex
/// value keeps the parts that are not mentioned (RFC 7644, sections 3.5.2.1 and 3.5.2.3).
pub(super) fn edit(
    reader: &mut Reader,
    target: &AttributeTarget,
    before: Option<Value>,
    edit: Edit<'_>,
) -> Result<Option<Value>, ScimError> {
    let attribute = target.attribute();
    let json = match edit {
        Edit::Add(json) if is_nothing(json) => return Ok(before),
        Edit::Add(json) | Edit::Replace(json) => Some(json).filter(|json| !is_nothing(json)),
        Edit::Remove(_) => None,
    };
    let mut object = match (before, attribute.is_complex()) {
        (Some(Value::Complex(object)), true) => object,
        (_, true) => Object::default(),
        (_, false) => return json.map_or(Ok(None), |json| reader.value(attribute, json)),
    };
    match (target.sub(), json) {
        (None, None) => return Ok(None),
        (None, Some(json)) => reader.merge(attribute, &mut object, only_element(json))?,
        (Some(sub), None) => drop(object.remove(&sub.name)),
        (Some(sub), Some(json)) => {
            let value = reader.value(sub, json).map_err(|why| why.under(&attribute.name))?;
            object.put(&sub.name, value);
        }
    }
    Ok((!object.is_empty() && !is_to_nobody(attribute, &object)).then_some(Value::Complex(object)))
}
