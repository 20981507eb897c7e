//! How the receivers of the journal stand: `cardea audit exports`, and what `cardea check` says of them.

use audit::export::{Outage, Standing, standing, try_to_reach};
use kernel::Timestamp;
use store::Db;

use super::{Failure, Outcome, say};
use crate::config::{Config, ExportTo};

/// Shows each; fails when one is cut off.
pub(super) async fn show(config: &Config, db: &Db) -> Outcome {
    let mut cut = 0;
    for (name, to) in &config.export {
        let standing = standing(db, name).await.map_err(Failure::unread)?;
        let receiver = to.receiver();
        match described(&standing) {
            Ok(detail) => say(format_args!("ok     {name}  to {receiver}: {detail}")),
            Err(detail) => {
                cut += 1;
                say(format_args!("CUT    {name}  to {receiver}: {detail}"));
            }
        }
    }
    if config.export.is_empty() {
        say("none is configured: [export.NAME] hands every fact on");
    }
    match cut {
        0 => Ok(()),
        cut => Err(Failure::new(format!(
            "{cut} of {} cut off; nothing is lost: it goes on when the receiver can be reached",
            config.export.len()
        ))),
    }
}

/// How one stands, by what the database knows; an error while it is cut off.
pub(super) fn described(standing: &Standing) -> Result<String, String> {
    let behind = standing.behind;
    let progress = match standing.delivered {
        Some(at) => format!("{behind} fact(s) behind, delivered up to {at}"),
        None => format!("{behind} fact(s) behind, nothing delivered yet"),
    };
    match &standing.cut {
        None => Ok(progress),
        Some(Outage { since, reason }) => {
            let since = since.map_or_else(|| "long ago".to_owned(), |at| at.to_string());
            let reason = reason.as_deref().unwrap_or("the reason was erased").replace(['\n', '\r'], " ");
            Err(format!("cut off since {since} ({reason}); {progress}"))
        }
    }
}

/// Whether it can be reached from here, now; nothing is sent.
pub(super) async fn reach(
    config: &Config,
    name: &str,
    to: &ExportTo,
    now: Timestamp,
) -> Result<String, String> {
    let export = config.export_to(name, to).map_err(|error| error.to_string())?;
    let receiver = to.receiver();
    let tried = try_to_reach(&export.target, now).await;
    tried.map_err(|error| format!("{receiver} cannot be reached: {error}"))?;
    Ok(format!("{receiver} can be reached"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_looks_is_told_how_far_and_since_when_and_why() {
        let at = Timestamp::from_millis(1_763_779_500_000);
        let mut standing = Standing { name: "siem".into(), behind: 7, delivered: None, cut: None };
        assert_eq!(described(&standing).unwrap(), "7 fact(s) behind, nothing delivered yet");
        standing.delivered = Some(at);
        assert_eq!(
            described(&standing).unwrap(),
            "7 fact(s) behind, delivered up to 2025-11-22T02:45:00.000Z"
        );
        standing.cut = Some(Outage { since: Some(at), reason: Some("it closed\nthe connection".into()) });
        assert_eq!(
            described(&standing).unwrap_err(),
            "cut off since 2025-11-22T02:45:00.000Z (it closed the connection); 7 fact(s) behind, delivered up to \
             2025-11-22T02:45:00.000Z"
        );
        standing.cut = Some(Outage { since: None, reason: None });
        assert!(
            described(&standing).unwrap_err().starts_with("cut off since long ago (the reason was erased); ")
        );
    }
}
