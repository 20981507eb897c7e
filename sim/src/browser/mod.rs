//! A browser without a screen: cookies, redirects, forms, and the rules that browsers put around them.
//!
//! It runs no scripts, loads no images and keeps no cache. It does what decides whether a sign-in works in a real
//! one: `__Host-` and Secure cookies over `http://localhost`, SameSite, `Origin` and `Sec-Fetch-Site` on requests,
//! `Referrer-Policy: no-referrer` turning `Origin` into `null`, and `form-action` over the redirects behind a form.

mod cookie;
mod form;
mod html;
mod page;
mod policy;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, ORIGIN, SET_COOKIE};
use url::{Url, form_urlencoded};

pub use cookie::Cookie;
use cookie::{Crossing, Jar};
pub use form::{Control, Form};
pub use page::{Link, Page};
use policy::{FormAction, Relation, tells_metadata};

use crate::Now;

/// As in Chromium.
const REDIRECTS: usize = 20;

/// More than any page of a sign-in, in bytes.
const BODY: usize = 4 * 1024 * 1024;

/// Why the browser did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// Not an address.
    #[error("{0:?} is no address: {1}")]
    Url(String, url::ParseError),
    /// The server could not be reached, or broke off.
    #[error("no answer from {url}")]
    Network {
        /// Where it went.
        url: Box<Url>,
        /// What happened.
        source: reqwest::Error,
    },
    /// More than 20 redirects.
    #[error("redirected too often: {}", trail.iter().map(Url::as_str).collect::<Vec<_>>().join(" -> "))]
    Redirects {
        /// The addresses on the way.
        trail: Vec<Url>,
    },
    /// A body of more than 4 MiB.
    #[error("the page at {0} is larger than a page should be")]
    TooLarge(Box<Url>),
    /// The page has no form with such a control.
    #[error("no form with {name} at {url} (status {status}): {text}")]
    NoForm {
        /// The page.
        url: Box<Url>,
        /// The control that was looked for.
        name: String,
        /// The page's status.
        status: u16,
        /// The page's words.
        text: String,
    },
    /// The form has no such control, or the control no such choice.
    #[error("the form has no {name} {value:?}, only {}", known.join(", "))]
    NoSuchField {
        /// The control that was to be filled in.
        name: String,
        /// The choice, if the control exists.
        value: String,
        /// The names of the controls that there are.
        known: Vec<String>,
    },
    /// The page has no link with those words.
    #[error("no link {text:?} at {url}")]
    NoLink {
        /// The page.
        url: Box<Url>,
        /// The words.
        text: String,
    },
    /// The content security policy of the page forbids its form to lead there.
    #[error("form-action {policy:?} at {page} forbids to go to {to}")]
    FormAction {
        /// The page with the form.
        page: Box<Url>,
        /// The sources that its policy allows.
        policy: String,
        /// The action, or a redirect behind it.
        to: Box<Url>,
    },
}

/// How far redirects are followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// As far as they lead, at most 20.
    #[default]
    Follow,
    /// Not at all: the page is the redirect itself, and `stopped_at` says where it points.
    Stay,
    /// Up to the first address that begins with this: an app that the tester plays.
    Until(String),
}

/// One person's browser. A copy has its cookies, as somebody has who took them from it.
#[derive(Clone)]
pub struct Browser {
    client: reqwest::Client,
    jar: Jar,
    now: Now,
    /// How far redirects are followed; may be changed at any time.
    pub redirects: Redirects,
}

/// What is asked next.
struct Step {
    method: Method,
    url: Url,
    body: Option<String>,
}

/// Who caused the request.
enum Initiator {
    /// A person who typed the address.
    Person,
    /// A page at that address, with what its policies say.
    Page { url: Url, form_action: FormAction, hides_referrer: bool },
}

