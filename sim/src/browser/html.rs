//! A tolerant scanner for HTML: enough to find forms, links and the words that a person reads.
//!
//! It builds no tree and repairs nothing; it knows comments, quoted and bare attributes, character references
//! (the named ones that templates write, and numbers) and the elements whose content is not markup.

/// A piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open(Tag),
    Close(String),
    Text(String),
}

/// A start tag: name and attribute names in lower case, character references resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Tag {
    /// The first attribute of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Elements whose content is text until their own end tag.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// The page, piece by piece.
pub(super) fn scan(page: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        push_text(&mut tokens, &rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            rest = rest.find('>').map_or("", |end| &rest[end + 1..]);
        } else if let Some(close) = rest.strip_prefix("</") {
            let end = close.find('>').unwrap_or(close.len());
            tokens.push(Token::Close(close[..end].trim().to_ascii_lowercase()));
            rest = close.get(end + 1..).unwrap_or("");
        } else if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            let (tag, after) = tag(&rest[1..]);
            rest = raw_content(&mut tokens, tag, after);
        } else {
            push_text(&mut tokens, "<");
            rest = &rest[1..];
        }
    }
    push_text(&mut tokens, rest);
    tokens
}

fn push_text(tokens: &mut Vec<Token>, text: &str) {
    if !text.is_empty() {
        tokens.push(Token::Text(resolve(text)));
    }
}

/// Puts the tag, and the content if it is raw; gives what follows.
fn raw_content<'a>(tokens: &mut Vec<Token>, tag: Tag, after: &'a str) -> &'a str {
    let name = tag.name.clone();
    tokens.push(Token::Open(tag));
    if !RAW.contains(&name.as_str()) {
        return after;
    }
    let end = format!("</{name}");
    let at = after.to_ascii_lowercase().find(&end).unwrap_or(after.len());
    push_text(tokens, &after[..at]);
    &after[at..]
}

/// Reads a start tag behind its `<`; gives what follows its `>`.
fn tag(text: &str) -> (Tag, &str) {
    let ends_name = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>');
    let at = text.find(ends_name).unwrap_or(text.len());
    let mut tag = Tag { name: text[..at].to_ascii_lowercase(), attributes: Vec::new() };
    let mut rest = &text[at..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (tag, "");
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (tag, after);
        }
        let (name, value, after) = attribute(rest);
        tag.attributes.push((name, value));
        rest = after;
    }
}

/// Reads one attribute at the start of a non-empty text; always gets further.
fn attribute(text: &str) -> (String, String, &str) {
    // A name may begin with anything, even "=" (HTML Living Standard, 13.2.5.32).
    let first = text.chars().next().map_or(0, char::len_utf8);
    let ends_name = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=');
    let at = text[first..].find(ends_name).map_or(text.len(), |at| first + at);
    let name = text[..at].to_ascii_lowercase();
    let Some(value) = text[at..].trim_start().strip_prefix('=') else {
        return (name, String::new(), &text[at..]);
    };
    let value = value.trim_start();
    let quoted = ['"', '\''].into_iter().find_map(|quote| Some((quote, value.strip_prefix(quote)?)));
    if let Some((quote, inner)) = quoted {
        let end = inner.find(quote).unwrap_or(inner.len());
        return (name, resolve(&inner[..end]), inner.get(end + 1..).unwrap_or(""));
    }
    let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len());
    (name, resolve(&value[..end]), &value[end..])
}

/// Resolves character references; what is none stays as it stands.
fn resolve(text: &str) -> String {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        resolved.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest.find(';').and_then(|end| Some((character(&rest[1..end])?, end + 1)));
        let (character, length) = reference.unwrap_or(('&', 1));
        resolved.push(character);
        rest = &rest[length..];
    }
    resolved.push_str(rest);
    resolved
}

fn character(reference: &str) -> Option<char> {
    if let Some(number) = reference.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    Some(match reference {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(name: &str, attributes: &[(&str, &str)]) -> Token {
        let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Token::Open(Tag { name: name.into(), attributes })
    }

    fn text(text: &str) -> Token {
        Token::Text(text.into())
    }

    #[test]
    fn a_page_is_cut_into_its_pieces() {
        let check = |page: &str, expect: &[Token]| assert_eq!(scan(page), expect, "{page}");
        let close = |name: &str| Token::Close(name.into());
        check("", &[]);
        check("a &lt; b &amp;amp; &#39;c&#x27; &nope; &", &[text("a < b &amp; 'c' &nope; &")]);
        check("<!DOCTYPE html><P>x</P >", &[open("p", &[]), text("x"), close("p")]);
        check("<!-- <p> --><br/>", &[open("br", &[])]);
        check("<!-- never closed <p>", &[]);
        check("1 < 2", &[text("1 "), text("<"), text(" 2")]);
        let input = open("input", &[("type", "text"), ("name", "a b"), ("value", "x>y"), ("disabled", "")]);
        check(r#"<input type=text NAME='a b' value = "x&gt;y" disabled>"#, &[input]);
        check("<a href=/x/y?z=1&amp;w>", &[open("a", &[("href", "/x/y?z=1&w")])]);
        let script = [open("script", &[]), text("if (a < b) '<form>'"), close("script")];
        check("<script>if (a < b) '<form>'</SCRIPT>", &script);
        check("<textarea><b></textarea>", &[open("textarea", &[]), text("<b>"), close("textarea")]);
        check("<p class=\"never closed", &[open("p", &[("class", "never closed")])]);
        check("<style>never closed", &[open("style", &[]), text("never closed")]);
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic_or_hang(page in "[<>a-c/='\"&#;! -]{0,60}") {
            let _ = scan(&page);
        }

        #[test]
        fn other_alphabets_are_no_trouble(page in "(<|>|ä|=|日|\"|p|&| ){0,40}") {
            let _ = scan(&page);
        }
    }
}
