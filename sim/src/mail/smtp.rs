//! The receiving half of SMTP (RFC 5321): one conversation per connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Letters;

/// How long a client may think (section 4.5.3.2.7 says five minutes; nobody here does).
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest command line with its CRLF (section 4.5.3.1.4).
const COMMAND: u64 = 512;
/// The longest line of a letter with its CRLF (section 4.5.3.1.6).
const TEXT: u64 = 1_000;
/// The largest letter.
const LETTER: usize = 256 * 1024;
/// Recipients of one letter (section 4.5.3.1.8).
const RECIPIENTS: usize = 100;
/// Conversations at once.
const AT_ONCE: usize = 32;

pub(super) async fn listen(listener: TcpListener, letters: Arc<Letters>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let letters = Arc::clone(&letters);
        tokio::spawn(async move {
            if let Err(error) = (Conversation { stream: BufReader::new(stream), letters }).run().await {
                tracing::debug!(%error, "a mail client broke off");
            }
            drop(place);
        });
    }
}

struct Conversation {
    stream: BufReader<TcpStream>,
    letters: Arc<Letters>,
}

/// What has been said of the letter to come.
#[derive(Default)]
struct Envelope {
    greeted: bool,
    from: Option<String>,
    to: Vec<String>,
}

impl Conversation {
    async fn run(mut self) -> io::Result<()> {
        let mut envelope = Envelope::default();
        self.say("220 localhost takes letters and delivers none").await?;
        while let Some(line) = self.line(COMMAND).await? {
            let Some(line) = line.strip_suffix("\r\n") else {
                return self.say("500 5.5.2 a line ends in CRLF and has 512 characters at most").await;
            };
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "QUIT" => return self.say("221 2.0.0 goodbye").await,
                "DATA" if rest.is_empty() && !envelope.to.is_empty() => {
                    if !self.data(&mut envelope).await? {
                        return Ok(());
                    }
                }
                verb => {
                    let answer = envelope.hear(verb, rest);
                    self.say(answer).await?;
                }
            }
        }
        Ok(())
    }

    /// The letter itself; whether the conversation goes on.
    async fn data(&mut self, envelope: &mut Envelope) -> io::Result<bool> {
        self.say("354 end with a dot on a line of its own").await?;
        let mut letter = Vec::new();
        loop {
            let Some(line) = self.line(TEXT + 1).await? else { return Ok(false) };
            // A bare LF is how one letter hides another from the server that checked it.
            if !line.ends_with("\r\n") {
                self.say("554 5.6.0 a line ends in CRLF and has 1000 characters at most").await?;
                return Ok(false);
            }
            if line == ".\r\n" {
                break;
            }
            letter.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
            if letter.len() > LETTER {
                self.say("552 5.3.4 the letter is too large").await?;
                return Ok(false);
            }
        }
        let Envelope { from, to, .. } = std::mem::take(envelope);
        envelope.greeted = true;
        self.letters.take(from.unwrap_or_default(), to, &letter);
        self.say("250 2.0.0 taken").await?;
        Ok(true)
    }

    /// A line with what ends it, at most so long; nothing at the end.
    async fn line(&mut self, limit: u64) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(limit);
        let read = tokio::time::timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await??;
        Ok((read > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await
    }
}

impl Envelope {
    /// What is answered to any command but the two that do more than answer.
    fn hear(&mut self, verb: &str, rest: &str) -> &'static str {
        match verb {
            "HELO" | "EHLO" if rest.is_empty() => "501 5.5.4 who are you?",
            "HELO" => self.greet("250 localhost"),
            "EHLO" => self.greet("250-localhost\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES"),
            "NOOP" => "250 2.0.0 still here",
            "VRFY" => "252 2.5.1 send it, and see",
            "RSET" => {
                *self = Self { greeted: self.greeted, ..Self::default() };
                "250 2.0.0 forgotten"
            }
            "MAIL" if !self.greeted || self.from.is_some() => "503 5.5.1 not now",
            "MAIL" => match path(rest, "FROM:") {
                Some(from) => {
                    self.from = Some(from);
                    "250 2.1.0 ok"
                }
                None => "501 5.5.4 MAIL FROM:<address>",
            },
            "RCPT" if self.from.is_none() => "503 5.5.1 not now",
            "RCPT" if self.to.len() == RECIPIENTS => "452 4.5.3 too many recipients",
            "RCPT" => match path(rest, "TO:").filter(|to| to.contains('@')) {
                Some(to) => {
                    self.to.push(to);
                    "250 2.1.5 ok"
                }
                None => "501 5.1.3 RCPT TO:<address>",
            },
            "DATA" => "503 5.5.1 not now",
            _ => "500 5.5.2 unknown here",
        }
    }

    fn greet(&mut self, answer: &'static str) -> &'static str {
        *self = Self { greeted: true, ..Self::default() };
        answer
    }
}

/// What stands between the brackets behind `FROM:` or `TO:`; parameters may follow.
fn path(rest: &str, keyword: &str) -> Option<String> {
    let after = rest.get(keyword.len()..)?;
    let is_it = rest[..keyword.len()].eq_ignore_ascii_case(keyword);
    let (path, parameters) = after.trim_start().strip_prefix('<')?.split_once('>')?;
    let ends = parameters.is_empty() || parameters.starts_with(' ');
    (is_it && ends && !path.contains(['<', ' '])).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_in_brackets() {
        let check = |rest: &str, keyword: &str, expect: Option<&str>| {
            assert_eq!(path(rest, keyword).as_deref(), expect, "{rest}");
        };
        check("FROM:<a@x>", "FROM:", Some("a@x"));
        check("from: <a@x> BODY=8BITMIME", "FROM:", Some("a@x"));
        check("FROM:<>", "FROM:", Some(""));
        check("TO:<a@x>", "FROM:", None);
        check("FROM:a@x", "FROM:", None);
        check("FROM:<a@x", "FROM:", None);
        check("FROM:<a@x>y", "FROM:", None);
        check("FROM:<a x>", "FROM:", None);
        check("FRÖM:<a>", "FROM:", None);
        check("F", "FROM:", None);
    }
}
