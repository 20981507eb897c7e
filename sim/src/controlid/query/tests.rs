use serde_json::json;

use super::super::schema;
use super::*;

/// Three cards: of user 1, 1 and 2.
fn cards() -> Vec<Row> {
    [(1, 70, 1), (2, 80, 1), (3, 90, 2)]
        .map(|(id, value, user)| row::ints(&[("id", id), ("value", value), ("user_id", user)]))
        .into()
}

fn found(object: &str, rows: &[Row], filter: &Value) -> Result<Vec<i64>, String> {
    let filter = Filter::read(schema::object(object).unwrap(), Some(filter));
    let filter = filter.map_err(|refusal| refusal.words)?;
    Ok(rows.iter().filter(|row| filter.matches(row)).map(|row| row::int(row, "id")).collect())
}

fn clause(field: &str, value: i64, connector: &str) -> Value {
    json!({ "field": field, "value": value, "connector": connector })
}

#[test]
fn both_forms_of_where_find_what_they_say() {
    let rows = cards();
    let check = |filter: Value, expect: &[i64]| {
        assert_eq!(found("cards", &rows, &filter).unwrap(), expect, "{filter}");
    };
    check(json!({ "cards": { "user_id": 1 } }), &[1, 2]);
    check(json!({ "cards": { "user_id": [2, 9] } }), &[3]);
    check(json!({ "cards": { "id": { ">": 1, "<=": 3 }, "user_id": 1 } }), &[2]);
    check(json!({ "cards": { "value": { "!=": 80 } } }), &[1, 3]);
    check(json!({ "cards": { "value": [] } }), &[]);
    check(json!([]), &[1, 2, 3]);
    check(json!([{ "field": "id", "value": 2 }]), &[2]);
    check(
        json!([{ "object": "cards", "field": "id", "operator": ">", "value": 1, "connector": ") AND (" }]),
        &[2, 3],
    );
    check(json!([{ "field": "id", "value": [1, 3] }]), &[1, 3]);
    check(json!([{ "field": "id", "operator": "NOT IN", "value": [1, 3] }]), &[2]);
    // AND binds closer than OR …
    check(json!([clause("id", 3, "OR"), clause("user_id", 1, "AND"), clause("id", 2, "AND")]), &[2, 3]);
    // … unless a group says otherwise.
    check(json!([clause("id", 3, "OR"), clause("user_id", 1, ") AND ("), clause("id", 2, "AND")]), &[2]);
    check(
        json!([clause("id", 1, ") OR ("), clause("user_id", 2, ") AND ("), clause("id", 3, "AND")]),
        &[1, 3],
    );
}

#[test]
fn text_is_compared_and_matched() {
    let rows: Vec<Row> = [(1, "Ana Lima"), (2, "Bob"), (3, "ana%")]
        .map(|(id, name)| {
            let mut row = row::ints(&[("id", id)]);
            row.insert("name", Cell::Text(name.to_owned()));
            row
        })
        .into();
    let check = |condition: Value, expect: &[i64]| {
        let filter = json!({ "groups": { "name": condition } });
        assert_eq!(found("groups", &rows, &filter).unwrap(), expect, "{filter}");
    };
    check(json!("Bob"), &[2]);
    check(json!({ "LIKE": "ANA%" }), &[1, 3]);
    check(json!({ "LIKE": "_o_" }), &[2]);
    check(json!({ "NOT LIKE": "%a%" }), &[2]);
    check(json!({ ">": "B" }), &[2, 3]);
}

#[test]
fn what_is_no_filter_is_refused() {
    let check = |filter: Value, words: &str| {
        assert_eq!(found("cards", &[], &filter).unwrap_err(), words, "{filter}");
    };
    check(json!("id = 1"), "Invalid member 'where' (object or array expected, got string)");
    check(json!({}), "Invalid member 'where' (empty)");
    check(json!({ "cards": {} }), "Invalid member 'where' (empty)");
    check(json!({ "users": { "id": 1 } }), "Invalid object 'users' in where");
    check(json!({ "cards": 5 }), "Invalid member 'cards' (object expected, got integer)");
    check(json!({ "cards": { "number": 5 } }), "Invalid member 'number' (unknown)");
    check(json!({ "cards": { "id": "5" } }), "Invalid member 'id' (int expected, got string)");
    check(json!({ "cards": { "id": { "~": 5 } } }), "Invalid operator '~'");
    check(json!({ "cards": { "id": { "LIKE": "5" } } }), "Invalid operator for member 'id'");
    check(json!({ "cards": { "id": vec![1; 1000] } }), "too many SQL variables");
    check(json!([{ "field": "id", "op": "=", "value": 1 }]), "Invalid member 'op' (unknown)");
    check(json!([{ "field": "id" }]), "Invalid member 'value' (missing)");
    check(json!([{ "field": "id", "value": 1, "connector": "; DROP" }]), "Invalid connector '; DROP'");
    check(json!([{ "object": "users", "field": "id", "value": 1 }]), "Invalid object 'users' in where");
}

#[test]
fn a_page_has_its_fields_its_order_and_its_end() {
    let (object, rows) = (schema::object("cards").unwrap(), cards());
    let show = |body: Value| {
        let page = Page::read(object, body.as_object().unwrap()).map_err(|refusal| refusal.words)?;
        Ok::<_, String>(Value::from(page.show(object, rows.iter(), false)))
    };
    let check = |body: Value, expect: Value| assert_eq!(show(body.clone()).unwrap(), expect, "{body}");
    let ids = |ids: &[i64]| Value::from_iter(ids.iter().map(|id| json!({ "id": id })));
    check(json!({ "fields": ["id"] }), ids(&[1, 2, 3]));
    check(json!({ "fields": ["id"], "order": ["value", "descending"], "limit": 2 }), ids(&[3, 2]));
    check(json!({ "fields": ["id"], "order": ["descending", "user_id", "ascending"] }), ids(&[1, 2, 3]));
    check(json!({ "fields": ["id"], "limit": 1, "offset": 1 }), ids(&[2]));
    check(json!({ "fields": ["id"], "offset": 1 }), ids(&[1, 2, 3]));
    check(json!({ "fields": [{ "object": "cards", "field": "id" }], "limit": 0 }), ids(&[]));
    check(json!({ "limit": 1 }), json!([{ "id": 1, "value": 70, "user_id": 1 }]));
    let refused = |body: Value, words: &str| assert_eq!(show(body.clone()).unwrap_err(), words, "{body}");
    refused(json!({ "fields": ["number"] }), "Invalid member 'number' (unknown)");
    refused(json!({ "fields": [] }), "Invalid member 'fields' (empty)");
    refused(json!({ "fields": "id" }), "Invalid member 'fields' (array expected, got string)");
    refused(json!({ "order": ["time DESC"] }), "Invalid member 'time DESC' (unknown)");
    refused(json!({ "limit": -1 }), "Invalid member 'limit' (int expected, got integer)");
    refused(json!({ "limit": "5" }), "Invalid member 'limit' (int expected, got string)");
}
