//! Rust text taken apart just enough for rules: code, comments, words, attributes.
//!
//! No parser: a rule must hold for code behind any `cfg` and inside any macro.

/// The code and the comments of a file, each with everything else blanked, so that both keep the lines and
/// columns of the text. Contents of strings are in neither.
#[derive(Default)]
pub(crate) struct Rust {
    pub(crate) code: String,
    pub(crate) comments: String,
}

/// A name in code.
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    /// Counted from 1.
    pub(crate) line: usize,
    /// The code before it and after it.
    pub(crate) before: &'a str,
    pub(crate) after: &'a str,
}

impl Rust {
    pub(crate) fn read(text: &str) -> Self {
        let mut code = Vec::with_capacity(text.len());
        let mut comments = Vec::with_capacity(text.len());
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let (kind, len) = token(text, at);
            for &byte in &bytes[at..at + len] {
                let blank = if byte == b'\n' { b'\n' } else { b' ' };
                code.push(if kind == Kind::Code { byte } else { blank });
                comments.push(if kind == Kind::Comment { byte } else { blank });
            }
            at += len;
        }
        let text = |bytes| String::from_utf8(bytes).expect("tokens end between characters");
        Self { code: text(code), comments: text(comments) }
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        words(&self.code)
    }

    /// The insides of `#[…]` and `#![…]`, each as words of the whole code.
    pub(crate) fn attribute_words(&self) -> impl Iterator<Item = Word<'_>> {
        let insides = attributes(&self.code);
        self.words().filter(move |word| insides.iter().any(|inside| inside.contains(&word.before.len())))
    }
}

/// Names (Rust's and numbers), in order.
pub(crate) fn words(code: &str) -> impl Iterator<Item = Word<'_>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let (mut at, mut line) = (0, 1);
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_part)?;
        let end = start + code[start..].find(|c| !is_part(c)).unwrap_or(code.len() - start);
        line += code[at..start].matches('\n').count();
        at = end;
        Some(Word { text: &code[start..end], line, before: &code[..start], after: &code[end..] })
    })
}

impl Word<'_> {
    /// It stands in a path (`a::b`) or in a `use`.
    pub(crate) fn is_in_path(&self) -> bool {
        let since_statement = self.before.rsplit(';').next().unwrap_or_default();
        self.before.trim_end().ends_with("::")
            || self.after.trim_start().starts_with("::")
            || words(since_statement).any(|word| word.text == "use")
    }

    /// It is called as a macro.
    pub(crate) fn is_macro(&self) -> bool {
        self.after.starts_with('!') && !self.after.starts_with("!=")
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// The token that starts at a byte, and its length.
fn token(text: &str, at: usize) -> (Kind, usize) {
    let rest = &text[at..];
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Kind::Text, quoted(rest, '"'));
    }
    if let Some(len) = character(rest) {
        return (Kind::Text, len);
    }
    let first = rest.chars().next().expect("there is a rest");
    if !(first.is_alphanumeric() || first == '_') {
        return (Kind::Code, first.len_utf8());
    }
    let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    match (&rest[..len], &rest[len..]) {
        ("r" | "br" | "cr", after) => raw(after).map_or((Kind::Code, len), |more| (Kind::Text, len + more)),
        ("b", after) if after.starts_with('\'') => (Kind::Text, len + quoted(after, '\'')),
        _ => (Kind::Code, len),
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let bytes = &rest.as_bytes()[at..];
        match bytes {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// From a quote to the same quote, past escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// From the hashes and the quote after `r` to the quote and as many hashes.
fn raw(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if !rest[hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = &rest[hashes + 1..];
    Some(inside.find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

/// `'x'` or `'\n'`; `None` of a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return Some(quoted(rest, '\''));
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then_some(2 + first.len_utf8())
}

/// Where the insides of attributes lie.
fn attributes(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices('#') {
        let after = code[at + 1..].strip_prefix('!').unwrap_or(&code[at + 1..]);
        if !after.starts_with('[') {
            continue;
        }
        let start = code.len() - after.len();
        let mut depth = 0;
        let end = after.bytes().position(|byte| {
            depth += i32::from(byte == b'[') - i32::from(byte == b']');
            depth == 0
        });
        found.push(start..end.map_or(code.len(), |end| start + end));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let read = Rust::read(text);
        assert_eq!(read.code.split_whitespace().collect::<Vec<_>>().join(" "), code, "code of {text:?}");
        assert_eq!(read.comments.split_whitespace().collect::<Vec<_>>().join(" "), comments, "of {text:?}");
        assert_eq!(read.code.matches('\n').count(), text.matches('\n').count());
    }

    #[test]
    fn code_comments_and_strings_are_told_apart() {
        check("a // b\nc", "a c", "// b");
        check("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */");
        check(r#"f("// no", b"x\"y", g)"#, "f( , b , g)", "");
        check(r###"r"\" + r#"a"b"# + br##"c"#d"## + r#fn"###, "+ + + r#fn", "");
        check(r"f::<'a>('x', '\'', b'\\', 'ä', '_')", "f::<'a>( , , , , )", "");
        check("\"open", "", "");
    }

    #[test]
    fn words_know_their_line_and_their_path() {
        let read = Rust::read("use a::{b, c};\nlet d = e::f!(1) != g;");
        let words: Vec<_> = read.words().map(|word| (word.text, word.line, word.is_in_path())).collect();
        let expect = [
            ("use", 1, false),
            ("a", 1, true),
            ("b", 1, true),
            ("c", 1, true),
            ("let", 2, false),
            ("d", 2, false),
            ("e", 2, true),
            ("f", 2, true),
            ("1", 2, false),
            ("g", 2, false),
        ];
        assert_eq!(words, expect);
        assert_eq!(read.words().filter(Word::is_macro).map(|word| word.text).collect::<Vec<_>>(), ["f"]);
    }
}
