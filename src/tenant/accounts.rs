use super::{limit_book::LimitBook, table::Table};

/// What all tenants of a ledger have charged, and what they may.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) table: Table,
    pub(super) limits: LimitBook,
}
