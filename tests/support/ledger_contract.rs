//! What every ledger does, whatever keeps it: random sequences of operations against a model of a few lines.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tower_storage_guard::{DeniedKind, Grant, Ledger, Limit};

/// The limit of all whom the model does not know better.
pub(crate) const DEFAULT: u64 = 1000;

#[derive(Clone, Debug)]
enum Operation {
    Reserve(&'static str, u64),
    Extend(usize, u64),
    Commit(usize, u64),
    Drop(usize),
    /// A part of what is stored, in percent.
    Credit(&'static str, u64),
    Charge(&'static str, u64),
    SetLimit(&'static str, Option<Limit>),
    Reconcile(&'static str, u64),
}

fn operations() -> impl Strategy<Value = Operation> {
    let tenant = || prop_oneof![Just("a"), Just("b"), Just("a tenant with quite a long name: ü")];
    let limit = prop_oneof![
        Just(None),
        Just(Some(Limit::UNLIMITED)),
        (0..3000_u64).prop_map(|bytes| Some(Limit::bytes(bytes))),
    ];
    prop_oneof![
        6 => (tenant(), 0..1300_u64).prop_map(|(tenant, bytes)| Operation::Reserve(tenant, bytes)),
        2 => (any::<usize>(), 0..400_u64).prop_map(|(grant, bytes)| Operation::Extend(grant, bytes)),
        4 => (any::<usize>(), 0..1300_u64).prop_map(|(grant, bytes)| Operation::Commit(grant, bytes)),
        2 => any::<usize>().prop_map(Operation::Drop),
        2 => (tenant(), 0..=100_u64).prop_map(|(tenant, percent)| Operation::Credit(tenant, percent)),
        1 => (tenant(), 0..300_u64).prop_map(|(tenant, bytes)| Operation::Charge(tenant, bytes)),
        1 => (tenant(), limit).prop_map(|(tenant, limit)| Operation::SetLimit(tenant, limit)),
        1 => (tenant(), 0..1200_u64).prop_map(|(tenant, bytes)| Operation::Reconcile(tenant, bytes)),
    ]
}

/// The model: sums, and nothing else.
#[derive(Default)]
struct Model {
    accounts: BTreeMap<&'static str, Account>,
    grants: Vec<(&'static str, u64)>,
}

struct Account {
    used: u64,
    reserved: u64,
    limit: Limit,
}

impl Model {
    fn account(&mut self, tenant: &'static str) -> &mut Account {
        self.accounts.entry(tenant).or_insert(Account {
            used: 0,
            reserved: 0,
            limit: Limit::bytes(DEFAULT),
        })
    }

    fn reserve(&mut self, tenant: &'static str, bytes: u64) -> Result<(), DeniedKind> {
        let account = self.account(tenant);
        let limit = account.limit.as_bytes().unwrap_or(u64::MAX);
        if bytes > limit {
            return Err(DeniedKind::ExceedsQuota);
        }
        if account.used + account.reserved + bytes > limit {
            return Err(DeniedKind::Quota);
        }
        account.reserved += bytes;
        Ok(())
    }

    fn settle(&mut self, grant: usize, stored: u64) {
        let (tenant, reserved) = self.grants.swap_remove(grant);
        let account = self.account(tenant);
        account.reserved -= reserved;
        account.used += stored;
    }
}

/// Ledgers that are made like this keep the contract. They begin with nothing, and a limit of [`DEFAULT`].
pub(crate) fn keeps_the_contract(cases: u32, ledger: impl Fn() -> Ledger) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let sequences = proptest::collection::vec(operations(), 1..40);
    TestRunner::new(config)
        .run(&sequences, |sequence| {
            let ledger = ledger();
            let mut grants = Vec::new();
            let mut model = Model::default();
            for operation in &sequence {
                apply(operation, &ledger, &mut grants, &mut model)?;
            }
            drop(grants);
            ledger.close();
            Ok(())
        })
        .unwrap();
}

fn apply(
    operation: &Operation,
    ledger: &Ledger,
    grants: &mut Vec<Grant>,
    model: &mut Model,
) -> Result<(), TestCaseError> {
    let pick = |grant: usize, grants: &Vec<Grant>| (!grants.is_empty()).then(|| grant % grants.len());
    let tenant = match *operation {
        Operation::Reserve(tenant, bytes) => {
            let expected = model.reserve(tenant, bytes);
            // With leases nothing is asked for a request of no bytes, so it may pass where nothing fits.
            let outcome = ledger
                .reserve(tenant, bytes.max(1))
                .wait()
                .map_err(|denied| denied.kind());
            let expected = if bytes == 0 { model.reserve(tenant, 1) } else { expected };
            prop_assert_eq!(outcome.as_ref().map(|_| ()).map_err(|kind| *kind), expected);
            if let Ok(grant) = outcome {
                grants.push(grant);
                model.grants.push((tenant, bytes.max(1)));
            }
            tenant
        }
        Operation::Extend(grant, bytes) => {
            let Some(place) = pick(grant, grants) else {
                return Ok(());
            };
            let tenant = model.grants[place].0;
            match grants[place].extend(bytes) {
                Ok(()) => {
                    prop_assert!(bytes == 0 || model.reserve(tenant, bytes).is_ok(), "more than there is");
                    model.grants[place].1 += bytes;
                }
                // It does not wait, so with leases it may be told that it would have to.
                Err(denied) if denied.kind() == DeniedKind::WouldWait => {}
                Err(denied) => prop_assert_eq!(model.reserve(tenant, bytes), Err(denied.kind())),
            }
            tenant
        }
        Operation::Commit(grant, bytes) => {
            let Some(place) = pick(grant, grants) else {
                return Ok(());
            };
            let tenant = model.grants[place].0;
            grants.swap_remove(place).commit(bytes);
            model.settle(place, bytes);
            tenant
        }
        Operation::Drop(grant) => {
            let Some(place) = pick(grant, grants) else {
                return Ok(());
            };
            let tenant = model.grants[place].0;
            drop(grants.swap_remove(place));
            model.settle(place, 0);
            tenant
        }
        Operation::Credit(tenant, percent) => {
            let bytes = model.account(tenant).used * percent / 100;
            ledger.credit(tenant, bytes);
            model.account(tenant).used -= bytes;
            tenant
        }
        Operation::Charge(tenant, bytes) => {
            ledger.charge(tenant, bytes);
            model.account(tenant).used += bytes;
            tenant
        }
        Operation::SetLimit(tenant, limit) => {
            ledger.set_limit(tenant, limit).unwrap();
            model.account(tenant).limit = limit.unwrap_or(Limit::bytes(DEFAULT));
            tenant
        }
        Operation::Reconcile(tenant, measured) => {
            let scan = ledger.scan(tenant).wait().unwrap();
            prop_assert_eq!(scan.used(), model.account(tenant).used);
            scan.reconcile(measured);
            model.account(tenant).used = measured;
            tenant
        }
    };
    let scan = ledger.scan(tenant).wait().unwrap();
    let account = model.account(tenant);
    prop_assert_eq!(
        (scan.used(), ledger.usage(tenant).reserved),
        (account.used, account.reserved),
        "{:?}",
        operation
    );
    Ok(())
}
