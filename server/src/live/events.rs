//! The stream of what happens, as server-sent events (WHATWG HTML, section 9.2).
//!
//! - `happening`, with an id: a line of the timeline, as HTML in the reader's language.
//! - `picture`, without one: how things stand, as HTML with forms for this browser alone.
//! - `anew`: what was missed is not known any more; load the page.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use kit::browser::Browser;
use kit::{Params, Passage};
use tokio::sync::broadcast::error::RecvError;

use super::Room;
use super::hub::{Reader, Update};
use super::page::{self, View};

use ::web as kit;

/// How often something is said when nothing happens, so that both ends notice when the other is gone.
const STILL_HERE: Duration = Duration::from_secs(15);
/// After how many milliseconds a browser that was hung up on comes back.
const RETRY: u32 = 1_000;

/// `GET /events`, with the last number seen in `Last-Event-ID`, or at first in the query.
pub(super) async fn get(room: Data<Room>, passage: Passage, request: HttpRequest) -> HttpResponse {
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let asked = Params::parse(request.query_string().as_bytes()).ok();
    let asked = asked.as_ref().and_then(|params| params.one("after").ok().flatten());
    let (epoch, seen) = last.or(asked).and_then(parse).unwrap_or((0, 0));
    let Some(mut reader) = room.hub.reader(epoch, seen) else {
        return HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "5")).finish();
    };
    let view = page::view(passage.locale(), &Browser::of(room.hub.ctx(), &request));
    let first = match reader.missed.take() {
        Some(missed) => format!("retry: {RETRY}\n\n{}", written(&missed, &view, room.hub.epoch)),
        None => event("anew", None, "load"),
    };
    let epoch = room.hub.epoch;
    let stream = stream::unfold((Some(first), reader, view), move |(first, mut reader, view)| async move {
        let text = match first {
            Some(first) => first,
            None => next(&mut reader, &view, epoch).await?,
        };
        Some((Ok::<_, std::io::Error>(Bytes::from(text)), (None, reader, view)))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(Box::pin(stream))
}

/// What is new, or that nothing is; the end when the page is closed, or the reader fell too far behind.
async fn next(reader: &mut Reader, view: &View, epoch: i64) -> Option<String> {
    match tokio::time::timeout(STILL_HERE, reader.updates.recv()).await {
        Err(_) => Some(": still here\n\n".into()),
        Ok(Ok(update)) => Some(written(&update, view, epoch)),
        Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => None,
    }
}

fn written(update: &Update, view: &View, epoch: i64) -> String {
    let lines = update.happenings.iter().map(|happening| {
        let id = format!("{epoch}-{}", happening.number);
        event("happening", Some(&id), &page::line(happening, view))
    });
    lines.chain([event("picture", None, &page::people(&update.picture, view))]).collect()
}

/// One event; each line of its data stands on a line of its own.
fn event(name: &str, id: Option<&str>, data: &str) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let data: String = data.lines().map(|line| format!("data: {line}\n")).collect();
    format!("{id}event: {name}\n{data}\n")
}

/// `epoch-number`.
fn parse(id: &str) -> Option<(i64, u64)> {
    let (epoch, number) = id.split_once('-')?;
    Some((epoch.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_as_browsers_read_it() {
        let check = |name, id, data, expect: &str| assert_eq!(event(name, id, data), expect);
        check("picture", None, "a", "event: picture\ndata: a\n\n");
        check(
            "happening",
            Some("7-1"),
            "a\r\nb\n\nc",
            "id: 7-1\nevent: happening\ndata: a\ndata: b\ndata: \ndata: c\n\n",
        );
    }

    #[test]
    fn an_id_names_the_demo_and_the_number() {
        assert_eq!(parse("1700000000000-12"), Some((1_700_000_000_000, 12)));
        for id in ["", "12", "-12", "a-b", "1-", "1--2", "1-2-3"] {
            assert_eq!(parse(id), None, "{id}");
        }
    }
}
