//! Edits of multi-valued attributes.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Edit;
use crate::error::{ScimError, ScimType};
use crate::filter::{Bound, Filter, Op, texts_equal};
use crate::path::AttributeTarget;
use crate::schema::Attribute;
use crate::value::{
    Object, Reader, Value, from_literal, invalid, is_nothing, is_primary, is_to_nobody, items, only_element,
};

/// Parts that describe a value and are none: an element with nothing else left is dropped.
const DESCRIBING: [&str; 4] = ["type", "primary", "display", "$ref"];

/// A list being edited.
struct List<'a> {
    attribute: &'a Arc<Attribute>,
    elements: Vec<Value>,
    /// The elements that this operation set.
    touched: Vec<usize>,
}

/// The attribute after the edit; `None` when no element is left.
pub(super) fn edit(
    reader: &mut Reader,
    target: &AttributeTarget,
    before: Option<Value>,
    edit: Edit<'_>,
) -> Result<Option<Value>, ScimError> {
    let elements = match before {
        Some(Value::Multi(elements)) => elements,
        Some(other) => vec![other],
        None => Vec::new(),
    };
    let mut list = List { attribute: target.attribute(), elements, touched: Vec::new() };
    match (&target.filter, target.sub()) {
        (None, None) => list.whole(reader, edit)?,
        (None, Some(sub)) => list.part_of_all(reader, sub, edit)?,
        (Some(filter), sub) => {
            reader.spend(filter.terms().saturating_mul(list.effort()))?;
            list.selected(reader, filter, sub, edit)?;
        }
    }
    list.move_primary()?;
    list.drop_empty();
    Ok((!list.elements.is_empty()).then_some(Value::Multi(list.elements)))
}

