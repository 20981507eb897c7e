//! What an authorization request asks for, apart from who asks and where the answer goes. Pure.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use web::Params;

/// What can be asked for: the sign-in itself, and claims at userinfo (OpenID Connect Core, section 5.4).
pub(crate) const SCOPES: [&str; 5] = ["openid", "profile", "email", "address", "phone"];

/// Parameters that may come once (RFC 6749, section 3.1). Others are ignored.
const ONCE: [&str; 18] = [
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "display",
    "ui_locales",
    "claims_locales",
    "login_hint",
    "id_token_hint",
    "acr_values",
    "request",
    "request_uri",
    "registration",
];

/// The longest value that we keep for the application.
const LONGEST_NONCE: usize = 512;
/// The longest user name that a hint fills in.
const LONGEST_HINT: usize = 256;

/// Whether a person may be asked (OpenID Connect Core, section 3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// If need be.
    #[default]
    Maybe,
    /// Never: answer at once.
    None,
    /// Always, also who is signed in. Choosing an account means signing in, since a browser has one session.
    Login,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wishes {
    /// Of [`SCOPES`], space-separated, in their order.
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    /// BASE64URL(SHA-256(verifier)): RFC 7636, section 4.2. Whether the client may do without, it is asked.
    pub(crate) code_challenge: Option<String>,
    pub(crate) prompt: Prompt,
    /// Whether a person who can be asked for consent must be asked anew.
    pub(crate) consent: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) acr_values: Vec<String>,
    pub(crate) login_hint: Option<String>,
    pub(crate) ui_locales: Vec<String>,
    /// `sub` of the `id_token_hint`: only this user will do. An empty one is nobody.
    pub(crate) only_user: Option<String>,
}

/// An error that the application is told (RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
}

impl Refusal {
    pub(super) const LOGIN_REQUIRED: Self =
        Self { error: "login_required", description: "the user must sign in, and no page may be shown" };
    pub(crate) const OTHER_USER: Self =
        Self { error: "login_required", description: "another user than the id_token_hint's has signed in" };
    pub(crate) const POLICY: Self =
        Self { error: "interaction_required", description: "policy asks for more than is proven" };
    pub(super) const DENIED: Self =
        Self { error: "access_denied", description: "policy does not allow this sign-in" };
    pub(crate) const CONSENT_REQUIRED: Self =
        Self { error: "consent_required", description: "the user must be asked, and no page may be shown" };
    pub(crate) const NO_CONSENT: Self =
        Self { error: "access_denied", description: "the user did not consent" };
    pub(super) const NO_PKCE: Self = Self::invalid("code_challenge is missing; PKCE is required");

    const fn invalid(description: &'static str) -> Self {
        Self { error: "invalid_request", description }
    }
}

impl Wishes {
    /// Whether only a sign-in that begins after the request will do.
    pub(crate) fn only_new(&self) -> bool {
        self.prompt == Prompt::Login || self.max_age.is_some_and(|most| most.is_zero())
    }

    /// Reads a request. What is not known is ignored; what is not supported is refused, never ignored.
    pub(crate) fn read(params: &Params) -> Result<Self, Refusal> {
        if params.repeated(&ONCE).is_some() {
            return Err(Refusal::invalid("a parameter was sent more than once"));
        }
        // INVARIANT: none of the names in ONCE is repeated.
        let get = |name| params.one(name).ok().flatten();
        refuse_unsupported(get)?;
        let nonce = get("nonce");
        if nonce.is_some_and(|nonce| nonce.len() > LONGEST_NONCE) {
            return Err(Refusal::invalid("nonce is longer than 512 bytes"));
        }
        Ok(Self {
            scope: scope(get("scope"))?,
            nonce: nonce.map(str::to_owned),
            code_challenge: code_challenge(get("code_challenge"), get("code_challenge_method"))?,
            prompt: prompt(get("prompt").unwrap_or_default())?,
            consent: get("prompt").unwrap_or_default().split(' ').any(|word| word == "consent"),
            max_age: get("max_age").map(max_age).transpose()?,
            acr_values: words(get("acr_values")),
            login_hint: get("login_hint").filter(|hint| hint.len() <= LONGEST_HINT).map(str::to_owned),
            ui_locales: words(get("ui_locales")),
            only_user: get("id_token_hint").map(|hint| subject_of(hint).unwrap_or_default()),
        })
    }
}

fn refuse_unsupported<'a>(get: impl Fn(&'static str) -> Option<&'a str>) -> Result<(), Refusal> {
    let refuse = |error, description| Err(Refusal { error, description });
    if get("request").is_some() {
        return refuse("request_not_supported", "send the parameters themselves");
    }
    if get("request_uri").is_some() {
        return refuse("request_uri_not_supported", "send the parameters themselves");
    }
    if get("registration").is_some() {
        return refuse("registration_not_supported", "clients are registered by an administrator");
    }
    match get("response_type") {
        Some("code") => {}
        None => return Err(Refusal::invalid("response_type is missing; it must be code")),
        Some(_) => return refuse("unsupported_response_type", "response_type must be code"),
    }
    match get("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(Refusal::invalid("response_mode must be query")),
    }
}

