//! A request that can be written wrongly: every part of it is text that a test may change.

/// A request as it will be said.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Body>,
}

/// What stands behind the headers.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) media: Option<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) framing: Framing,
}

/// How it is told where the body ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    /// By its length.
    Length,
    /// By a length that is not its own.
    Announced(usize),
    /// By chunks.
    Chunked,
    /// By the headers that the test has written itself.
    Told,
}

impl Draft {
    /// The same with one more header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same without a header.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| *given != name);
        self
    }

    /// The same with another target.
    pub(super) fn to(self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self }
    }

    /// The same with a parameter more in the query.
    pub(super) fn asking(self, parameter: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{separator}{parameter}", self.target);
        self.to(target)
    }

    /// The same with other bytes in its body; one without a body stays without.
    pub(super) fn saying(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Some(body) = &mut self.body {
            body.bytes = bytes.into();
        }
        self
    }

    /// The same with more bytes behind those of its body.
    pub(super) fn saying_more(mut self, bytes: &str) -> Self {
        if let Some(body) = &mut self.body {
            body.bytes.extend_from_slice(bytes.as_bytes());
        }
        self
    }

    /// The same with a body, whether or not one belongs there, that ends as told.
    pub(super) fn framed(mut self, framing: Framing, bytes: impl Into<Vec<u8>>) -> Self {
        let media = self.body.and_then(|body| body.media);
        self.body = Some(Body { media, bytes: bytes.into(), framing });
        self
    }

    /// The same with another media type.
    pub(super) fn of_media(mut self, media: Option<&str>) -> Self {
        if let Some(body) = &mut self.body {
            body.media = media.map(str::to_owned);
        }
        self
    }

    /// What goes over the wire.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let Some(body) = &self.body else { return format!("{head}\r\n").into_bytes() };
        if let Some(media) = &body.media {
            head.push_str(&format!("content-type: {media}\r\n"));
        }
        match body.framing {
            Framing::Length => head.push_str(&format!("content-length: {}\r\n", body.bytes.len())),
            Framing::Announced(length) => head.push_str(&format!("content-length: {length}\r\n")),
            Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Framing::Told => {}
        }
        let mut all = format!("{head}\r\n").into_bytes();
        match body.framing {
            Framing::Chunked => {
                for chunk in body.bytes.chunks(4096) {
                    all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    all.extend_from_slice(chunk);
                    all.extend_from_slice(b"\r\n");
                }
                all.extend_from_slice(b"0\r\n\r\n");
            }
            _ => all.extend_from_slice(&body.bytes),
        }
        all
    }
}
