//! A tiny HTTP/1.1 responder for what a simulator has to show: one request per connection, then it closes.
//!
//! It is not a web server: no keep-alive, no chunked requests, no TLS. Everything is bounded (head 16 KiB, body
//! 64 KiB, five seconds, 64 connections at once).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use url::form_urlencoded;

const HEAD: usize = 16 * 1024;
const BODY: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 64;

/// A request as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    /// The first header of that name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The first value of that name in the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        pair(&self.query, name)
    }

    /// The first value of that name in a form body.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        pair(&self.body, name)
    }

    /// A cookie's value.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.header("cookie")?.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

fn pair(encoded: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(encoded.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A response to be written.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Response {
    pub(crate) fn new(status: u16, kind: &'static str, body: impl Into<String>) -> Self {
        Self { status, headers: vec![("Content-Type", kind.to_owned())], body: body.into() }
    }

    pub(crate) fn html(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    /// `303 See Other`: the next request is a GET (RFC 9110, section 15.4.4).
    pub(crate) fn see_other(location: impl Into<String>) -> Self {
        Self::html(303, "").with("Location", location)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.body.len();
        text.push_str(&format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{}", self.body));
        text.into_bytes()
    }
}

/// A listening responder; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Responder {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Responder {
    /// Binds and answers every request with what `handle` makes of it.
    pub(crate) async fn start<H, F>(bind: SocketAddr, handle: H) -> io::Result<Self>
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, Arc::new(handle)));
        Ok(Self { address, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<H, F>(listener: TcpListener, handle: Arc<H>)
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let handle = Arc::clone(&handle);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &*handle).await {
                tracing::debug!(%error, "a connection came to nothing");
            }
            drop(place);
        });
    }
}

async fn converse<H, F>(mut stream: TcpStream, handle: &H) -> io::Result<()>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let response = match tokio::time::timeout(PATIENCE, read(&mut stream)).await?? {
        Some(request) => handle(request).await,
        None => Response::new(400, "text/plain", "not a request that this simulator reads"),
    };
    stream.write_all(&response.bytes()).await?;
    stream.shutdown().await
}

/// Nothing if it is not a request, or too large.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let body_at = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let Some(mut request) = std::str::from_utf8(&bytes[..body_at]).ok().and_then(head) else {
        return Ok(None);
    };
    let length = request.header("content-length").map_or(Ok(0), str::parse::<usize>);
    let Some(length) = length.ok().filter(|length| *length <= BODY) else { return Ok(None) };
    let mut body = bytes.split_off(body_at);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    request.body = String::from_utf8_lossy(&body[..length]).into_owned();
    Ok(Some(request))
}

fn head(text: &str) -> Option<Request> {
    let mut lines = text.split("\r\n");
    let mut start = lines.next()?.split(' ');
    let (method, target, version) = (start.next()?, start.next()?, start.next()?);
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.filter(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    });
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect::<Option<_>>()?,
        body: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    async fn echo() -> Responder {
        let handle = |request: Request| async move {
            let body = format!("{} {} {:?}", request.method, request.path, request.form("a"));
            Response::new(200, "text/plain", body).with("X-Query", request.query("q").unwrap_or_default())
        };
        Responder::start((Ipv4Addr::LOCALHOST, 0).into(), handle).await.unwrap()
    }

    async fn say(responder: &Responder, text: &str) -> String {
        let mut stream = TcpStream::connect(responder.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_reads_what_a_client_sends_and_answers() {
        let responder = echo().await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/there?q=1%202", responder.address());
        let response = client.post(url).form(&[("a", "x&y")]).send().await.unwrap();
        assert_eq!(response.headers()["x-query"], "1 2");
        assert_eq!(response.text().await.unwrap(), "POST /there Some(\"x&y\")");
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let responder = echo().await;
        let cases = [
            "nonsense\r\n\r\n",
            "GET http://elsewhere/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n",
        ];
        for text in cases {
            assert!(say(&responder, text).await.starts_with("HTTP/1.1 400 "), "{text:?}");
        }
        assert!(say(&responder, "GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let request = head("GET / HTTP/1.1\r\nCookie: abc=1; b=2;c=\r\n\r\n").unwrap();
        let check = |name: &str, expect: Option<&str>| assert_eq!(request.cookie(name), expect, "{name}");
        check("abc", Some("1"));
        check("b", Some("2"));
        check("c", Some(""));
        check("bc", None);
    }
}