fn words(list: Option<&str>) -> Vec<String> {
    list.unwrap_or_default().split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn scope(asked: Option<&str>) -> Result<String, Refusal> {
    let asked = words(asked);
    let known: Vec<&str> =
        SCOPES.into_iter().filter(|scope| asked.iter().any(|word| word == scope)).collect();
    if known.first() != Some(&"openid") {
        return Err(Refusal { error: "invalid_scope", description: "scope must contain openid" });
    }
    Ok(known.join(" "))
}

/// RFC 7636, section 4.3; only S256, since `plain` gives the verifier to whoever sees the request (RFC 9700,
/// section 2.1.1).
fn code_challenge(challenge: Option<&str>, method: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(challenge) = challenge else {
        return match method {
            None => Ok(None),
            Some(_) => Err(Refusal::invalid("code_challenge_method came without a code_challenge")),
        };
    };
    if method != Some("S256") {
        return Err(Refusal::invalid("code_challenge_method must be S256"));
    }
    let digest = URL_SAFE_NO_PAD.decode(challenge).ok().filter(|digest| digest.len() == 32);
    digest.ok_or(Refusal::invalid("code_challenge must be a SHA-256 in base64url"))?;
    Ok(Some(challenge.to_owned()))
}

fn prompt(words: &str) -> Result<Prompt, Refusal> {
    let mut prompt = Prompt::Maybe;
    let mut count = 0;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        count += 1;
        prompt = match word {
            "none" => Prompt::None,
            "login" | "select_account" => Prompt::Login,
            // Asks for no new sign-in: see [`Wishes::consent`]. Of the organisation's own clients nobody is asked,
            // since administrators consented for all when they registered them.
            "consent" => prompt,
            _ => return Err(Refusal::invalid("prompt must be of none, login, select_account, consent")),
        };
        if count > 1 && words.split(' ').any(|word| word == "none") {
            return Err(Refusal::invalid("prompt=none stands alone"));
        }
    }
    Ok(prompt)
}

fn max_age(seconds: &str) -> Result<Duration, Refusal> {
    let digits = seconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = seconds.parse::<u32>().ok().filter(|_| digits);
    let seconds = seconds.ok_or(Refusal::invalid("max_age must be a number of seconds"))?;
    Ok(Duration::from_secs(seconds.into()))
}

