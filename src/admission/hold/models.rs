//! Models of a hold, for `loom`: its halves end on different threads, in whatever order.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use loom::thread;

use crate::{
    admission::{Admission, Hold, Limits, LiveLimits, Scope, StorageFailure, Stored, TenantNames, Verdict},
    capacity::{Charge, Demand, Priority, SizeModel},
    sync::model,
    tenant::{Ledger, Limit},
    test_util::FakeResource,
};

const ROOM: u64 = 10;

struct World {
    disk: FakeResource,
    admission: Admission<()>,
}

impl World {
    fn new(tenants: Vec<Ledger>) -> Self {
        let disk = FakeResource::new(ROOM, ROOM);
        let scopes = vec![Scope::new(disk.resource(), Charge::All, SizeModel::EXACT)];
        let limits = Arc::new(LiveLimits::new(Limits::default()));
        let admission = Admission::new(scopes, tenants, limits, Vec::new(), &Arc::new(()));
        Self { disk, admission }
    }

    fn hold(&self, bytes: u64) -> Hold<()> {
        self.admission.try_admit(Demand::Bytes(bytes)).expect("there is room")
    }

    fn held(&self) -> (u64, u64) {
        let report = self.disk.report();
        (report.held, report.unseen)
    }
}

fn ask(body: &mut super::BodyHold<()>) {
    assert!(body.asked(&Context::from_waker(Waker::noop())).is_ready());
}

pub(crate) fn a_hold_ends_once_whoever_goes_last() {
    model(|| {
        let world = World::new(Vec::new());
        let (mut body, response) = world.hold(4).split();
        let reader = thread::spawn(move || {
            ask(&mut body);
            body.relay(4).expect("paid for");
        });
        drop(response);
        reader.join().expect("ended");
        assert_eq!(world.held(), (0, 4), "closed, all of it and once");
    });
}

/// The response says that the storage is full while the body, which was never asked for, goes away.
pub(crate) fn a_failure_is_not_forgotten_by_the_end_of_its_hold() {
    model(|| {
        let world = World::new(Vec::new());
        let (body, response) = world.hold(4).split();
        let reader = thread::spawn(move || drop(body));
        let failure =
            StorageFailure::from_error(&std::io::Error::from(std::io::ErrorKind::StorageFull)).expect("it is one");
        assert!(response.storage_failed(failure).is_some());
        drop(response);
        reader.join().expect("ended");
        assert_eq!(
            world.held(),
            (0, 4),
            "not refunded: the next of its size would be let in"
        );
        assert!(world.disk.report().closed);
    });
}

pub(crate) fn tenants_get_back_what_was_not_stored() {
    model(|| {
        let ledger = Ledger::builder()
            .default_limit(Limit::bytes(ROOM))
            .build()
            .expect("sound");
        let world = World::new(vec![ledger.clone()]);
        let mut names = TenantNames::default();
        names[0] = Some("acme".into());
        let Verdict::Admitted(hold) = world.admission.admit_for(Demand::Bytes(4), Priority::Usual, &names) else {
            panic!("there is room");
        };
        let (mut body, response) = hold.split();
        let reader = thread::spawn(move || {
            ask(&mut body);
            body.relay(3).expect("paid for");
        });
        response.conclude(true, Some(Stored(2)));
        drop(response);
        reader.join().expect("ended");
        let usage = ledger.usage("acme");
        assert_eq!((usage.used, usage.reserved), (2, 0));
        assert_eq!(world.held(), (0, 4));
    });
}

/// A request that begins while the last half of another is still on its way out has nothing of it.
pub(crate) fn a_slot_is_whole_for_its_next_user() {
    model(|| {
        let world = Arc::new(World::new(Vec::new()));
        let (body, response) = world.hold(1).split();
        let ending = thread::spawn(move || drop(response));
        drop(body);
        let (mut body, response) = world.hold(2).split();
        assert!(response.tripped().is_none());
        ask(&mut body);
        drop((body, response));
        ending.join().expect("ended");
        assert_eq!(world.held(), (0, 2), "the first was refunded, the second is closed");
    });
}