impl Browser {
    /// A browser without cookies. The clock decides when they expire.
    ///
    /// # Panics
    /// If the HTTP client cannot be set up, which without TLS and proxies has no reason to happen.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self { client: crate::client(), jar: Jar::default(), now, redirects: Redirects::default() }
    }

    /// Goes to an address as if a person had typed it.
    ///
    /// # Errors
    /// See [`BrowserError`]. An error status is not an error: it is a page.
    pub async fn get(&mut self, url: &str) -> Result<Page, BrowserError> {
        let step = Step { method: Method::GET, url: parse(url)?, body: None };
        self.navigate(step, Initiator::Person).await
    }

    /// Follows the first link on the page that reads like this.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn click(&mut self, page: &Page, text: &str) -> Result<Page, BrowserError> {
        let link = page
            .links()
            .into_iter()
            .find(|link| link.text == text)
            .ok_or_else(|| BrowserError::NoLink { url: Box::new(page.url.clone()), text: text.to_owned() })?;
        let initiator = Initiator::Page {
            url: page.url.clone(),
            form_action: FormAction::default(),
            hides_referrer: page.hides_referrer(),
        };
        self.navigate(Step { method: Method::GET, url: link.url, body: None }, initiator).await
    }

    /// Fills the form in and sends it: the values replace what stands in the controls of those names.
    ///
    /// # Errors
    /// See [`BrowserError`]; nothing is sent if the form has no such control.
    pub async fn submit(&mut self, form: &Form, values: &[(&str, &str)]) -> Result<Page, BrowserError> {
        let encoded = encode(&form.fill(values)?);
        let mut step = Step { method: Method::GET, url: form.action.clone(), body: None };
        if form.post {
            step.method = Method::POST;
            step.body = Some(encoded);
        } else {
            step.url.set_query(Some(&encoded));
        }
        let initiator = Initiator::Page {
            url: form.page.url.clone(),
            form_action: form.page.form_action(),
            hides_referrer: form.page.hides_referrer(),
        };
        self.navigate(step, initiator).await
    }

    /// Posts fields as a form of a page at that very address would.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn post_form(&mut self, url: &str, fields: &[(&str, &str)]) -> Result<Page, BrowserError> {
        self.post_form_from(url, url, fields).await
    }

    /// Posts fields as a form of a page at `from` would: a forgery, if `from` is somebody else's.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn post_form_from(
        &mut self,
        from: &str,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<Page, BrowserError> {
        let form_action = FormAction::default();
        let initiator = Initiator::Page { url: parse(from)?, form_action, hides_referrer: false };
        let step = Step { method: Method::POST, url: parse(url)?, body: Some(encode(fields)) };
        self.navigate(step, initiator).await
    }

    /// All cookies that have not been replaced, in the order in which they came.
    pub fn cookies(&self) -> impl Iterator<Item = &Cookie> {
        self.jar.iter()
    }

    /// The cookie of that name, wherever it is sent.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&Cookie> {
        self.jar.iter().find(|cookie| cookie.name == name)
    }

    /// Forgets the cookies of that name.
    pub fn forget_cookie(&mut self, name: &str) {
        self.jar.remove(name);
    }

    /// Forgets all cookies.
    pub fn forget_cookies(&mut self) {
        self.jar.clear();
    }

    async fn navigate(&mut self, mut step: Step, initiator: Initiator) -> Result<Page, BrowserError> {
        let mut trail: Vec<Url> = Vec::new();
        while trail.len() <= REDIRECTS {
            initiator.allows(&step.url)?;
            let (mut page, location) = self.ask(&step, &initiator, &trail).await?;
            trail.push(step.url.clone());
            page.trail.clone_from(&trail);
            let Some(to) = location else { return Ok(page) };
            if self.stops_before(&to) {
                page.stopped_at = Some(to);
                return Ok(page);
            }
            step = step.redirected(page.status, to);
        }
        Err(BrowserError::Redirects { trail })
    }

    fn stops_before(&self, to: &Url) -> bool {
        match &self.redirects {
            Redirects::Follow => false,
            Redirects::Stay => true,
            Redirects::Until(prefix) => to.as_str().starts_with(prefix),
        }
    }

    /// One request; gives the page and where it redirects to, if it does.
    async fn ask(
        &mut self,
        step: &Step,
        initiator: &Initiator,
        trail: &[Url],
    ) -> Result<(Page, Option<Url>), BrowserError> {
        let network = |source| BrowserError::Network { url: Box::new(step.url.clone()), source };
        let request = self.request(step, initiator, trail).build().map_err(network)?;
        let response = self.client.execute(request).await.map_err(network)?;
        for cookie in response.headers().get_all(SET_COOKIE) {
            self.jar.take(&String::from_utf8_lossy(cookie.as_bytes()), &step.url, (self.now)());
        }
        let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
        let location = location.and_then(|location| step.url.join(location.to_str().ok()?).ok());
        Ok((read(response, &step.url).await?, location))
    }

    fn request(&mut self, step: &Step, initiator: &Initiator, trail: &[Url]) -> reqwest::RequestBuilder {
        let site = initiator.site(&step.url, trail);
        let crossing = match site {
            Some(Relation::CrossSite) if step.method == Method::GET => Crossing::Reading,
            Some(Relation::CrossSite) => Crossing::Writing,
            _ => Crossing::No,
        };
        let mut request = self.client.request(step.method.clone(), step.url.clone());
        request = request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        if let Some(cookies) = self.jar.header(&step.url, crossing, (self.now)()) {
            request = request.header(COOKIE, cookies);
        }
        if tells_metadata(&step.url) {
            request = request
                .header("sec-fetch-site", site.map_or("none", Relation::name))
                .header("sec-fetch-mode", "navigate")
                .header("sec-fetch-dest", "document");
        }
        if let Some(body) = &step.body {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(ORIGIN, initiator.origin(&step.url, trail))
                .body(body.clone());
        }
        request
    }
}

