use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::{Limits, LimitsFile, LimitsFileError};
use crate::{
    capacity::{Event, Observer, notify},
    tenant::{LedgerInner, Limit},
};

/// What a ledger was configured with beside its file: it holds where the file says nothing.
pub(in crate::tenant) struct Configured {
    pub(in crate::tenant) default: Limit,
    pub(in crate::tenant) tenants: HashMap<Box<str>, Limit>,
}

/// Gives a ledger the limits of a file, now and whenever they change, until what this returns is dropped.
pub(in crate::tenant) fn attach(
    core: &Arc<LedgerInner>,
    path: PathBuf,
    configured: Configured,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<LimitsFile, LimitsFileError> {
    let core = Arc::downgrade(core);
    let mut is_first = true;
    LimitsFile::watch(path, move |news: Result<&Limits, &LimitsFileError>| {
        let Some(core) = core.upgrade() else { return };
        let ledger = &**core.name();
        match news {
            Ok(limits) => {
                let own = limits
                    .tenants
                    .iter()
                    .map(|(tenant, limit)| (tenant.as_str().into(), *limit));
                let mut list = configured.tenants.clone();
                list.extend(own);
                core.set_default_limit(limits.default.unwrap_or(configured.default));
                core.set_limits(list);
                if !std::mem::take(&mut is_first) {
                    let tenants = limits.tenants.len();
                    notify(&observers, &Event::LimitsReloaded { ledger, tenants });
                }
            }
            Err(error) => notify(&observers, &Event::LimitsRejected { ledger, error }),
        }
    })
}
