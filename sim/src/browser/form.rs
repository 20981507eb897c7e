//! Forms as a person meets them: fields with names, buttons, and what is sent when one is pressed.

use url::Url;

use super::html::{Tag, Token};
use super::{BrowserError, Page};

/// A form of a page.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where it is sent.
    pub action: Url,
    /// Whether it is sent by POST; by GET otherwise.
    pub post: bool,
    /// What can be filled in, ticked, chosen or pressed, in the order of the page.
    pub controls: Vec<Control>,
    attributes: Vec<(String, String)>,
    pub(super) page: Page,
}

/// One control of a form. A choice among several (radio buttons, a list) is one control for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its name; empty if it is not sent.
    pub name: String,
    /// `text`, `password`, `hidden`, `checkbox`, `radio`, `option`, `submit`, `textarea` and so on.
    pub kind: String,
    /// What is sent.
    pub value: String,
    /// For what a browser remembers it: `username`, `current-password`, `one-time-code` and so on.
    pub autocomplete: String,
    /// Whether it is sent without anybody touching it.
    on: bool,
}

impl Control {
    fn is_choice(&self) -> bool {
        matches!(self.kind.as_str(), "checkbox" | "radio" | "option")
    }

    fn is_button(&self) -> bool {
        self.kind == "submit"
    }
}

impl Form {
    /// The forms among the pieces of a page.
    pub(super) fn read(page: &Page, tokens: &[Token]) -> Vec<Self> {
        let mut forms: Vec<Self> = Vec::new();
        let mut inside = false;
        let mut select = String::new();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                Token::Open(tag) if tag.name == "form" => {
                    inside = true;
                    forms.push(Self::open(page, tag));
                }
                Token::Close(name) if name == "form" => inside = false,
                Token::Open(tag) if tag.name == "select" => select = attribute(tag, "name"),
                Token::Open(tag) if inside && !tag.has("disabled") => {
                    let text = match tokens.get(at + 1) {
                        Some(Token::Text(text)) => text.trim_start_matches('\n'),
                        _ => "",
                    };
                    let form = forms.last_mut().into_iter();
                    form.zip(control(tag, &select, text))
                        .for_each(|(form, control)| form.controls.push(control));
                }
                _ => (),
            }
        }
        forms.iter_mut().for_each(Self::choose_first_options);
        forms
    }

    fn open(page: &Page, tag: &Tag) -> Self {
        let action = tag.get("action").filter(|action| !action.is_empty());
        let action = action.and_then(|action| page.url.join(action).ok()).unwrap_or_else(|| page.url.clone());
        let post = tag.get("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        let attributes = tag.attributes.clone();
        Self { action, post, controls: Vec::new(), attributes, page: page.clone() }
    }

    /// A list in which nothing is selected shows its first entry.
    fn choose_first_options(&mut self) {
        for at in 0..self.controls.len() {
            let name = self.controls[at].name.clone();
            let options =
                || self.controls.iter().filter(|other| other.kind == "option" && other.name == name);
            if self.controls[at].kind == "option" && !options().any(|option| option.on) {
                self.controls[at].on = true;
            }
        }
    }

    /// An attribute of the form itself, by its name in lower case: `data-…` for a script that reads it.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The address of the page that it stands on.
    #[must_use]
    pub fn page_url(&self) -> &Url {
        &self.page.url
    }

    /// The first control of that name.
    #[must_use]
    pub fn control(&self, name: &str) -> Option<&Control> {
        self.controls.iter().find(|control| control.name == name)
    }

    /// The pairs that are sent with these values filled in.
    ///
    /// A value for a text replaces what stands there; for a choice or a button it says which one. An empty value
    /// unticks a checkbox. Without a button among the values the first one is pressed.
    ///
    /// # Errors
    /// [`BrowserError::NoSuchField`] if the form has no such control, or no such choice.
    pub fn fill(&self, values: &[(&str, &str)]) -> Result<Vec<(String, String)>, BrowserError> {
        let mut controls = self.controls.clone();
        let mut pressed = None;
        for (name, value) in values {
            let at = self.find(name, value)?;
            if controls[at].is_button() {
                pressed = Some(at);
            } else if controls[at].is_choice() {
                choose(&mut controls, at, value);
            } else {
                controls[at].value = (*value).to_owned();
            }
        }
        let pressed = pressed.or_else(|| controls.iter().position(Control::is_button));
        let sent = controls.into_iter().enumerate().filter(|(at, control)| {
            let sent = if control.is_button() { pressed == Some(*at) } else { control.on };
            sent && !control.name.is_empty()
        });
        Ok(sent.map(|(_, control)| (control.name, control.value)).collect())
    }

    fn find(&self, name: &str, value: &str) -> Result<usize, BrowserError> {
        let fits = |control: &Control| {
            let any_value = !control.is_choice() && !control.is_button();
            let unticks = control.kind == "checkbox" && value.is_empty();
            control.name == name && (any_value || unticks || control.value == value)
        };
        self.controls.iter().position(fits).ok_or_else(|| BrowserError::NoSuchField {
            name: name.to_owned(),
            value: if self.control(name).is_some() { value.to_owned() } else { String::new() },
            known: self.controls.iter().map(|control| control.name.clone()).collect(),
        })
    }
}

