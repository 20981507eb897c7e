//! Parameters of a query or a form, as OAuth reads them (RFC 6749, section 3.1 and appendix B): one without
//! a value was not sent, one that is sent twice is an error, one that is unknown is ignored.

use std::fmt;

/// At most this many pairs are read.
const MOST: usize = 64;

/// Names and values, decoded, in the order they came. Values may be secrets: they are never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

/// Why a query or form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadParams {
    /// More pairs than anybody needs.
    #[error("there are more than {MOST} parameters")]
    TooMany,
    /// A name or value is not UTF-8, or holds a NUL, which no database takes.
    #[error("a parameter is not text in UTF-8")]
    NotText,
}

/// A parameter that may come once came more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {0} was sent more than once")]
pub struct Repeated(pub &'static str);

impl Params {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// Too many, or not text.
    pub fn parse(encoded: &[u8]) -> Result<Self, BadParams> {
        let mut pairs = Vec::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if pairs.len() == MOST {
                return Err(BadParams::TooMany);
            }
            // The decoder puts U+FFFD where bytes are not UTF-8.
            if [&name, &value].iter().any(|text| text.contains(['\0', char::REPLACEMENT_CHARACTER])) {
                return Err(BadParams::NotText);
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter that may come once; an empty one was not sent.
    ///
    /// # Errors
    /// It came more than once, whatever its values.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated(name));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// The first of these names that came more than once.
    #[must_use]
    pub fn repeated(&self, names: &[&'static str]) -> Option<Repeated> {
        names.iter().find_map(|name| self.one(name).err())
    }

    /// Whether it came at all, be it empty.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    /// Back in encoded form.
    #[must_use]
    pub fn encode(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_parameter_comes_once_or_is_an_error() {
        let params = Params::parse(b"a=1&b=&c=x+y%2Bz&d=1&d=1&e=&e=&%66=7").unwrap();
        for (name, expect) in [
            ("a", Ok(Some("1"))),
            ("b", Ok(None)),
            ("c", Ok(Some("x y+z"))),
            ("d", Err(Repeated("d"))),
            ("e", Err(Repeated("e"))),
            ("f", Ok(Some("7"))),
            ("g", Ok(None)),
            ("A", Ok(None)),
        ] {
            assert_eq!(params.one(name), expect, "{name}");
        }
        assert_eq!(params.repeated(&["a", "e", "d"]), Some(Repeated("e")));
        assert_eq!(params.repeated(&["a", "b"]), None);
        assert!(params.has("b") && !params.has("g"));
    }

    #[test]
    fn values_do_not_print() {
        let params = Params::parse(b"password=three+blue+ducks").unwrap();
        assert_eq!(format!("{params:?}"), r#"["password"]"#);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bad in [&b"a=%00"[..], b"%00=a", b"a=%ff", b"\xff=1", b"a=%EF%BF%BD"] {
            assert_eq!(Params::parse(bad), Err(BadParams::NotText), "{bad:?}");
        }
        assert_eq!(Params::parse("a=1&".repeat(64).as_bytes()).unwrap().0.len(), 64);
        assert_eq!(Params::parse("a=1&".repeat(65).as_bytes()), Err(BadParams::TooMany));
    }

    proptest! {
        #[test]
        fn encoding_reads_back(pairs in prop::collection::vec(("[^\0\u{fffd}]{1,9}", "[^\0\u{fffd}]{0,9}"), 0..9)) {
            let params = Params(pairs);
            prop_assert_eq!(Params::parse(params.encode().as_bytes()), Ok(params));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Params::parse(&bytes));
        }
    }
}
