//! Cookies, and forms that belong to one browser.
//!
//! Every browser that is shown a form gets a random `__Host-` cookie: no subdomain and no plain-http page can
//! set or read one. What a form carries is derived from it, so a form made for one browser is worth nothing
//! in another, and several tabs work at once. It identifies nobody: signing in has a cookie of its own.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration as CookieTime;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Ctx, constant_time_eq, sha256};

use crate::{Issuer, Params};

const BROWSER: &str = "__Host-cardea-browser";
/// The name of the form field that carries [`Browser::form_token`].
pub const FORM_TOKEN: &str = "form_token";

/// A cookie as all of ours are: this host only, TLS only (or localhost), out of reach for scripts, not sent
/// along with cross-site posts. `name` begins with `__Host-`. Gone when the browser closes.
#[must_use]
pub fn cookie(name: &'static str, value: String) -> Cookie<'static> {
    debug_assert!(name.starts_with("__Host-"), "{name}");
    Cookie::build(name, value).path("/").secure(true).http_only(true).same_site(SameSite::Lax).finish()
}

/// Tells the browser to forget a cookie of ours.
#[must_use]
pub fn forget(name: &'static str) -> Cookie<'static> {
    let mut gone = cookie(name, String::new());
    gone.set_max_age(CookieTime::ZERO);
    gone
}

/// One browser, known by its random cookie.
#[derive(Clone)]
pub struct Browser {
    value: String,
    fresh: bool,
}

impl Browser {
    /// The browser of a request, or a new one whose cookie must be set: [`Browser::cookie`].
    #[must_use]
    pub fn of(ctx: &Ctx, request: &HttpRequest) -> Self {
        let known =
            request.cookie(BROWSER).map(|cookie| cookie.value().to_owned()).filter(|value| is_ours(value));
        match known {
            Some(value) => Self { value, fresh: false },
            None => Self { value: URL_SAFE_NO_PAD.encode(ctx.random::<32>()), fresh: true },
        }
    }

    /// The cookie to set, unless the browser has it already.
    #[must_use]
    pub fn cookie(&self) -> Option<Cookie<'static>> {
        self.fresh.then(|| cookie(BROWSER, self.value.clone()))
    }

    /// What binds something of ours to this browser; `purpose` keeps bindings apart. Safe to show and store.
    #[must_use]
    pub fn binding(&self, purpose: &str) -> String {
        let digest = sha256(format!("cardea.browser\n{purpose}\n{}", self.value).as_bytes());
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// Whether something was bound to this browser, in constant time.
    #[must_use]
    pub fn is_bound(&self, purpose: &str, binding: &str) -> bool {
        constant_time_eq(self.binding(purpose).as_bytes(), binding.as_bytes())
    }

    /// What a form of ours carries in [`FORM_TOKEN`].
    #[must_use]
    pub fn form_token(&self) -> String {
        self.binding("form")
    }

    /// Whether a posted form was made by us for this browser, and sent from a page of ours.
    #[must_use]
    pub fn sent_form(&self, request: &HttpRequest, issuer: &Issuer, form: &Params) -> bool {
        let token = form.one(FORM_TOKEN).ok().flatten().unwrap_or_default();
        !self.fresh && self.is_bound("form", token) && comes_from_our_page(request, issuer)
    }
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Browser")
    }
}

/// The form of the cookies that we set; nothing else is put into a digest.
fn is_ours(value: &str) -> bool {
    value.len() == 43
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether the browser says that a page of ours sent this. One that says nothing is old, or no browser: the
/// form token must do.
fn comes_from_our_page(request: &HttpRequest, issuer: &Issuer) -> bool {
    let text =
        |name| request.headers().get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or(""));
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == issuer.as_str(),
        (None, None) => true,
    }
}
