//! How the pages of simulators look: one frame, no scripts, nothing loaded from elsewhere. They are other people's
//! products, so they look like each other and not like the provider.

use crate::http::Response;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#14213d;--paper:#f4f6fa;--card:#fff;--line:#d9dfea;--calm:#1b7f5c;--alarm:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf4;--paper:#0e1420;--card:#182133;--line:#2b3750;--calm:#5fd3a6;\
--alarm:#ff8a80}}\
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}\
header{padding:1rem 2rem;border-bottom:1px solid var(--line);background:var(--card);font-weight:600}\
main{max-width:42rem;margin:3rem auto;padding:2rem;background:var(--card);border:1px solid var(--line);\
border-radius:.75rem}\
h1{margin-top:0;font-size:1.5rem}.calm{color:var(--calm)}.alarm{color:var(--alarm)}\
table{width:100%;border-collapse:collapse;margin:1.5rem 0}td{padding:.5rem 0;border-top:1px solid var(--line)}\
td:last-child{text-align:right}\
.letters{list-style:none;padding:0}.letters li{padding:.75rem 0;border-top:1px solid var(--line)}a{color:inherit}\
iframe{width:100%;height:34rem;border:1px solid var(--line);border-radius:.5rem;background:#fff}\
pre{white-space:pre-wrap;overflow-wrap:anywhere}summary{cursor:pointer;padding:.75rem 0}\
@media(max-width:44rem){main{margin:0;border:0;border-radius:0;padding:1.25rem}header{padding:1rem 1.25rem}}\
a.go,button{display:inline-block;padding:.6rem 1.4rem;border:0;border-radius:.5rem;font:inherit;cursor:pointer;\
background:var(--ink);color:var(--paper);text-decoration:none}";

/// A page of the product of that name.
pub(crate) fn page(status: u16, name: &str, policy: &str, body: &str) -> Response {
    let name = escape(name);
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{name}</title><link rel=icon href=\"data:,\"><style>{STYLE}</style><header>{name}</header>\
         <main>{body}</main></html>"
    );
    Response::html(status, page).with("Content-Security-Policy", policy).with("Cache-Control", "no-store")
}

/// What others said, as text.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_by_others_is_markup() {
        assert_eq!(escape("<b a=\"1\">&'"), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
    }
}