fn choose(controls: &mut [Control], at: usize, value: &str) {
    let Control { name, kind, .. } = controls[at].clone();
    if kind != "checkbox" {
        controls.iter_mut().filter(|other| other.name == name).for_each(|other| other.on = false);
    }
    controls[at].on = !value.is_empty() || kind != "checkbox";
}

fn attribute(tag: &Tag, name: &str) -> String {
    tag.get(name).unwrap_or_default().to_owned()
}

fn control(tag: &Tag, select: &str, text: &str) -> Option<Control> {
    let stated = tag.get("type").map(str::to_ascii_lowercase);
    let (name, kind) = match tag.name.as_str() {
        "input" => (attribute(tag, "name"), stated.unwrap_or_else(|| "text".into())),
        "textarea" => (attribute(tag, "name"), "textarea".into()),
        "button" => (attribute(tag, "name"), stated.unwrap_or_else(|| "submit".into())),
        "option" => (select.to_owned(), "option".into()),
        _ => return None,
    };
    let value = match (tag.get("value"), kind.as_str()) {
        (Some(value), _) => value.to_owned(),
        (None, "checkbox" | "radio") => "on".to_owned(),
        (None, "textarea") => text.to_owned(),
        (None, "option") => text.trim().to_owned(),
        (None, _) => String::new(),
    };
    let on = match kind.as_str() {
        "checkbox" | "radio" => tag.has("checked"),
        "option" => tag.has("selected"),
        "button" | "reset" | "image" | "file" => false,
        _ => true,
    };
    Some(Control { name, kind, value, autocomplete: attribute(tag, "autocomplete"), on })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(html: &str) -> Form {
        Page::for_tests("http://localhost:1/a/b?c", html).form().unwrap()
    }

    #[test]
    fn a_form_knows_where_it_goes() {
        let check = |tag: &str, expect: &str, post: bool| {
            let form = form(&format!("{tag}<input name=a></form>"));
            assert_eq!((form.action.as_str(), form.post), (expect, post), "{tag}");
        };
        check("<form>", "http://localhost:1/a/b?c", false);
        check("<form action=''>", "http://localhost:1/a/b?c", false);
        check("<form method=POST action=/x>", "http://localhost:1/x", true);
        check("<form method=post action='y?z=1&amp;w=2'>", "http://localhost:1/a/y?z=1&w=2", true);
        check("<form action='http://other.test/'>", "http://other.test/", false);
    }

    const PAGE: &str = r#"
        <input name="outside" value="1">
        <form method="post">
            <input type="hidden" name="csrf" value="a&amp;b">
            <input name="username" autocomplete="username">
            <input type="password" name="password" value="">
            <input type="checkbox" name="remember" checked>
            <input type="checkbox" name="news" value="yes">
            <input type="radio" name="method" value="totp" checked><input type="radio" name="method" value="key">
            <select name="locale"><option value="de">Deutsch</option><option>en</option></select>
            <textarea name="note">
hello</textarea>
            <input name="off" value="1" disabled>
            <input type="file" name="photo">
            <button type="button" name="show" value="1">Show</button>
            <button name="go" value="in">Sign in</button>
            <button name="go" value="cancel">Cancel</button>
            <input value="nameless">
        </form>
        <form><input name="second"></form>"#;

    #[test]
    fn what_is_sent_is_what_a_browser_would_send() {
        let check = |values: &[(&str, &str)], expect: &str| {
            let fields = form(PAGE).fill(values).unwrap();
            let sent: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(sent.join(" "), expect, "{values:?}");
        };
        let rest = "method=totp locale=de note=hello go=in";
        check(&[], &format!("csrf=a&b username= password= remember=on {rest}"));
        let filled = [("username", "ada"), ("password", "x y")];
        check(&filled, &format!("csrf=a&b username=ada password=x y remember=on {rest}"));
        check(&[("remember", "")], &format!("csrf=a&b username= password= {rest}"));
        check(&[("news", "yes")], &format!("csrf=a&b username= password= remember=on news=yes {rest}"));
        let chosen = [("method", "key"), ("locale", "en"), ("go", "cancel"), ("note", "")];
        check(&chosen, "csrf=a&b username= password= remember=on method=key locale=en note= go=cancel");
        check(&[("csrf", "forged")], &format!("csrf=forged username= password= remember=on {rest}"));
    }

    #[test]
    fn what_is_not_on_the_page_cannot_be_filled_in() {
        let check = |name: &str, value: &str| {
            let result = form(PAGE).fill(&[(name, value)]);
            assert!(matches!(result, Err(BrowserError::NoSuchField { .. })), "{name}={value}: {result:?}");
        };
        check("nothing", "1");
        check("outside", "1");
        check("second", "1");
        check("off", "1");
        check("method", "sms");
        check("locale", "fr");
        check("go", "away");
        check("news", "no");
    }

    #[test]
    fn all_forms_are_found() {
        let page = Page::for_tests("http://localhost:1/", PAGE);
        assert_eq!(page.forms().len(), 2);
        assert!(page.form_with("second").unwrap().control("csrf").is_none());
        assert!(page.form_with("third").is_err());
        assert!(Page::for_tests("http://localhost:1/", "<p>nothing").form().is_err());
    }
}
