//! Models of the account and of what it stands on, for `loom`.

use std::{sync::Arc, time::Duration};

use loom::thread;

use super::{Account, Reconciler};
use crate::sync::{
    atomic::{
        AtomicBool, AtomicI64,
        Ordering::{AcqRel, Acquire},
    },
    model,
};

/// Two uploads and a sampler on a disk with room for one: nobody writes more than there is, and in the end what is left is
/// what may be admitted.
pub(crate) fn what_fits_an_account_fits_the_disk() {
    model(|| {
        let account = Arc::new(Account::new(0));
        let free = Arc::new(AtomicI64::new(1));
        let mut sampler = Reconciler::open(&account, 1);
        let uploads: Vec<_> = (0..2)
            .map(|_| {
                let (account, free) = (account.clone(), free.clone());
                thread::spawn(move || {
                    if account.try_reserve(1) {
                        assert!(free.fetch_sub(1, AcqRel) > 0, "no space left on device");
                        account.close(1);
                    }
                })
            })
            .collect();
        sample(&mut sampler, &account, &free);
        uploads.into_iter().for_each(|upload| upload.join().expect("ended"));
        sample(&mut sampler, &account, &free);
        assert_eq!(account.headroom(), free.load(Acquire));
        assert!(account.headroom() >= 0);
    });
}

fn sample(sampler: &mut Reconciler, account: &Account, free: &AtomicI64) {
    sampler.before_measuring(account, Duration::ZERO, Duration::ZERO);
    let reading = free.load(Acquire);
    sampler.after_measuring(account, reading, Some(Duration::ZERO));
}

/// Whatever the sampler takes and others close meanwhile, each byte comes back by one sample.
pub(crate) fn closed_bytes_return_once() {
    model(|| {
        let account = Arc::new(Account::new(0));
        let mut sampler = Reconciler::open(&account, 4);
        assert!(account.try_reserve(4));
        let closing: Vec<_> = [1, 3]
            .map(|bytes| {
                let account = account.clone();
                thread::spawn(move || {
                    account.close(bytes);
                })
            })
            .into_iter()
            .collect();
        let mut seen = 0;
        let mut take = || {
            sampler.before_measuring(&account, Duration::ZERO, Duration::ZERO);
            seen += sampler.after_measuring(&account, 0, Some(Duration::ZERO));
        };
        take();
        closing.into_iter().for_each(|thread| thread.join().expect("ended"));
        take();
        assert_eq!((seen, account.headroom(), account.closed()), (4, 0, 0));
    });
}