impl List<'_> {
    /// What it costs to compare something with every element.
    fn effort(&self) -> usize {
        self.elements.iter().map(Value::effort).sum()
    }

    fn whole(&mut self, reader: &mut Reader, edit: Edit<'_>) -> Result<(), ScimError> {
        match edit {
            Edit::Remove(None) => self.elements.clear(),
            Edit::Remove(Some(json)) => self.remove_listed(reader, json)?,
            Edit::Replace(json) => self.elements = reader.elements(self.attribute, json)?,
            Edit::Add(json) => {
                for element in reader.elements(self.attribute, json)? {
                    reader.spend(self.effort() + self.elements.len() * element.effort())?;
                    self.add(element);
                }
            }
        }
        Ok(())
    }

    /// Adds an element, or completes the one that stands for the same value already.
    fn add(&mut self, element: Value) {
        let known = self.elements.iter().position(|known| is_same(self.attribute, known, &element));
        let at = match known {
            Some(at) => {
                if let (Value::Complex(known), Value::Complex(new)) = (&mut self.elements[at], element) {
                    new.iter().for_each(|(name, value)| known.set(name.clone(), value.clone()));
                }
                at
            }
            None => {
                self.elements.push(element);
                self.elements.len() - 1
            }
        };
        self.touched.push(at);
    }

    /// Entra ID removes by a list of values: those go, no others.
    fn remove_listed(&mut self, reader: &mut Reader, json: &Json) -> Result<(), ScimError> {
        for item in items(json) {
            if let Some(wanted) = reader.single(self.attribute, item)? {
                reader.spend(self.effort() + self.elements.len() * wanted.effort())?;
                self.elements.retain(|known| !is_same(self.attribute, known, &wanted));
            }
        }
        Ok(())
    }

    /// `attr.sub` without a filter.
    fn part_of_all(&mut self, reader: &mut Reader, sub: &Attribute, edit: Edit<'_>) -> Result<(), ScimError> {
        let json = match edit {
            Edit::Add(json) if is_nothing(json) => return Ok(()),
            Edit::Add(json) | Edit::Replace(json) if !is_nothing(json) => json,
            _ => {
                let all: Vec<usize> = (0..self.elements.len()).collect();
                self.clear_part(&all, sub);
                return Ok(());
            }
        };
        if self.elements.len() > 1 {
            let path = format!("{}.{}", self.attribute.name, sub.name);
            let why = format!(
                "{path}: there are several values: say which one, as in {}[type eq \"work\"]",
                self.attribute.name
            );
            return Err(ScimError::new(ScimType::InvalidPath, why));
        }
        if self.elements.is_empty() {
            self.elements.push(Value::Complex(Object::default()));
        }
        self.set_part(reader, &[0], sub, json)
    }

    /// `attr[filter]` and `attr[filter].sub`.
    fn selected(
        &mut self,
        reader: &mut Reader,
        filter: &Bound,
        sub: Option<&Arc<Attribute>>,
        edit: Edit<'_>,
    ) -> Result<(), ScimError> {
        let numbered = self.elements.iter().enumerate();
        let chosen: Vec<usize> =
            numbered.filter(|(_, element)| filter.matches_element(element)).map(|(at, _)| at).collect();
        match (edit, sub) {
            (Edit::Remove(_), None) => self.drop_elements(&chosen),
            (Edit::Remove(_), Some(sub)) => self.clear_part(&chosen, sub),
            (Edit::Add(json), _) if is_nothing(json) => {}
            (Edit::Replace(json), None) if is_nothing(json) => self.drop_elements(&chosen),
            (Edit::Replace(json), Some(sub)) if is_nothing(json) => self.clear_part(&chosen, sub),
            (Edit::Add(json) | Edit::Replace(json), _) if chosen.is_empty() => {
                self.create(reader, filter, sub, json)?;
            }
            (Edit::Add(json) | Edit::Replace(json), Some(sub)) => {
                self.set_part(reader, &chosen, sub, json)?
            }
            (Edit::Add(json), None) => self.complete(reader, &chosen, json)?,
            (Edit::Replace(json), None) => self.exchange(reader, filter, &chosen, json)?,
        }
        Ok(())
    }

    /// A value path that matches nothing makes its element, with what the filter says of it. RFC 7644,
    /// section 3.5.2.3 has `noTarget` there; Entra ID counts on creation.
    fn create(
        &mut self,
        reader: &mut Reader,
        filter: &Bound,
        sub: Option<&Arc<Attribute>>,
        json: &Json,
    ) -> Result<(), ScimError> {
        let described = described_by(filter).ok_or_else(|| self.no_target())?;
        self.elements.push(described);
        let at = self.elements.len() - 1;
        match sub {
            Some(sub) => self.set_part(reader, &[at], sub, json)?,
            None => self.complete(reader, &[at], json)?,
        }
        // The part that should find it was changed in the same breath: what was meant is not there.
        match self.elements.get(at) {
            Some(made) if filter.matches_element(made) => Ok(()),
            _ => Err(self.no_target()),
        }
    }

    fn set_part(
        &mut self,
        reader: &mut Reader,
        chosen: &[usize],
        sub: &Attribute,
        json: &Json,
    ) -> Result<(), ScimError> {
        let value = reader.value(sub, json).map_err(|why| why.under(&self.attribute.name))?;
        let Some(value) = value else {
            self.clear_part(chosen, sub);
            return Ok(());
        };
        reader.spend_copying(&value, chosen.len())?;
        for at in chosen {
            if let Value::Complex(object) = &mut self.elements[*at] {
                object.set(sub.name.clone(), value.clone());
            }
        }
        self.touched.extend(chosen);
        Ok(())
    }

    /// Adds parts to the chosen elements.
    fn complete(&mut self, reader: &mut Reader, chosen: &[usize], json: &Json) -> Result<(), ScimError> {
        let json = only_element(json);
        reader.spend_merging(json, chosen.len())?;
        for at in chosen {
            match &mut self.elements[*at] {
                Value::Complex(object) => reader.merge(self.attribute, object, json)?,
                simple => *simple = reader.single(self.attribute, json)?.unwrap_or_else(|| simple.clone()),
            }
        }
        self.touched.extend(chosen);
        Ok(())
    }

    /// Puts a new element in the place of each chosen one; what the filter says of it stays said.
    fn exchange(
        &mut self,
        reader: &mut Reader,
        filter: &Bound,
        chosen: &[usize],
        json: &Json,
    ) -> Result<(), ScimError> {
        let Some(new) = reader.single(self.attribute, only_element(json))? else {
            self.drop_elements(chosen);
            return Ok(());
        };
        let mut element = described_by(filter).unwrap_or_else(|| new.clone());
        match (&mut element, new) {
            (Value::Complex(element), Value::Complex(new)) => {
                new.iter().for_each(|(name, value)| element.set(name.clone(), value.clone()));
            }
            (element, new) => *element = new,
        }
        reader.spend_copying(&element, chosen.len())?;
        chosen.iter().for_each(|at| self.elements[*at] = element.clone());
        self.touched.extend(chosen);
        Ok(())
    }

    fn clear_part(&mut self, chosen: &[usize], sub: &Attribute) {
        let mut hollow = Vec::new();
        for at in chosen {
            if let Value::Complex(object) = &mut self.elements[*at] {
                let had = object.remove(&sub.name).is_some();
                if had && is_hollow(self.attribute, object) {
                    hollow.push(*at);
                }
            }
        }
        self.drop_elements(&hollow);
    }

    /// `chosen` is in rising order.
    fn drop_elements(&mut self, chosen: &[usize]) {
        let mut at = 0;
        self.elements.retain(|_| {
            at += 1;
            chosen.binary_search(&(at - 1)).is_err()
        });
    }

    /// An element that lost its last part says nothing, and could not be read back.
    fn drop_empty(&mut self) {
        let says = |element: &Value| match element {
            Value::Complex(object) => !object.is_empty() && !is_to_nobody(self.attribute, object),
            _ => true,
        };
        self.elements.retain(says);
    }

    /// There is one primary at most: the one that was set last (RFC 7644, section 3.5.2).
    fn move_primary(&mut self) -> Result<(), ScimError> {
        self.touched.sort_unstable();
        self.touched.dedup();
        let mut set =
            self.touched.iter().copied().filter(|at| self.elements.get(*at).is_some_and(is_primary));
        let (first, second) = (set.next(), set.next());
        let Some(primary) = first else { return Ok(()) };
        if second.is_some() {
            return Err(invalid(self.attribute, "only one value can be primary"));
        }
        for (at, element) in self.elements.iter_mut().enumerate() {
            if let (true, Value::Complex(object)) = (at != primary && is_primary(element), element) {
                object.set("primary", Value::Boolean(false));
            }
        }
        Ok(())
    }

    fn no_target(&self) -> ScimError {
        let why = format!(
            "{}: no value matches the filter, and it does not say how to make one",
            self.attribute.name
        );
        ScimError::new(ScimType::NoTarget, why)
    }
}

