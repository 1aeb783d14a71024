//! A place where a server runs, is killed, and comes back.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::RwLock,
};

use tempfile::TempDir;

use super::{client::TENANT, server::Server};

pub(super) struct Host {
    home: TempDir,
    options: Vec<String>,
    server: RwLock<Option<Server>>,
}

impl Host {
    pub(super) fn start(options: &[String]) -> Self {
        let home = TempDir::new().expect("a directory");
        let server = Server::start(home.path(), options);
        Self {
            home,
            options: options.to_vec(),
            server: RwLock::new(Some(server)),
        }
    }

    /// Where it listens now, if it runs.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let server = self.server.read().expect("nobody panicked");
        server.as_ref().map(|server| server.address)
    }

    /// Without a chance to tell anybody, with the same arguments afterwards.
    pub(super) fn kill_and_restart(&self) {
        let server = self.server.write().expect("nobody panicked").take();
        drop(server);
        let server = Server::start(self.home.path(), &self.options);
        *self.server.write().expect("nobody panicked") = Some(server);
    }

    /// What its disk holds.
    pub(super) fn dir(&self) -> &Path {
        self.home.path()
    }

    /// Where the tenant's files have their names.
    pub(super) fn files(&self) -> PathBuf {
        self.home.path().join(format!("tenant-{TENANT}"))
    }

    pub(super) fn log(&self) -> String {
        let server = self.server.read().expect("nobody panicked");
        server.as_ref().map_or_else(String::new, Server::log)
    }
}
