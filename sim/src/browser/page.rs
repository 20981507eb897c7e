//! What the browser shows after it arrived somewhere.

use url::Url;

use super::BrowserError;
use super::form::Form;
use super::html::{Token, scan};
use super::policy::FormAction;

/// A page, and how the browser came there.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: String,
    /// The addresses that were asked on the way, this one last.
    pub trail: Vec<Url>,
    /// Where the browser was sent next but did not go, because it had been told to stop there.
    pub stopped_at: Option<Url>,
}

/// A link on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub url: Url,
    /// What a person reads on it.
    pub text: String,
}

impl Page {
    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn header_values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The words that a person reads, separated by single spaces.
    #[must_use]
    pub fn text(&self) -> String {
        words(&scan(&self.body))
    }

    /// All forms, in the order of the page.
    #[must_use]
    pub fn forms(&self) -> Vec<Form> {
        Form::read(self, &scan(&self.body))
    }

    /// The first form.
    ///
    /// # Errors
    /// [`BrowserError::NoForm`] with the page's words if there is none.
    pub fn form(&self) -> Result<Form, BrowserError> {
        self.forms().into_iter().next().ok_or_else(|| self.no_form("any field"))
    }

    /// The first form with a control of that name.
    ///
    /// # Errors
    /// [`BrowserError::NoForm`] with the page's words if there is none.
    pub fn form_with(&self, name: &str) -> Result<Form, BrowserError> {
        let form = self.forms().into_iter().find(|form| form.control(name).is_some());
        form.ok_or_else(|| self.no_form(name))
    }

    fn no_form(&self, name: &str) -> BrowserError {
        let (url, name) = (self.url.clone(), name.to_owned());
        BrowserError::NoForm { url: Box::new(url), name, status: self.status, text: self.text() }
    }

    /// All links, in the order of the page.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let tokens = scan(&self.body);
        let link = |(at, token): (usize, &Token)| {
            let Token::Open(tag) = token else { return None };
            let href = tag.get("href").filter(|_| tag.name == "a")?;
            let ends = |token: &Token| matches!(token, Token::Close(name) if name == "a");
            let inside = tokens[at + 1..].split(ends).next().unwrap_or_default();
            Some(Link { url: self.url.join(href).ok()?, text: words(inside) })
        };
        tokens.iter().enumerate().filter_map(link).collect()
    }

    /// What the page's policy says about forms.
    pub(super) fn form_action(&self) -> FormAction {
        FormAction::read(self.header_values("content-security-policy"))
    }

    /// Whether the page keeps to itself where a request comes from.
    pub(super) fn hides_referrer(&self) -> bool {
        let stated = self.header_values("referrer-policy").flat_map(|value| value.split(','));
        stated.last().is_some_and(|policy| policy.trim().eq_ignore_ascii_case("no-referrer"))
    }

    #[cfg(test)]
    pub(crate) fn for_tests(url: &str, body: &str) -> Self {
        let url: Url = url.parse().unwrap();
        Self {
            trail: vec![url.clone()],
            url,
            status: 200,
            headers: Vec::new(),
            body: body.into(),
            stopped_at: None,
        }
    }
}

fn words(tokens: &[Token]) -> String {
    let mut words = Vec::new();
    let mut unseen = false;
    for token in tokens {
        match token {
            Token::Open(tag) => unseen = matches!(tag.name.as_str(), "script" | "style"),
            Token::Close(_) => unseen = false,
            Token::Text(text) if !unseen => words.extend(text.split_whitespace()),
            Token::Text(_) => (),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_words_and_links() {
        let page = Page::for_tests(
            "http://localhost:1/a/",
            "<title>Hi</title><style>p {}</style><p>One\n <b>two</b> &amp; three<script>four</script>
             <a href='b?c=1&amp;d=2'><em>go</em> there</a> <a name=x>no link</a> <a href=/e>back</a>",
        );
        assert_eq!(page.text(), "Hi One two & three go there no link back");
        let links: Vec<_> = page.links().into_iter().map(|link| (link.url.to_string(), link.text)).collect();
        let expect = [("http://localhost:1/a/b?c=1&d=2", "go there"), ("http://localhost:1/e", "back")];
        assert_eq!(links, expect.map(|(url, text)| (url.to_owned(), text.to_owned())));
    }
}
