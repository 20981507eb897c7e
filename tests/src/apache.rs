//! Apache with `mod_auth_openidc`, a certified relying party that nobody here wrote, in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use parts::free_port;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use url::form_urlencoded;

use crate::until::until;

const MODULES: [&str; 8] =
    ["mpm_event", "authn_core", "authz_core", "authz_user", "dir", "headers", "unixd", "auth_openidc"];

/// A web server with two pages, one of which only who is signed in may see.
pub struct Apache {
    port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Apache {
    /// What its protected page says.
    pub const INSIDE: &str = "You are inside.";

    /// On a port of its own, not started yet.
    ///
    /// # Panics
    /// If there is no free port or no folder.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cardea-apache-").tempdir().expect("a folder");
        Self { port: free_port(), folder, process: None }
    }

    /// The protected page.
    #[must_use]
    pub fn page(&self) -> String {
        format!("http://localhost:{}/inside/", self.port)
    }

    /// The page for everybody.
    #[must_use]
    pub fn outside(&self) -> String {
        format!("http://localhost:{}/", self.port)
    }

    /// Where people sign out, here and at the provider; they are sent back to the page for everybody.
    #[must_use]
    pub fn sign_out(&self) -> String {
        let outside: String = form_urlencoded::byte_serialize(self.outside().as_bytes()).collect();
        format!("{}?logout={outside}", self.redirect_uri())
    }

    /// Where the provider sends people back to. The module answers here; nothing is served.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}callback", self.page())
    }

    /// Where it hears that a sign-in has ended.
    #[must_use]
    pub fn backchannel_logout_uri(&self) -> String {
        format!("{}?logout=backchannel", self.redirect_uri())
    }

    /// What the module knows of the session of whoever asks, after refreshing its tokens.
    #[must_use]
    pub fn refreshed(&self) -> String {
        format!("{}?info=json&access_token_refresh_interval=0", self.redirect_uri())
    }

    /// Serves until this value goes.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(&mut self, program: &Path, issuer: &str, client_id: &str, secret: &str) {
        let inside = self.folder.path().join("www/inside");
        fs::create_dir_all(&inside).expect("the folder is ours");
        fs::write(inside.join("index.html"), Self::INSIDE).expect("the folder is ours");
        fs::write(self.folder.path().join("www/index.html"), "You are outside.").expect("the folder is ours");
        let config = self.folder.path().join("apache.conf");
        fs::write(&config, self.config(issuer, client_id, secret)).expect("the folder is ours");
        open_to_all(self.folder.path());
        let mut command = Command::new(program);
        command.arg("-f").arg(&config).arg("-DFOREGROUND").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("Apache runs"));
        let address = self.outside();
        until("Apache answers", async || reqwest::get(&address).await.ok().map(drop)).await;
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    /// What it answered each time that it was told of the end of a sign-in.
    #[must_use]
    pub fn logouts(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        let told =
            |line: &str| line.strip_prefix("POST /inside/callback?logout=backchannel ").map(Into::into);
        asked.lines().filter_map(told).collect()
    }

    fn config(&self, issuer: &str, client_id: &str, secret: &str) -> String {
        let (folder, port, redirect_uri) = (self.folder.path().display(), self.port, self.redirect_uri());
        let modules = Path::new("/usr/lib/apache2/modules");
        let load = |name: &&str| {
            let file = modules.join(format!("mod_{name}.so"));
            // Some are built into the program.
            file.exists().then(|| format!("LoadModule {name}_module {}\n", file.display()))
        };
        let modules: String = MODULES.iter().filter_map(load).collect();
        format!(
            "{modules}ServerName localhost\nListen 127.0.0.1:{port}\nUser www-data\nGroup www-data\n\
             ServerRoot {folder}\nPidFile {folder}/apache.pid\nErrorLog {folder}/error.log\nLogLevel info\n\
             CustomLog {folder}/access.log \"%m %U%q %s\"\n\
             DocumentRoot {folder}/www\nDirectoryIndex index.html\n\
             OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\nOIDCClientID {client_id}\n\
             OIDCClientSecret {secret}\nOIDCRedirectURI {redirect_uri}\nOIDCCryptoPassphrase for-this-test-alone\n\
             OIDCPKCEMethod S256\nOIDCScope \"openid profile\"\nOIDCIDTokenSignedResponseAlg ES256\n\
             OIDCInfoHook access_token refresh_token id_token\n\
             <Location /inside/>\nAuthType openid-connect\nRequire valid-user\n</Location>\n"
        )
    }
}

/// Asked to end, it ends its children, too; killed, it would leave them behind.
impl Drop for Apache {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let Some(id) = process.id() else { return };
        let _ = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
        for _ in 0..100 {
            if !matches!(process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Default for Apache {
    fn default() -> Self {
        Self::new()
    }
}

/// The server's children serve as somebody who owns nothing.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
}