/// The `sub` of an ID token that was handed in as a hint. Its signature is not looked at, and need not be: a
/// hint only narrows who will do, so a forged one can be answered with an error, or as if it were not there.
fn subject_of(hint: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let payload = URL_SAFE_NO_PAD.decode(hint.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.sub)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn read(query: &str) -> Result<Wishes, Refusal> {
        Wishes::read(&Params::parse(query.as_bytes()).unwrap())
    }

    /// A minimal request with more parameters behind it.
    fn with(more: &str) -> Result<Wishes, Refusal> {
        read(&format!(
            "response_type=code&scope=openid&code_challenge={CHALLENGE}&code_challenge_method=S256&{more}"
        ))
    }

    fn minimal() -> Wishes {
        Wishes { scope: "openid".into(), code_challenge: Some(CHALLENGE.into()), ..Wishes::default() }
    }

    #[test]
    fn a_minimal_request_is_enough_and_what_is_unknown_is_ignored() {
        assert_eq!(with(""), Ok(minimal()));
        assert_eq!(
            with("foo=bar&foo=baz&display=popup&claims_locales=se&resource=x&nonce=&state=s"),
            Ok(minimal())
        );
    }

    #[test]
    fn wishes_are_read() {
        let wishes =
            with("nonce=n&prompt=login&max_age=10000&acr_values=phr+aal2&login_hint=ada&ui_locales=de-AT+en");
        let expect = Wishes {
            nonce: Some("n".into()),
            prompt: Prompt::Login,
            max_age: Some(Duration::from_secs(10_000)),
            acr_values: vec!["phr".into(), "aal2".into()],
            login_hint: Some("ada".into()),
            ui_locales: vec!["de-AT".into(), "en".into()],
            ..minimal()
        };
        assert_eq!(wishes, Ok(expect));
        let long = format!("login_hint={}", "x".repeat(257));
        assert_eq!(with(&long), Ok(minimal()), "a hint that is no user name helps nobody");
    }

    #[test]
    fn what_is_wrong_or_not_supported_is_refused() {
        let pkce = format!("code_challenge={CHALLENGE}&code_challenge_method=S256");
        for (query, expect) in [
            (String::new(), "invalid_request"),
            (format!("scope=openid&{pkce}"), "invalid_request"),
            (format!("response_type=&scope=openid&{pkce}"), "invalid_request"),
            (format!("response_type=token&scope=openid&{pkce}"), "unsupported_response_type"),
            (format!("response_type=code+id_token&scope=openid&{pkce}"), "unsupported_response_type"),
            (format!("response_type=code&{pkce}"), "invalid_scope"),
            (format!("response_type=code&scope=profile+OPENID&{pkce}"), "invalid_scope"),
            (format!("response_type=code&scope=openid&code_challenge={CHALLENGE}"), "invalid_request"),
            ("response_type=code&scope=openid&code_challenge_method=S256".into(), "invalid_request"),
            (
                format!(
                    "response_type=code&scope=openid&code_challenge={CHALLENGE}&code_challenge_method=plain"
                ),
                "invalid_request",
            ),
            (
                format!(
                    "response_type=code&scope=openid&code_challenge={CHALLENGE}&code_challenge_method=s256"
                ),
                "invalid_request",
            ),
        ] {
            assert_eq!(read(&query).unwrap_err().error, expect, "{query}");
        }
        for (more, expect) in [
            ("request=eyJhbGciOiJub25lIn0.e30.", "request_not_supported"),
            ("request_uri=https://evil.example/", "request_uri_not_supported"),
            ("registration=%7B%7D", "registration_not_supported"),
            ("response_mode=fragment", "invalid_request"),
            ("response_mode=form_post", "invalid_request"),
            ("scope=openid", "invalid_request"),
            ("response_type=code", "invalid_request"),
            ("state=1&state=1", "invalid_request"),
            ("nonce=1&nonce=", "invalid_request"),
            ("prompt=none&prompt=none", "invalid_request"),
            ("prompt=none+login", "invalid_request"),
            ("prompt=login+none", "invalid_request"),
            ("prompt=none+none", "invalid_request"),
            ("prompt=create", "invalid_request"),
            ("max_age=-1", "invalid_request"),
            ("max_age=%2B1", "invalid_request"),
            ("max_age=1.5", "invalid_request"),
            ("max_age=99999999999", "invalid_request"),
        ] {
            assert_eq!(with(more).unwrap_err().error, expect, "{more}");
        }
        assert_eq!(with(&format!("nonce={}", "n".repeat(513))).unwrap_err().error, "invalid_request");
    }

    #[test]
    fn a_request_without_a_challenge_says_so() {
        let plain = read("response_type=code&scope=openid").map(|wishes| wishes.code_challenge);
        assert_eq!(plain, Ok(None));
    }

    #[test]
    fn challenges_are_digests() {
        for bad in ["", "a", &CHALLENGE[1..], &format!("{CHALLENGE}A"), &CHALLENGE.replace('-', "+")] {
            let query =
                format!("response_type=code&scope=openid&code_challenge={bad}&code_challenge_method=S256");
            assert_eq!(read(&query).unwrap_err().error, "invalid_request", "{bad}");
        }
    }

    #[test]
    fn scopes_have_one_order_and_prompts_combine() {
        let scope = |asked: &str| {
            read(&format!(
                "response_type=code&scope={asked}&code_challenge={CHALLENGE}&code_challenge_method=S256"
            ))
            .map(|wishes| wishes.scope)
        };
        assert_eq!(scope("email+address+openid+phone"), Ok("openid email address phone".into()));
        assert_eq!(scope("++profile++openid+openid"), Ok("openid profile".into()));
        for (words, expect) in [
            ("", Prompt::Maybe),
            ("consent", Prompt::Maybe),
            ("login", Prompt::Login),
            ("consent+login", Prompt::Login),
            ("login+consent", Prompt::Login),
            ("select_account+consent", Prompt::Login),
            ("none", Prompt::None),
        ] {
            let wishes = with(&format!("prompt={words}")).unwrap();
            assert_eq!((wishes.prompt, wishes.consent), (expect, words.contains("consent")), "{words}");
        }
    }

    #[test]
    fn an_id_token_hint_names_the_only_user_who_will_do() {
        let token = |payload: &str| format!("eyJhbGciOiJub25lIn0.{}.x", URL_SAFE_NO_PAD.encode(payload));
        for (hint, expect) in [
            (token(r#"{"sub":"u","aud":"app"}"#), Some("u")),
            (token(r#"{"aud":"app"}"#), Some("")),
            ("nonsense".into(), Some("")),
            ("a.b.c".into(), Some("")),
            (String::new(), None),
        ] {
            let only = with(&format!("id_token_hint={hint}")).unwrap().only_user;
            assert_eq!(only.as_deref(), expect, "{hint}");
        }
    }

    proptest! {
        #[test]
        fn any_request_is_read_or_refused(query in "[a-z_=&%+.0-9]{0,300}") {
            if let Ok(params) = Params::parse(query.as_bytes()) {
                drop(Wishes::read(&params));
            }
        }
    }
}
