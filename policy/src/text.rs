//! Cuts a policy text into its statements and bounds each one, before any parser recurses into it.
//!
//! It knows only what it takes to find the `;` that ends a policy: strings, comments and brackets. Whether
//! the statement means anything is Cedar's to say; parsing one at a time also tells us its line.

/// The most that one source may hold, in bytes.
pub(crate) const MAX_SOURCE: usize = 1 << 20;
/// The most that one policy may hold, in bytes.
pub(crate) const MAX_POLICY: usize = 1 << 16;
/// How deep brackets and `if`s may nest in one policy.
pub(crate) const MAX_NESTING: usize = 32;
/// How many operator characters one policy may have; they bound the depth of its syntax tree.
pub(crate) const MAX_OPERATORS: usize = 512;

/// One policy as written, from its first token to its `;`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// The line of its first token, counted from 1.
    pub(crate) line: usize,
    pub(crate) text: &'a str,
    /// Whether it keeps the bounds above. If not, it must not be parsed.
    pub(crate) bounded: bool,
}

/// The statements of a source. What follows the last `;` is one more, unless it is blank or comment.
pub(crate) fn statements(source: &str) -> Vec<Statement<'_>> {
    let mut scan = Scan { source, at: 0, line: 1, open: None, found: Vec::new() };
    while let Some(&byte) = source.as_bytes().get(scan.at) {
        match byte {
            b'/' if source[scan.at..].starts_with("//") => scan.skip_comment(),
            b'"' => scan.skip_string(),
            b';' => {
                scan.token(byte);
                scan.close();
            }
            _ if byte.is_ascii_whitespace() => scan.advance(1),
            _ => scan.token(byte),
        }
    }
    scan.close();
    scan.found
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    open: Option<Open>,
    found: Vec<Statement<'a>>,
}

/// The statement being scanned.
struct Open {
    start: usize,
    line: usize,
    nesting: usize,
    deepest: usize,
    operators: usize,
}

impl<'a> Scan<'a> {
    fn advance(&mut self, bytes: usize) {
        let end = self.source.len().min(self.at + bytes);
        self.line += self.source.as_bytes()[self.at..end].iter().filter(|byte| **byte == b'\n').count();
        self.at = end;
    }

    fn opened(&mut self) -> &mut Open {
        let (start, line) = (self.at, self.line);
        self.open.get_or_insert(Open { start, line, nesting: 0, deepest: 0, operators: 0 })
    }

    fn token(&mut self, byte: u8) {
        let is_if = self.is_if();
        let open = self.opened();
        match byte {
            b'(' | b'[' | b'{' => {
                open.nesting += 1;
                open.operators += 1;
            }
            b')' | b']' | b'}' => open.nesting = open.nesting.saturating_sub(1),
            b'&' | b'|' | b'+' | b'-' | b'*' | b'.' | b'!' | b'<' | b'>' | b'=' => open.operators += 1,
            // An `else if` nests without a bracket, and nothing closes it.
            _ if is_if => open.nesting += 1,
            _ => {}
        }
        open.deepest = open.deepest.max(open.nesting);
        self.advance(1);
    }

    fn is_if(&self) -> bool {
        let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let bytes = self.source.as_bytes();
        bytes[self.at..].starts_with(b"if")
            && !word(bytes.get(self.at + 2))
            && !word(self.at.checked_sub(1).and_then(|before| bytes.get(before)))
    }

    /// To the end of the line, where a comment ends in Cedar's grammar too (`\r` alone included).
    fn skip_comment(&mut self) {
        let rest = &self.source[self.at..];
        self.advance(rest.find(['\n', '\r']).unwrap_or(rest.len()));
    }

    fn skip_string(&mut self) {
        self.opened();
        self.advance(1);
        while let Some(&byte) = self.source.as_bytes().get(self.at) {
            match byte {
                b'\\' => self.advance(2),
                b'"' => return self.advance(1),
                _ => self.advance(1),
            }
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            let text = &self.source[open.start..self.at];
            let bounded =
                text.len() <= MAX_POLICY && open.deepest <= MAX_NESTING && open.operators <= MAX_OPERATORS;
            self.found.push(Statement { line: open.line, text, bounded });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_strings_and_comments() {
        let check = |source: &str, expect: &[(usize, &str)]| {
            let found: Vec<_> = statements(source).iter().map(|s| (s.line, s.text)).collect();
            assert_eq!(found, expect, "{source:?}");
        };
        check("", &[]);
        check(" \n // nothing; here\n", &[]);
        check("a;\n\n b\nc;", &[(1, "a;"), (3, "b\nc;")]);
        check("a", &[(1, "a")]);
        check(";", &[(1, ";")]);
        check("// one\n@id(\"x;y\") a;", &[(2, "@id(\"x;y\") a;")]);
        check(r#"a "\";" b; c;"#, &[(1, r#"a "\";" b;"#), (1, "c;")]);
        check(r#"a "\\"; b;"#, &[(1, r#"a "\\";"#), (1, "b;")]);
        check("a // ; \r; b;", &[(1, "a // ; \r;"), (1, "b;")]);
        check("a \"unfinished ; ", &[(1, "a \"unfinished ; ")]);
        check("\"two\nlines\";\nb;", &[(1, "\"two\nlines\";"), (3, "b;")]);
        check("ä \"ö\\ü\"; ß;", &[(1, "ä \"ö\\ü\";"), (1, "ß;")]);
    }

    #[test]
    fn every_bound_binds_at_its_edge() {
        let check = |text: String, expect: bool| {
            let found = statements(&text);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].bounded, expect, "{}", &text[..text.len().min(60)]);
        };
        let nested = |depth: usize| format!("{}{};", "(".repeat(depth), ")".repeat(depth));
        check(nested(MAX_NESTING), true);
        check(nested(MAX_NESTING + 1), false);
        check(format!("{};", "if a else ".repeat(MAX_NESTING)), true);
        check(format!("{};", "if a else ".repeat(MAX_NESTING + 1)), false);
        check(format!("{};", "if_ gif if2 ".repeat(MAX_NESTING + 1)), true);
        check(format!("{};", "+".repeat(MAX_OPERATORS)), true);
        check(format!("{};", ".a".repeat(MAX_OPERATORS + 1)), false);
        check(format!("{};", "[]".repeat(MAX_OPERATORS + 1)), false);
        check(format!("\"{}\";", "(+".repeat(MAX_OPERATORS)), true);
        check(format!("{};", "a".repeat(MAX_POLICY - 1)), true);
        check(format!("{};", "a".repeat(MAX_POLICY)), false);
    }

    proptest! {
        #[test]
        fn no_token_is_lost(source in r#"([;"\\/\n\r(){}ab .ü]|//){0,40}"#) {
            let found = statements(&source);
            let mut end = 0;
            for statement in &found {
                let start = statement.text.as_ptr() as usize - source.as_ptr() as usize;
                let skipped = &source[end..start];
                let blank = |line: &str| line.trim_ascii().is_empty() || line.trim_ascii().starts_with("//");
                prop_assert!(skipped.split(['\n', '\r']).all(blank), "skipped {skipped:?}");
                prop_assert_eq!(statement.line, 1 + source[..start].matches('\n').count());
                end = start + statement.text.len();
            }
        }
    }
}
