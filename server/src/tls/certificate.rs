//! What little we must read out of a certificate ourselves: who issued whom, and from when until when.
//!
//! What it is not: it verifies nothing; rustls does that. X.509 is RFC 5280, section 4.1, in DER (X.690).

use kernel::Timestamp;

/// The fields that an operator is told about.
pub(super) struct Certificate {
    /// The issuer's name, as DER.
    pub(super) issuer: Vec<u8>,
    /// The name of whose certificate it is, as DER.
    pub(super) subject: Vec<u8>,
    /// Not valid before.
    pub(super) not_before: Timestamp,
    /// Not valid after.
    pub(super) not_after: Timestamp,
}

const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version, which may be missing.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Certificate {
    /// `None` for what is no certificate.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Der(Der(der).expect(SEQUENCE)?);
        let mut fields = Der(certificate.expect(SEQUENCE)?);
        if fields.0.first() == Some(&VERSION) {
            fields.next()?;
        }
        let (_serial, _algorithm) = (fields.next()?, fields.next()?);
        let issuer = fields.expect(SEQUENCE)?.to_vec();
        let mut validity = Der(fields.expect(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = fields.expect(SEQUENCE)?.to_vec();
        Some(Self { issuer, subject, not_before, not_after })
    }
}

/// What is left to read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // The long form: how many bytes the length has. A certificate is shorter than 16 MiB.
            0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// `YYMMDDhhmmssZ` until 2049, `YYYYMMDDhhmmssZ` from 2050 on (RFC 5280, section 4.1.2.5).
    fn time(&mut self) -> Option<Timestamp> {
        let (tag, content) = self.next()?;
        let text = std::str::from_utf8(content).ok()?;
        let text = match tag {
            UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
            UTC_TIME => format!("19{text}"),
            GENERALIZED_TIME => text.to_owned(),
            _ => return None,
        };
        let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
        let at = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        Some(Timestamp::from_millis(at.as_millisecond()))
    }
}
