//! Pages: a frame with a language and a content security policy around a template.
//!
//! Styles stand in the page and carry a nonce that is new in each answer, and so does the one script that we have, on
//! the pages that ask for a passkey: whatever somebody manages to smuggle into a page neither runs nor loads nor posts
//! anything anywhere.
//!
//! To add a page: a template in `templates/` that extends `layout.html`, a struct with `#[derive(Template)]`
//! in its room, texts in `templates/messages/`, a sample of it in the room's test of all pages.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::RequestId;
use url::{Origin, Url};

use crate::Locale;

/// What every page stands in.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its language.
    pub locale: Locale,
    /// What its `<style>` and `<script>` carry.
    pub nonce: String,
    /// Whether it has a script.
    pub scripted: bool,
    leads_to: Option<String>,
}

impl Frame {
    /// A frame for the one answer to a request: the nonce is made from its id, which nobody can foresee.
    #[must_use]
    pub fn new(request: &RequestId, locale: Locale) -> Self {
        let digest = kernel::sha256(format!("cardea.nonce\n{request}").as_bytes());
        Self { locale, nonce: URL_SAFE_NO_PAD.encode(&digest[..16]), scripted: false, leads_to: None }
    }

    /// The same for a page whose form may end in a redirect to this address: browsers hold `form-action`
    /// against redirects as well. The address must be validated before.
    #[must_use]
    pub fn leading_to(self, redirect_uri: &str) -> Self {
        Self { leads_to: source(redirect_uri), ..self }
    }

    /// The same for a page that may have our script.
    #[must_use]
    pub fn scripted(self, scripted: bool) -> Self {
        Self { scripted, ..self }
    }

    /// The `Content-Security-Policy` (W3C CSP, level 3).
    #[must_use]
    pub fn policy(&self) -> String {
        let leads_to = self.leads_to.iter().map(|source| format!(" {source}")).collect::<String>();
        let nonce = &self.nonce;
        let scripts = if self.scripted { format!("script-src 'nonce-{nonce}'; ") } else { String::new() };
        format!(
            "default-src 'none'; {scripts}style-src 'nonce-{nonce}'; img-src 'self' data:; \
             form-action 'self'{leads_to}; frame-ancestors 'none'; base-uri 'none'"
        )
    }

    /// The page. A template that fails to render is a bare 500; a test renders them all.
    #[must_use]
    pub fn respond(&self, status: StatusCode, page: &impl askama::Template) -> HttpResponse {
        let Ok(html) = page.render() else {
            tracing::error!("a page failed to render");
            return HttpResponse::InternalServerError().finish();
        };
        HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, self.policy()))
            .insert_header((header::CONTENT_LANGUAGE, self.locale.tag()))
            // With `no-referrer` browsers send `Origin: null` from our own forms, and we could not tell them
            // from others.
            .insert_header((header::REFERRER_POLICY, "same-origin"))
            .body(html)
    }
}

/// A redirect address as a CSP source: its origin, or its scheme for an app's own. `None` when that could be
/// read as anything else: hosts may contain `;`, which would begin another directive.
fn source(redirect_uri: &str) -> Option<String> {
    let url = Url::parse(redirect_uri).ok()?;
    let source = match url.origin() {
        origin @ Origin::Tuple(..) => origin.ascii_serialization(),
        Origin::Opaque(_) => format!("{}:", url.scheme()),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._:/[]".contains(&byte);
    source.bytes().all(is_plain).then_some(source)
}

#[cfg(test)]
mod tests {
    use kernel::Ctx;

    use super::*;

    fn frame(ctx: &Ctx) -> Frame {
        Frame::new(&RequestId::new(ctx), Locale::En)
    }

    #[test]
    fn forms_may_lead_to_the_validated_origin_and_nowhere_else() {
        for (redirect_uri, expect) in [
            ("https://app.example.org/callback?x=1", "form-action 'self' https://app.example.org;"),
            ("https://app.example.org:8443/callback", "form-action 'self' https://app.example.org:8443;"),
            ("http://127.0.0.1:9000/callback", "form-action 'self' http://127.0.0.1:9000;"),
            ("http://[::1]:9000/callback", "form-action 'self' http://[::1]:9000;"),
            ("org.example.app:/callback", "form-action 'self' org.example.app:;"),
            ("https://a;script-src *.example/", "form-action 'self';"),
            ("https://a;b.example/", "form-action 'self';"),
            ("nonsense", "form-action 'self';"),
        ] {
            let frame = frame(&Ctx::for_tests(1)).leading_to(redirect_uri);
            assert!(frame.policy().contains(expect), "{redirect_uri}: {}", frame.policy());
        }
    }

    #[test]
    fn scripts_run_only_on_pages_that_have_one_and_only_with_the_nonce() {
        let frame = frame(&Ctx::for_tests(1));
        assert!(!frame.policy().contains("script-src"), "{}", frame.policy());
        let frame = frame.scripted(true);
        let expect = format!("default-src 'none'; script-src 'nonce-{}'; style-src", frame.nonce);
        assert!(frame.policy().starts_with(&expect), "{}", frame.policy());
    }

    #[test]
    fn each_answer_has_its_own_nonce() {
        let ctx = Ctx::for_tests(1);
        let [first, second] = [frame(&ctx), frame(&ctx)];
        assert_ne!(first.nonce, second.nonce);
        assert!(first.policy().contains(&format!("'nonce-{}'", first.nonce)));
    }
}
