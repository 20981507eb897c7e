//! The five commands on objects.

use serde_json::{Value, json};

use super::command::{Answer, members, text};
use super::query::{Filter, Page};
use super::refusal::Refusal;
use super::row::{self, Row, type_of};
use super::schema::{self, Object};
use super::state::State;

pub(super) fn create(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    members(body, &["object", "values"])?;
    let object = written(body)?;
    let rows = several(object, body)?;
    state.has_room(object, &rows)?;
    let ids = state.store.insert_all(object, &rows)?;
    Ok(Answer::Json(json!({ "ids": ids })))
}

pub(super) fn load(state: &State, body: &Value) -> Result<Answer, Refusal> {
    let known = ["object", "fields", "limit", "offset", "order", "join", "where"];
    let members = members(body, &known)?;
    let object = named(body)?;
    // There is nothing to join with, but it may be said how.
    if members.contains_key("join") && !["LEFT", "INNER"].contains(&text(members, "join")?) {
        return Err(Refusal::bad("Invalid member 'join' (LEFT or INNER expected)"));
    }
    let filter = Filter::read(object, members.get("where"))?;
    let page = Page::read(object, members)?;
    let ignored = state.faults.ignore_filters;
    let filter = if ignored { Filter::everything() } else { filter };
    let rows = state.store.rows(object.name).iter().filter(|row| filter.matches(row));
    let shown = page.show(object, rows, ignored);
    Ok(Answer::Json(json!({ object.name: shown })))
}

pub(super) fn modify(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    let members = members(body, &["object", "values", "where"])?;
    let object = written(body)?;
    let values = members.get("values").ok_or_else(|| Refusal::missing("values"))?;
    let given = one(object, values)?;
    if given.is_empty() {
        return Err(Refusal::bad("Invalid member 'values' (empty)"));
    }
    let filter = Filter::read(object, members.get("where"))?;
    let changes = state.store.modify(object, &given, &|row: &Row| filter.matches(row))?;
    Ok(Answer::Json(json!({ "changes": changes })))
}

/// Without `where` everything goes, as in the vendor's own example.
pub(super) fn destroy(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    let members = members(body, &["object", "where"])?;
    let object = written(body)?;
    let filter = Filter::read(object, members.get("where"))?;
    let changes = state.store.destroy(object, &|row: &Row| filter.matches(row))?;
    Ok(Answer::Json(json!({ "changes": changes })))
}

pub(super) fn create_or_modify(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    members(body, &["object", "values"])?;
    let object = written(body)?;
    let rows = several(object, body)?;
    state.has_room(object, &rows)?;
    let changes = state.store.put_all(object, &rows)?;
    Ok(Answer::Json(json!({ "changes": changes })))
}

/// The object that the request is about.
fn named(body: &Value) -> Result<&'static Object, Refusal> {
    let name = text(super::command::object(body)?, "object")?;
    schema::object(name).ok_or_else(|| Refusal::bad(format!("Invalid object '{name}'")))
}

/// The same, if it may be written.
fn written(body: &Value) -> Result<&'static Object, Refusal> {
    let object = named(body)?;
    if object.read_only {
        return Err(Refusal::bad(format!("Object '{}' is read only", object.name)));
    }
    Ok(object)
}

fn one(object: &Object, value: &Value) -> Result<Row, Refusal> {
    let values = value.as_object().ok_or_else(|| Refusal::of_type("values", "object", type_of(value)))?;
    row::read(object, values)
}

/// At least one row, and all with the same fields, as the vendor demands.
fn several(object: &Object, body: &Value) -> Result<Vec<Row>, Refusal> {
    let values = body.get("values").ok_or_else(|| Refusal::missing("values"))?;
    let values = values.as_array().ok_or_else(|| Refusal::of_type("values", "array", type_of(values)))?;
    let rows = values.iter().map(|value| one(object, value)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = rows.first() else {
        return Err(Refusal::bad("Invalid member 'values' (empty)"));
    };
    if rows.iter().any(|row| !row.keys().eq(first.keys())) {
        return Err(Refusal::bad("Invalid member 'values' (all must have the same fields)"));
    }
    Ok(rows)
}
