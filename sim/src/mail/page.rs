//! Mailboxes as their owner sees them.

use std::sync::Arc;

use super::letter::{Letter, link};
use crate::http::{Request, Response};
use crate::look::{escape, page};

/// A letter in HTML may be styled and may lead out of its frame when it is clicked; it may run nothing.
const POLICY: &str = "\
    default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'";

const NAME: &str = "Mailbox";

pub(super) fn answer(request: &Request, letters: &[Arc<Letter>]) -> Response {
    let to = request.query("to");
    let number: Option<usize> = request.path.strip_prefix("/letters/").and_then(|number| number.parse().ok());
    match (request.method.as_str(), request.path.as_str(), number) {
        ("GET", "/", _) => mailbox(letters, to.as_deref()),
        ("GET", _, Some(number)) => match letters.iter().find(|letter| letter.number == number) {
            Some(letter) => show(letter),
            None => missing(),
        },
        _ => missing(),
    }
}

fn mailbox(letters: &[Arc<Letter>], to: Option<&str>) -> Response {
    let meant = letters.iter().rev().filter(|letter| to.is_none_or(|to| letter.is_to(to)));
    let rows: String = meant
        .map(|letter| {
            let (number, subject) = (letter.number, escape(&letter.subject));
            let to = escape(&letter.to.join(", "));
            format!("<li><a href=\"/letters/{number}\">{subject}</a><br><small>to {to}</small></li>")
        })
        .collect();
    let whose = to.map(|to| format!("<p><small>{}</small></p>", escape(to))).unwrap_or_default();
    let body = match rows.is_empty() {
        true => format!("<h1>No letters yet</h1>{whose}<p>Reload when somebody has written.</p>"),
        false => format!("<h1>Letters</h1>{whose}<ul class=letters>{rows}</ul>"),
    };
    page(200, NAME, POLICY, &body)
}

/// The HTML in a frame that can run nothing, the text beside it with its links.
fn show(letter: &Letter) -> Response {
    let (subject, to) = (escape(&letter.subject), escape(&letter.to.join(", ")));
    let from = escape(&letter.from);
    let framed = match letter.html.is_empty() {
        true => String::new(),
        false => format!(
            "<iframe title=\"{subject}\" sandbox=\"allow-top-navigation-by-user-activation\" srcdoc=\"{}\"></iframe>",
            escape(&format!("<base target=_top>{}", letter.html))
        ),
    };
    let text: String = letter.text.split_inclusive(char::is_whitespace).map(word).collect();
    let open = if letter.html.is_empty() { " open" } else { "" };
    let body = format!(
        "<p><a href=\"/\">All letters</a></p><h1>{subject}</h1><p><small>from {from} to {to}</small></p>{framed}\
         <details{open}><summary>As text</summary><pre>{text}</pre></details>"
    );
    page(200, NAME, POLICY, &body)
}

/// A word with the space behind it; a link if it is one.
fn word(text: &str) -> String {
    let bare = text.trim_end();
    match link(bare) {
        Some(_) => format!("<a href=\"{0}\">{0}</a>{1}", escape(bare), &text[bare.len()..]),
        None => escape(text),
    }
}

fn missing() -> Response {
    page(404, NAME, POLICY, "<h1>No such letter</h1><p><a href=\"/\">All letters</a></p>")
}
