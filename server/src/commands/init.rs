//! `cardea init`: a configuration file and a sealing key.

use std::path::PathBuf;

use clap::Args;
use kernel::Ctx;
use keys::SealingKeys;
use web::Issuer;

use super::{Failure, Outcome, say};
use crate::config::SAMPLE;

#[derive(Debug, Args)]
pub(super) struct Init {
    /// The folder to write into; made when missing.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where people and apps will find this deployment.
    #[arg(long, default_value = "http://localhost:8080")]
    issuer: String,
}

impl Init {
    pub(super) fn run(self, ctx: &Ctx) -> Outcome {
        let issuer: Issuer = self.issuer.parse()?;
        let config = self.folder.join("cardea.toml");
        let key = self.folder.join("sealing.key");
        if config.exists() {
            return Err(Failure::new(format!("{} is there already; it is not replaced", config.display())));
        }
        std::fs::create_dir_all(&self.folder)?;
        SealingKeys::create_file(&key, ctx)?;
        std::fs::write(&config, sample(&issuer))?;
        say(format_args!("Wrote {}", config.display()));
        say(format_args!(
            "Wrote {} (keep a copy apart from the database's backup: without it nothing sealed can be opened)",
            key.display()
        ));
        say(format_args!("Next: cardea --config {} serve", config.display()));
        say("It shows a link with which the first administrator is made.");
        Ok(())
    }
}

const LISTEN: &str = "#: listen = [\"127.0.0.1:8080\"]";

/// The sample; a plain http issuer is listened on where it says, since no proxy stands before it.
fn sample(issuer: &Issuer) -> String {
    let text = SAMPLE.replace("{issuer}", issuer.as_str());
    match issuer.is_https() {
        true => text,
        false => text.replace(LISTEN, &format!("listen = [\"127.0.0.1:{}\"]", issuer.port())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_init_writes_can_be_read_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let init = || Init { folder: folder.path().join("new"), issuer: "http://localhost:8080".into() };
        assert!(init().run(&Ctx::for_tests(1)).is_ok());
        let config = Config::read(&folder.path().join("new/cardea.toml")).unwrap();
        assert_eq!(config.issuer, "http://localhost:8080");
        assert!(SealingKeys::load(&config.path(&config.sealing.key_file)).is_ok());
        assert!(
            init().run(&Ctx::for_tests(2)).is_err_and(|failure| failure.message.contains("not replaced"))
        );
    }

    #[test]
    fn a_local_issuer_is_listened_on_where_it_says() {
        for (issuer, listen) in [
            ("http://localhost:8080", "127.0.0.1:8080"),
            ("http://localhost:9000", "127.0.0.1:9000"),
            ("http://localhost", "127.0.0.1:80"),
            ("https://id.example.org:9000", "127.0.0.1:8080"),
        ] {
            let text = sample(&issuer.parse().unwrap());
            let config = Config::parse(&text, std::path::Path::new("")).unwrap();
            assert_eq!((config.issuer.as_str(), config.http.listen), (issuer, vec![listen.to_owned()]));
        }
    }

    /// Every key of the sample, uncommented, is one that the configuration knows.
    #[test]
    fn the_sample_names_only_keys_that_exist() {
        let uncommented: String = SAMPLE
            .replace("{issuer}", "http://localhost:8080")
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n")
            .collect();
        assert!(uncommented.len() < SAMPLE.len() + 30, "it has lines to uncomment");
        Config::parse(&uncommented, std::path::Path::new("")).unwrap();
    }
}
