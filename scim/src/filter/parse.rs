//! The recursive-descent parser of filters, and of the value paths that PATCH shares with them.

use super::{Filter, Literal, MAX_DEPTH, MAX_LENGTH, MAX_TERMS, Op};
use crate::schema::{AttrPath, is_attribute_name, is_path_byte};

/// A text being read. Errors are sentences that name the place; the caller adds the keyword.
pub(crate) struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    terms: usize,
}

impl<'t> Parser<'t> {
    pub(crate) fn new(text: &'t str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("a filter has at most {MAX_LENGTH} bytes"));
        }
        Ok(Self { text, at: 0, depth: 0, terms: 0 })
    }

    /// The whole text as one filter.
    pub(crate) fn filter(mut self) -> Result<Filter, String> {
        let filter = self.alternatives(false)?;
        self.end()?;
        Ok(filter)
    }

    /// The text has to be over here.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("\"and\", \"or\" or the end")),
        }
    }

    fn alternatives(&mut self, inside: bool) -> Result<Filter, String> {
        let mut parts = vec![self.conjunction(inside)?];
        while self.take_word("or") {
            parts.push(self.conjunction(inside)?);
        }
        Ok(lone_or(parts, Filter::Or))
    }

    fn conjunction(&mut self, inside: bool) -> Result<Filter, String> {
        let mut parts = vec![self.operand(inside)?];
        while self.take_word("and") {
            parts.push(self.operand(inside)?);
        }
        Ok(lone_or(parts, Filter::And))
    }

    fn operand(&mut self, inside: bool) -> Result<Filter, String> {
        self.skip_space();
        if self.take(b'(') {
            return self.group(inside);
        }
        let start = self.at;
        if self.take_word("not") {
            self.skip_space();
            if self.take(b'(') {
                return Ok(Filter::Not(Box::new(self.group(inside)?)));
            }
            self.at = start;
        }
        self.expression(inside)
    }

    /// The rest of a group after its opening parenthesis.
    fn group(&mut self, inside: bool) -> Result<Filter, String> {
        self.nested(b')', |parser| parser.alternatives(inside))
    }

    fn nested(
        &mut self,
        close: u8,
        body: impl FnOnce(&mut Self) -> Result<Filter, String>,
    ) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("a filter nests at most {MAX_DEPTH} deep"));
        }
        let inner = body(self)?;
        self.skip_space();
        if !self.take(close) {
            return Err(self.expected(&format!("\"{}\"", char::from(close))));
        }
        self.depth -= 1;
        Ok(inner)
    }

    fn expression(&mut self, inside: bool) -> Result<Filter, String> {
        let attr = self.path()?;
        if inside || self.peek() != Some(b'[') {
            return self.comparison(attr);
        }
        let inner = self.brackets()?;
        if !self.take(b'.') {
            return Ok(Filter::Has(attr, Box::new(inner)));
        }
        // Entra ID's `emails[type eq "work"].value eq "x"`: some element satisfies both.
        let sub = AttrPath::of(self.name()?);
        let last = self.comparison(sub)?;
        let both = match inner {
            Filter::And(mut parts) => {
                parts.push(last);
                Filter::And(parts)
            }
            other => Filter::And(vec![other, last]),
        };
        Ok(Filter::Has(attr, Box::new(both)))
    }

    /// A filter in brackets, which stand here.
    pub(crate) fn brackets(&mut self) -> Result<Filter, String> {
        self.at += 1;
        self.nested(b']', |parser| parser.alternatives(true))
    }

    fn comparison(&mut self, attr: AttrPath) -> Result<Filter, String> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(format!("a filter has at most {MAX_TERMS} comparisons"));
        }
        self.skip_space();
        let start = self.at;
        let word = self.run(|byte| byte.is_ascii_alphabetic());
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(attr));
        }
        let Some(op) = Op::parse(word) else {
            self.at = start;
            return Err(self.expected("an operator (eq ne co sw ew gt ge lt le pr)"));
        };
        self.skip_space();
        Ok(Filter::Compare(attr, op, self.literal()?))
    }

    /// An attribute path.
    pub(crate) fn path(&mut self) -> Result<AttrPath, String> {
        self.skip_space();
        let start = self.at;
        let token = self.run(is_path_byte);
        AttrPath::parse(token).ok_or_else(|| {
            self.at = start;
            self.expected("an attribute")
        })
    }

    /// One attribute name without URN or dot.
    pub(crate) fn name(&mut self) -> Result<&'t str, String> {
        let start = self.at;
        let token = self.run(|byte| byte.is_ascii_alphanumeric() || b"$-_".contains(&byte));
        if is_attribute_name(token) {
            return Ok(token);
        }
        self.at = start;
        Err(self.expected("a sub-attribute"))
    }

    fn literal(&mut self) -> Result<Literal, String> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        let start = self.at;
        let token = self.run(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let literal = match token {
            word if word.eq_ignore_ascii_case("true") => Some(Literal::Boolean(true)),
            word if word.eq_ignore_ascii_case("false") => Some(Literal::Boolean(false)),
            word if word.eq_ignore_ascii_case("null") => Some(Literal::Null),
            number => read_number(number),
        };
        literal.ok_or_else(|| {
            self.at = start;
            self.expected("a value: a text in double quotes, a number, true, false or null")
        })
    }

    fn string(&mut self) -> Result<Literal, String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        while bytes.get(end).is_some_and(|byte| *byte != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let quoted = self.text.get(start..=end);
        let text = quoted.and_then(|quoted| serde_json::from_str::<String>(quoted).ok());
        match text {
            // No stored text has a NUL, and PostgreSQL refuses one even as a parameter.
            Some(text) if !text.contains('\0') => {
                self.at = end + 1;
                Ok(Literal::Text(text))
            }
            _ => Err(self.expected("a text that ends in a double quote, with escapes as in JSON")),
        }
    }

    /// Takes a keyword, in any case, that ends where a word can end.
    fn take_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let end = self.at + word.len();
        let found = self.text.get(self.at..end).is_some_and(|found| found.eq_ignore_ascii_case(word));
        let ends = self.text.as_bytes().get(end).is_none_or(|byte| !is_path_byte(*byte));
        if found && ends {
            self.at = end;
        }
        found && ends
    }

    /// Takes a mark.
    pub(crate) fn take(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(mark);
        if found {
            self.at += 1;
        }
        found
    }

    /// The next byte.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'t str {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|byte| belongs(*byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn skip_space(&mut self) {
        self.run(|byte| byte.is_ascii_whitespace());
    }

    fn expected(&self, what: &str) -> String {
        let rest: String = self.text[self.at..].chars().take(20).collect();
        let character = self.text[..self.at].chars().count() + 1;
        match rest.is_empty() {
            true => format!("expected {what} at the end"),
            false => format!("expected {what} at character {character}, found {rest:?}"),
        }
    }
}

fn lone_or(mut parts: Vec<Filter>, several: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.len() {
        1 => parts.remove(0),
        _ => several(parts),
    }
}

fn read_number(token: &str) -> Option<Literal> {
    let number: serde_json::Number = serde_json::from_str(token).ok()?;
    match number.as_i64() {
        Some(whole) => Some(Literal::Integer(whole)),
        // It only lends its grammar: its own reading may miss the nearest fraction by one bit.
        None => token.parse().ok().filter(|decimal: &f64| decimal.is_finite()).map(Literal::Decimal),
    }
}