impl Step {
    /// RFC 9110, section 15.4: 307 and 308 repeat the request, the others turn a POST into a GET.
    fn redirected(self, status: u16, url: Url) -> Self {
        match status {
            307 | 308 => Self { url, ..self },
            _ => Self { method: Method::GET, url, body: None },
        }
    }
}

impl Initiator {
    /// How far away the page is from all that was asked on the way; nothing if there is no page.
    fn site(&self, to: &Url, trail: &[Url]) -> Option<Relation> {
        let Self::Page { url, .. } = self else { return None };
        trail.iter().chain([to]).map(|to| Relation::between(url, to)).max()
    }

    /// What `Origin` says on a POST. A redirect across origins, or a page that hides where it is, makes it `null`
    /// (WHATWG Fetch, "append a request `Origin` header").
    fn origin(&self, to: &Url, trail: &[Url]) -> HeaderValue {
        let crossed = trail.iter().chain([to]).collect::<Vec<_>>();
        let crossed = crossed.windows(2).any(|pair| pair[0].origin() != pair[1].origin());
        match self {
            Self::Page { url, hides_referrer: false, .. } if !crossed => {
                HeaderValue::from_str(&url.origin().ascii_serialization()).ok()
            }
            _ => None,
        }
        .unwrap_or(HeaderValue::from_static("null"))
    }

    fn allows(&self, to: &Url) -> Result<(), BrowserError> {
        let Self::Page { url, form_action, .. } = self else { return Ok(()) };
        match form_action.forbids(url, to) {
            Some(policy) => Err(BrowserError::FormAction {
                page: Box::new(url.clone()),
                policy: policy.to_owned(),
                to: Box::new(to.clone()),
            }),
            None => Ok(()),
        }
    }
}

async fn read(mut response: reqwest::Response, url: &Url) -> Result<Page, BrowserError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect();
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let network = |source| BrowserError::Network { url: Box::new(url.clone()), source };
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY {
            return Err(BrowserError::TooLarge(Box::new(url.clone())));
        }
    }
    Ok(Page { url: url.clone(), status, headers, body: text(&body), trail: Vec::new(), stopped_at: None })
}

fn parse(url: &str) -> Result<Url, BrowserError> {
    Url::parse(url).map_err(|error| BrowserError::Url(url.to_owned(), error))
}

fn encode(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[cfg(test)]
mod tests;
