//! From JSON to typed values, attribute by attribute.

use directory::fold;
use serde_json::{Map, Value as Json};

use super::{DateTime, MAX_ELEMENTS, MAX_TEXT_BYTES, Member, Object, Value};
use crate::error::{ScimError, ScimType};
use crate::filter::Literal;
use crate::schema::{Attribute, Extension, ResourceType, Type};

/// Most comparisons that one request may cost; some tenths of a second.
const MAX_EFFORT: usize = 2_000_000;
/// How many comparisons it costs to read one name or item of JSON.
const EFFORT_PER_NODE: usize = 8;
/// How many bytes of text are copied at the cost of a comparison.
const BYTES_PER_EFFORT: usize = 64;
/// Most unknown names that are reported; a client that sends more is told of these.
const MAX_IGNORED: usize = 32;
/// Longest unknown name that is reported, in characters.
const MAX_IGNORED_NAME: usize = 120;

/// Reads JSON by the characteristics of attributes and remembers what it had to ignore.
pub(crate) struct Reader {
    stored: bool,
    effort: usize,
    pub(crate) ignored: Vec<String>,
}

impl Reader {
    /// A reader of what clients send.
    pub(crate) fn new() -> Self {
        Self { stored: false, effort: 0, ignored: Vec::new() }
    }

    /// A reader of what we stored: keeps everything.
    pub(crate) fn stored() -> Self {
        Self { stored: true, effort: 0, ignored: Vec::new() }
    }

    /// Counts comparisons, so that no request of a legal size can keep a core busy for long.
    pub(crate) fn spend(&mut self, comparisons: usize) -> Result<(), ScimError> {
        self.effort = self.effort.saturating_add(comparisons);
        if self.effort > MAX_EFFORT {
            return Err(ScimError::plain(413, "the request takes too many comparisons: send it in parts"));
        }
        Ok(())
    }

    /// Counts what it costs to merge the JSON into so many elements.
    pub(crate) fn spend_merging(&mut self, json: &Json, elements: usize) -> Result<(), ScimError> {
        self.spend(effort(json).saturating_mul(elements))
    }

    /// Counts what it costs to copy the value into so many elements.
    pub(crate) fn spend_copying(&mut self, value: &Value, elements: usize) -> Result<(), ScimError> {
        self.spend((1 + value.weight() / BYTES_PER_EFFORT).saturating_mul(elements))
    }