/// Whether two elements stand for the same thing: the same value of the same type; without a value, when
/// all that is said of the second holds for the first.
fn is_same(attribute: &Attribute, known: &Value, new: &Value) -> bool {
    let (Value::Complex(known), Value::Complex(new)) = (known, new) else {
        return match (known.as_text(), new.as_text()) {
            (Some(known), Some(new)) => texts_equal(known, new, attribute.case_exact),
            _ => known == new,
        };
    };
    let agrees = |name: &str| match (known.get(name), new.get(name)) {
        (Some(is), Some(said)) => part_equal(attribute, name, is, said),
        _ => true,
    };
    match (known.get("value"), new.get("value")) {
        (Some(_), Some(_)) => agrees("value") && agrees("type"),
        (None, Some(_)) => false,
        _ => new.iter().all(|(name, said)| {
            name == "primary" || known.get(name).is_some_and(|is| part_equal(attribute, name, is, said))
        }),
    }
}

fn part_equal(attribute: &Attribute, name: &str, a: &Value, b: &Value) -> bool {
    let case_exact = attribute.sub(name).is_none_or(|sub| sub.case_exact);
    match (a.as_text(), b.as_text()) {
        (Some(a), Some(b)) => texts_equal(a, b, case_exact),
        _ => a == b,
    }
}

/// The element that a filter of nothing but `eq` describes.
pub(super) fn described_by(filter: &Bound) -> Option<Value> {
    match filter {
        Filter::Compare(at, Op::Eq, literal) => {
            let value = from_literal(at.leaf(), literal)?;
            Some(match &at.sub {
                Some(sub) => Value::Complex(Object::from_iter([(sub.name.clone(), value)])),
                None => value,
            })
        }
        Filter::And(parts) => {
            let mut whole = Object::default();
            for part in parts {
                let Value::Complex(said) = described_by(part)? else { return None };
                said.iter().for_each(|(name, value)| whole.set(name.clone(), value.clone()));
            }
            Some(Value::Complex(whole))
        }
        _ => None,
    }
}

fn is_hollow(attribute: &Attribute, object: &Object) -> bool {
    let describes = |name: &str| DESCRIBING.contains(&name);
    object.iter().all(|(name, _)| describes(name))
        && !attribute.sub_attributes.iter().all(|sub| describes(&sub.name))
}
