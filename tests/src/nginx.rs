//! nginx before several nodes, in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::node::Node;
use crate::until::until;

/// A proxy that gives each request to the next node that can be reached.
pub struct Nginx {
    folder: TempDir,
    _process: Child,
}

impl Nginx {
    /// Listens where the issuer says, until this value goes.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(program: &Path, issuer: &str, nodes: &[&Node]) -> Self {
        let folder = tempfile::Builder::new().prefix("cardea-nginx-").tempdir().expect("a folder");
        let config = folder.path().join("nginx.conf");
        fs::write(&config, Self::config(folder.path(), issuer, nodes)).expect("the folder is ours");
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&config).arg("-e").arg("error.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().expect("nginx runs");
        until("nginx answers", async || reqwest::get(issuer).await.ok().map(drop)).await;
        Self { folder, _process: process }
    }

    /// How many requests it gave to a node.
    #[must_use]
    pub fn given_to(&self, node: &Node) -> usize {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        let address = node.address.trim_start_matches("http://");
        log.lines().filter(|line| line.split([',', ' ']).any(|upstream| upstream == address)).count()
    }

    /// As an administrator would write it. A node that cannot be reached is left out for a second; what was not sent is
    /// given to another, whatever its method.
    fn config(folder: &Path, issuer: &str, nodes: &[&Node]) -> String {
        let nodes: String = nodes
            .iter()
            .map(|node| {
                let address = node.address.trim_start_matches("http://");
                format!("server {address} max_fails=1 fail_timeout=1s;\n")
            })
            .collect();
        let (folder, listen) = (folder.display(), issuer.replace("http://localhost", "127.0.0.1"));
        // One process without children and without another user: it goes when it is killed.
        format!(
            "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n\
             log_format nodes '$request_method $uri $status $upstream_addr';\n\
             access_log {folder}/access.log nodes;\n\
             client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\nscgi_temp_path {folder}/scgi;\n\
             upstream cardea {{\n{nodes}}}\n\
             server {{\nlisten {listen};\nlocation / {{\nproxy_pass http://cardea;\n\
             proxy_http_version 1.1;\nproxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n\
             proxy_set_header X-Forwarded-For $remote_addr;\nproxy_connect_timeout 1s;\n\
             proxy_next_upstream error timeout;\n}}\n}}\n}}\n"
        )
    }
}