    /// Something the registry does not know: ignored and reported.
    pub(crate) fn unknown(&mut self, name: &str) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_IGNORED_NAME).collect();
        if self.ignored.len() < MAX_IGNORED && !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }

    /// The value of an attribute. `None` is the one meaning of null, `[]`, `{}` and absence
    /// (RFC 7643, section 2.5).
    pub(crate) fn value(&mut self, attribute: &Attribute, json: &Json) -> Result<Option<Value>, ScimError> {
        if attribute.multi_valued {
            let elements = self.elements(attribute, json)?;
            return Ok((!elements.is_empty()).then_some(Value::Multi(elements)));
        }
        self.single(attribute, only_element(json))
    }

    /// The elements of a multi-valued attribute, doubles left out. A lone value is a list of one.
    pub(crate) fn elements(&mut self, attribute: &Attribute, json: &Json) -> Result<Vec<Value>, ScimError> {
        let mut elements: Vec<Value> = Vec::new();
        if self.stored {
            return items(json).iter().filter_map(|item| self.single(attribute, item).transpose()).collect();
        }
        for item in items(json) {
            let Some(element) = self.single(attribute, item)? else { continue };
            self.spend(elements.len())?;
            if elements.contains(&element) {
                continue;
            }
            if elements.len() == MAX_ELEMENTS {
                return Err(invalid(attribute, &format!("at most {MAX_ELEMENTS} values")));
            }
            elements.push(element);
        }
        if elements.iter().filter(|element| is_primary(element)).count() > 1 {
            return Err(invalid(attribute, "only one value can be primary"));
        }
        Ok(elements)
    }

    /// One value: of a single-valued attribute, or one element of a list.
    pub(crate) fn single(&mut self, attribute: &Attribute, json: &Json) -> Result<Option<Value>, ScimError> {
        if is_nothing(json) {
            return Ok(None);
        }
        match attribute.kind {
            Type::Complex => self.complex(attribute, json),
            Type::Boolean => boolean(attribute, json).map(Some),
            Type::Integer => integer(attribute, json).map(Some),
            Type::Decimal => decimal(attribute, json).map(Some),
            Type::String => text(attribute, json).map(Value::String).map(Some),
            Type::Reference => text(attribute, json).map(Value::Reference).map(Some),
            Type::Binary => binary(attribute, json).map(Some),
            Type::DateTime => date_time(attribute, json).map(Some),
        }
    }

    fn complex(&mut self, attribute: &Attribute, json: &Json) -> Result<Option<Value>, ScimError> {
        let mut object = Object::default();
        self.merge(attribute, &mut object, json)?;
        Ok((!object.is_empty() && !is_to_nobody(attribute, &object)).then_some(Value::Complex(object)))
    }

    /// Sets the sub-attributes that `json` gives, removes those it gives as null, leaves the rest.
    pub(crate) fn merge(
        &mut self,
        attribute: &Attribute,
        object: &mut Object,
        json: &Json,
    ) -> Result<(), ScimError> {
        let Some(given) = json.as_object() else { return self.merge_bare(attribute, object, json) };
        refuse_doubles(given).map_err(|why| why.under(&attribute.name))?;
        for (key, json) in given {
            let Some(sub) = attribute.sub(key) else {
                self.unknown_part(attribute, object, key, json);
                continue;
            };
            if sub.is_read_only() && !self.stored {
                continue;
            }
            match self.value(sub, json) {
                Ok(value) => object.put(&sub.name, value),
                Err(_) if self.stored => object.set(sub.name.clone(), Value::Opaque(json.clone())),
                Err(why) => return Err(why.under(&attribute.name)),
            }
        }
        Ok(())
    }

    /// A bare text stands for `value`: Entra ID's managers and members, and lists of roles as texts.
    fn merge_bare(
        &mut self,
        attribute: &Attribute,
        object: &mut Object,
        json: &Json,
    ) -> Result<(), ScimError> {
        let (Some(text), Some(sub)) = (json.as_str(), attribute.sub("value")) else {
            return Err(invalid(attribute, "expected an object"));
        };
        if text.is_empty() {
            *object = Object::default();
            return Ok(());
        }
        let value = self.single(sub, json).map_err(|why| why.under(&attribute.name))?;
        object.put(&sub.name, value);
        Ok(())
    }

    fn unknown_part(&mut self, attribute: &Attribute, object: &mut Object, key: &str, json: &Json) {
        match self.stored {
            true => object.set(key, Value::Opaque(json.clone())),
            false => self.unknown(&format!("{}.{key}", attribute.name)),
        }
    }

    /// The members in a JSON list. Each needs a `value`.
    pub(crate) fn members(&mut self, attribute: &Attribute, json: &Json) -> Result<Vec<Member>, ScimError> {
        let mut members = Vec::new();
        for item in items(json) {
            let Some(element) = self.single(attribute, item)? else { continue };
            let member = element.as_complex().and_then(Member::from_object);
            members
                .push(member.ok_or_else(|| invalid(attribute, "each member needs a value, the id of it"))?);
        }
        Ok(members)
    }

    /// A stored document; see [`super::Tree::from_stored`].
    pub(super) fn stored_object(&mut self, kind: &ResourceType, stored: &Json) -> Object {
        let entries = stored.as_object().into_iter().flatten();
        let read = entries.map(|(key, json)| match (kind.attribute(key), kind.extension(key)) {
            (Some(attribute), _) => (attribute.name.clone(), self.stored_value(attribute, json)),
            (None, Some(extension)) => (extension.schema.id.clone(), self.stored_extension(extension, json)),
            (None, None) => (key.as_str().into(), Value::Opaque(json.clone())),
        });
        read.collect()
    }

    fn stored_value(&mut self, attribute: &Attribute, json: &Json) -> Value {
        self.value(attribute, json).ok().flatten().unwrap_or_else(|| Value::Opaque(json.clone()))
    }

    fn stored_extension(&mut self, extension: &Extension, json: &Json) -> Value {
        let Some(entries) = json.as_object() else { return Value::Opaque(json.clone()) };
        let read = entries.iter().map(|(key, json)| match extension.schema.attribute(key) {
            Some(attribute) => (attribute.name.clone(), self.stored_value(attribute, json)),
            None => (key.as_str().into(), Value::Opaque(json.clone())),
        });
        Value::Complex(read.collect())
    }
}

/// What it costs to read the JSON once.
fn effort(json: &Json) -> usize {
    let inside: usize = match json {
        Json::String(text) => text.len() / BYTES_PER_EFFORT,
        Json::Array(items) => items.iter().map(effort).sum(),
        Json::Object(entries) => {
            entries.iter().map(|(name, json)| name.len() / BYTES_PER_EFFORT + effort(json)).sum()
        }
        _ => 0,
    };
    inside.saturating_add(EFFORT_PER_NODE)
}

