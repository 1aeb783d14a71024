//! Whose files they are, and what each tenant may store.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderName, request::Parts};
use tokio::{sync::OnceCell, time::sleep};
use tower_storage_guard::{Denied, Ledger, TenantFrom, TenantKey, Usage};

use crate::{store::Store, tenant_dir};

#[derive(Clone)]
pub(crate) struct Tenants {
    shared: Arc<Shared>,
}

struct Shared {
    header: HeaderName,
    ledger: Ledger,
    /// Other servers charge the same tenants for files of their own.
    is_one_of_many: bool,
    root: Store,
    /// Whose files have been counted since the start.
    counted: Mutex<HashMap<Box<str>, Arc<OnceCell<()>>>>,
}

impl Tenants {
    pub(crate) fn new(header: HeaderName, ledger: Ledger, is_one_of_many: bool, root: Store) -> Self {
        Self {
            shared: Arc::new(Shared {
                header,
                ledger,
                is_one_of_many,
                root,
                counted: Mutex::default(),
            }),
        }
    }

    pub(crate) fn header(&self) -> &HeaderName {
        &self.shared.header
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// For the guard: the same name, or none, as [`of`](Self::of) finds.
    pub(crate) fn key(&self) -> impl TenantKey + 'static {
        let header = self.shared.header.clone();
        move |parts: &Parts| name(&header, parts)
    }

    /// Whose request it is.
    pub(crate) fn of(&self, parts: &Parts) -> Option<Tenant> {
        let name = name(&self.shared.header, parts)?;
        self.named(name)
    }

    fn named(&self, name: String) -> Option<Tenant> {
        let store = self.shared.root.part(&tenant_dir::encode(&name)?);
        let shared = self.shared.clone();
        Some(Tenant { name, store, shared })
    }

    /// Sets right what everybody who has files here is taken to have stored.
    pub(crate) async fn count_all(&self) -> Result<(), CountError> {
        let parts = self.shared.root.parts().map_err(CountError::Storage)?;
        for name in parts.iter().filter_map(|dir| tenant_dir::decode(dir)) {
            if let Some(tenant) = self.named(name) {
                tenant.count().await?;
            }
        }
        Ok(())
    }

    /// The same again and again, until it succeeds.
    pub(crate) async fn keep_counting(self) {
        let mut told = String::new();
        while let Err(error) = self.count_all().await {
            let flaw = self.describe(&error);
            if flaw != told {
                tracing::error!("uploads are refused until what is stored has been counted: {flaw}");
                told = flaw;
            }
            sleep(Duration::from_secs(1)).await;
        }
        if !told.is_empty() {
            tracing::info!("what is stored has been counted");
        }
    }

    /// With what the ledger's store says, if it is to blame.
    fn describe(&self, error: &CountError) -> String {
        let store = self.shared.ledger.report().store;
        match (error, store.and_then(|store| store.error)) {
            (CountError::Ledger(denied), Some(cause)) => format!("{denied}: {cause}"),
            _ => error.to_string(),
        }
    }
}

fn name(header: &HeaderName, parts: &Parts) -> Option<String> {
    let name = TenantFrom::header(header.clone()).tenant(parts)?.into_owned();
    tenant_dir::encode(&name).is_some().then_some(name)
}

/// Who sent a request.
pub(crate) struct Tenant {
    name: String,
    pub(crate) store: Store,
    shared: Arc<Shared>,
}

impl Tenant {
    /// Counts what the tenant has stored here, once since the start, and sets the record right. A server that was killed
    /// could not tell the last of it.
    pub(crate) async fn count(&self) -> Result<(), CountError> {
        let cell = {
            let mut counted = self.shared.counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.entry(self.name.as_str().into()).or_default().clone()
        };
        cell.get_or_try_init(|| self.count_anew()).await.copied()
    }

    async fn count_anew(&self) -> Result<(), CountError> {
        let ledger = &self.shared.ledger;
        // Asks the ledger's store, so that the next answer comes at once.
        drop(ledger.scan(&self.name).await?);
        // What is stored or deleted meanwhile would count twice.
        let standstill = self.store.standstill().await;
        let scan = ledger.scan(&self.name).await?;
        let measured = self.store.size().await.map_err(CountError::Storage)?;
        if self.shared.is_one_of_many {
            scan.reconcile_here(measured);
        } else {
            scan.reconcile(measured);
        }
        drop(standstill);
        Ok(())
    }

    /// What the tenant has stored and may store, as the ledger's store knows it.
    pub(crate) async fn usage(&self) -> Result<Usage, CountError> {
        let _scan = self.shared.ledger.scan(&self.name).await?;
        Ok(self.shared.ledger.usage(&self.name))
    }
}

/// Why it is not known what a tenant has stored.
pub(crate) enum CountError {
    Ledger(Denied),
    Storage(io::Error),
}

impl From<Denied> for CountError {
    fn from(denied: Denied) -> Self {
        Self::Ledger(denied)
    }
}

impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger(denied) => denied.fmt(f),
            Self::Storage(error) => error.fmt(f),
        }
    }
}
