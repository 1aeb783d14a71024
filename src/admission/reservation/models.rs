//! Models of a reservation, for `loom`: its holders go on different threads, in whatever order.

use std::{
    any::Any,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use loom::thread;

use crate::{
    admission::{
        Admission, Admitted, BodyReservation, Decision, Growth, LayerContext, Limits, LiveLimits, ParkedBody,
        StorageFailure, Stored, TenantNames,
    },
    capacity::{Charge, Claim, Reason, Refusal, SizeModel},
    sync::model,
    tenant::{Ledger, Limit},
    test_util::FakeResource,
};

const ROOM: u64 = 10;

struct World {
    disk: FakeResource,
    admission: Admission,
}

impl World {
    fn new(ledgers: Vec<Ledger>) -> Self {
        let disk = FakeResource::new(ROOM, ROOM);
        let resources = vec![(disk.resource(), Charge::All)];
        let limits = Arc::new(LiveLimits::new(Limits::default()));
        let admission = Admission::new(resources, SizeModel::EXACT, ledgers, limits, Vec::new(), Arc::new(()));
        Self { disk, admission }
    }

    fn reserve(&self, bytes: u64) -> Admitted {
        self.admission.reserve(&claim(bytes)).expect("there is room")
    }

    fn held(&self) -> (u64, u64) {
        let report = self.disk.report();
        (report.held, report.unseen)
    }
}

fn claim(bytes: u64) -> Claim {
    Claim {
        bytes,
        ..Claim::default()
    }
}

fn relay(body: &mut BodyReservation, bytes: u64) {
    if body.before_frame() {
        body.close_written();
    }
    if !body.relay(bytes) && !body.grow_ahead(bytes) {
        let outcome = body.grow(&mut Growth::new(bytes), &Context::from_waker(Waker::noop()));
        assert!(matches!(outcome, Poll::Ready(Ok(()))), "paid for");
    }
}

pub(crate) fn a_reservation_ends_once_whoever_goes_last() {
    model(|| {
        let world = World::new(Vec::new());
        let (mut body, response) = world.reserve(4);
        let reader = thread::spawn(move || relay(&mut body, 4));
        drop(response);
        reader.join().expect("ended");
        assert_eq!(world.held(), (0, 4), "closed, all of it and once");
    });
}

pub(crate) fn a_reservation_ends_once_with_three_holders() {
    model(|| {
        let world = World::new(Vec::new());
        let (mut body, response) = world.reserve(4);
        let handle = response.expose().expect("reserved");
        let reader = thread::spawn(move || relay(&mut body, 4));
        let writer = thread::spawn(move || drop(handle));
        drop(response);
        reader.join().expect("ended");
        writer.join().expect("ended");
        assert_eq!(world.held(), (0, 4), "closed, all of it and once");
    });
}

pub(crate) fn what_never_came_is_refunded_once() {
    model(|| {
        let world = World::new(Vec::new());
        let (mut body, response) = world.reserve(4);
        let reader = thread::spawn(move || relay(&mut body, 1));
        drop(response);
        reader.join().expect("ended");
        assert_eq!(world.held(), (0, 1));
    });
}

/// The response says that the storage is full while the body, which was never read, goes away.
pub(crate) fn a_failure_closes_the_resource_at_once() {
    model(|| {
        let world = World::new(Vec::new());
        let (body, response) = world.reserve(4);
        let reader = thread::spawn(move || drop(body));
        let failure =
            StorageFailure::from_error(&std::io::Error::from(std::io::ErrorKind::StorageFull)).expect("it is one");
        assert!(response.storage_failed(failure).is_some());
        assert!(world.admission.reserve(&claim(1)).is_err());
        drop(response);
        reader.join().expect("ended");
        assert_eq!(world.held(), (0, 0), "nothing came");
        assert!(world.admission.reserve(&claim(1)).is_err());
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
        let Decision::Admitted((mut body, response)) = world.admission.admit_for(&claim(4), &names) else {
            panic!("there is room");
        };
        let reader = thread::spawn(move || relay(&mut body, 3));
        response.note_outcome(true, Some(Stored(2)));
        drop(response);
        reader.join().expect("ended");
        let usage = ledger.usage("acme");
        assert_eq!((usage.used, usage.reserved), (2, 0));
        assert_eq!(world.held(), (0, 3));
    });
}

/// A request that begins while the last part of another may still be on its way out has nothing of it.
pub(crate) fn a_kept_slot_is_whole_for_its_next_request() {
    model(|| {
        let world = World::new(Vec::new());
        let (mut body, response) = world.reserve(3);
        let ending = thread::spawn(move || drop(response));
        relay(&mut body, 1);
        body.cut_off(Refusal::new(Reason::Space));
        drop(body);
        let (mut body, response) = world.reserve(2);
        assert!(response.cut_off().is_none() && !response.needs_inspection());
        relay(&mut body, 2);
        drop((body, response));
        ending.join().expect("ended");
        assert_eq!(world.held(), (0, 3), "each closed what it brought");
    });
}

struct Parked(#[expect(dead_code, reason = "counted")] Arc<()>);

impl ParkedBody for Parked {
    fn discard(self: Pin<Box<Self>>) {}

    fn keep(self: Pin<Box<Self>>, _: &LayerContext, _: u8) -> Option<Box<dyn Any + Send>> {
        None
    }
}

/// A handler drops its body early while the response is decided: the body is dropped with one of them, whatever the order.
pub(crate) fn a_parked_body_goes_with_its_response() {
    model(|| {
        let world = World::new(Vec::new());
        let (body, response) = world.reserve(1);
        let handle = response.expose().expect("reserved");
        let parked = Arc::new(());
        let seen = parked.clone();
        let reader = thread::spawn(move || body.park(Box::pin(Parked(parked))));
        drop(response);
        reader.join().expect("ended");
        assert_eq!(Arc::strong_count(&seen), 1, "the handle does not keep it");
        drop(handle);
    });
}