/// Two spellings of one name would leave open which counts.
pub(super) fn refuse_doubles(given: &Map<String, Json>) -> Result<(), ScimError> {
    let mut seen: Vec<String> = given.keys().map(|key| key.to_ascii_lowercase()).collect();
    seen.sort_unstable();
    match seen.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ScimError::new(ScimType::InvalidSyntax, format!("{}: given twice", pair[0]))),
        None => Ok(()),
    }
}

/// Whether it refers to nobody: an empty id is how some clients clear a manager.
pub(crate) fn is_to_nobody(attribute: &Attribute, object: &Object) -> bool {
    attribute.sub("$ref").is_some() && object.text("value") == Some("")
}

/// Whether the element is the preferred one.
pub(crate) fn is_primary(element: &Value) -> bool {
    let primary = element.as_complex().and_then(|object| object.get("primary"));
    primary.and_then(Value::as_bool) == Some(true)
}

/// The value that a filter asserts of an attribute with `eq`, for elements made from a value path. Read as if it had
/// been sent as a value: a filter may ask for what no attribute can be (half a key, a text that is no base64), and
/// nothing is made of that.
pub(crate) fn from_literal(attribute: &Attribute, literal: &Literal) -> Option<Value> {
    let json = match literal {
        Literal::Boolean(truth) => Json::from(*truth),
        Literal::Integer(number) => Json::from(*number),
        Literal::Decimal(number) => Json::from(*number),
        Literal::DateTime(at) => Json::from(at.to_string()),
        Literal::Text(text) => Json::from(text.as_str()),
        Literal::Null => return None,
    };
    Reader::new().single(attribute, &json).ok().flatten()
}

/// `True`, `FALSE` and their kin.
pub(crate) fn spelled_truth(text: &str) -> Option<bool> {
    match &*fold(text) {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Whether the JSON is one of the ways to say "no value" (RFC 7643, section 2.5). A list of nothing is nothing.
pub(crate) fn is_nothing(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::Array(items) => items.iter().all(is_nothing),
        Json::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// The items of a list; a lone value is a list of one.
pub(crate) fn items(json: &Json) -> &[Json] {
    match json {
        Json::Array(items) => items,
        lone => std::slice::from_ref(lone),
    }
}

/// A list of one stands for its element: Entra ID writes managers so.
pub(crate) fn only_element(json: &Json) -> &Json {
    match json.as_array().map(Vec::as_slice) {
        Some([only]) => only,
        _ => json,
    }
}

pub(crate) fn invalid(attribute: &Attribute, why: &str) -> ScimError {
    ScimError::new(ScimType::InvalidValue, format!("{}: {why}", attribute.name))
}

fn boolean(attribute: &Attribute, json: &Json) -> Result<Value, ScimError> {
    let truth = match json {
        Json::Bool(truth) => Some(*truth),
        Json::String(text) => spelled_truth(text),
        _ => None,
    };
    truth.map(Value::Boolean).ok_or_else(|| invalid(attribute, "expected true or false"))
}

fn integer(attribute: &Attribute, json: &Json) -> Result<Value, ScimError> {
    json.as_i64().map(Value::Integer).ok_or_else(|| invalid(attribute, "expected a whole number of 64 bits"))
}

fn decimal(attribute: &Attribute, json: &Json) -> Result<Value, ScimError> {
    let number = json.as_f64().filter(|number| number.is_finite());
    number.map(Value::Decimal).ok_or_else(|| invalid(attribute, "expected a number"))
}

fn text(attribute: &Attribute, json: &Json) -> Result<String, ScimError> {
    let text = json.as_str().ok_or_else(|| invalid(attribute, "expected text"))?;
    // PostgreSQL stores no NUL.
    if text.len() > MAX_TEXT_BYTES || text.contains('\0') {
        return Err(invalid(attribute, &format!("at most {MAX_TEXT_BYTES} bytes, and no NUL")));
    }
    Ok(text.into())
}

fn binary(attribute: &Attribute, json: &Json) -> Result<Value, ScimError> {
    let text = text(attribute, json)?;
    let digits = text.trim_end_matches('=');
    let fits = text.len() - digits.len() <= 2
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte));
    fits.then_some(Value::Binary(text)).ok_or_else(|| invalid(attribute, "expected base64"))
}

fn date_time(attribute: &Attribute, json: &Json) -> Result<Value, ScimError> {
    let text = text(attribute, json)?;
    let time = DateTime::parse(&text).map(Value::DateTime);
    time.ok_or_else(|| invalid(attribute, "expected a date and time, such as 2011-05-13T04:42:34Z"))
}
