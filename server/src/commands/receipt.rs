//! `cardea receipt`.

use std::path::PathBuf;

use clap::Subcommand;
use kernel::Ctx;
use keys::{Evidence, VerifyError, verify_evidence};

use super::{Failure, Outcome, UNREADABLE, open_existing, read, say};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Receipt {
    /// Verify a receipt offline. Exit code 0: good; 1: bad; 2: signed by nobody in the key set;
    /// 64 or 66: not verified.
    Verify {
        /// The receipt: a compact JWS.
        file: PathBuf,
        /// The evidence keys, as served at /jwks/evidence.
        #[arg(long, value_name = "JWKS")]
        keys: PathBuf,
    },
    /// Print the latest receipt of a user.
    Show {
        /// The user's id (SCIM id, `sub`).
        user: String,
        /// As signed, instead of readable.
        #[arg(long)]
        signed: bool,
    },
}

impl Receipt {
    pub(super) async fn run(self, config: impl FnOnce() -> Result<Config, Failure>, ctx: Ctx) -> Outcome {
        match self {
            Self::Verify { file, keys } => verify(&file, &keys),
            Self::Show { user, signed } => show(config()?, ctx, &user, signed).await,
        }
    }
}

fn verify(file: &std::path::Path, keys: &std::path::Path) -> Outcome {
    let jws = String::from_utf8_lossy(&read(file)?).trim().to_owned();
    match verify_evidence(Evidence::Receipt, &jws, &read(keys)?) {
        Ok(receipt) => {
            say(readable(&receipt));
            say("GOOD: this receipt is as it was signed.");
            Ok(())
        }
        Err(error @ VerifyError::UnknownSigner) => Err(Failure::new(error.to_string()).code(2)),
        Err(error @ VerifyError::Keys) => Err(Failure::new(error.to_string()).code(UNREADABLE)),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

fn readable(receipt: &serde_json::Value) -> String {
    serde_json::to_string_pretty(receipt).unwrap_or_default()
}

async fn show(config: Config, ctx: Ctx, user: &str, signed: bool) -> Outcome {
    use base64::Engine as _;
    let user = user.parse().map_err(|_| Failure::new(format!("{user:?} is no user id")))?;
    let db = open_existing(&config, ctx).await?;
    let Some(edition) = bridge::receipt::latest(&db, user).await? else {
        return Err(Failure::new("this user has no receipt: access was never ended"));
    };
    if signed {
        say(edition.document);
        return Ok(());
    }
    let payload = edition.document.split('.').nth(1).unwrap_or_default();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?;
    say(readable(&serde_json::from_slice(&payload)?));
    Ok(())
}
