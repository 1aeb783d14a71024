//! What a body holds while it comes, and what of it is closed.

use http_body_util::BodyExt;
use tower_storage_guard::{
    StorageGuardLayer, WriteBuffer,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

const FREE: u64 = 100 << 20;
/// No frame ends where a piece does.
const FRAME: u64 = 700_000;
const BUFFER: u64 = 1 << 20;

fn frames(count: u64) -> ScriptedBody {
    (0..count).fold(ScriptedBody::new(), |body, _| body.data(FRAME as usize))
}

/// What is closed of a body each time the service asks for a frame: whole mebibytes behind the write buffer.
fn closed() -> impl Iterator<Item = u64> {
    let (mut next, mut closed) = (BUFFER + (1 << 20), 0);
    (0..).map(move |frame| {
        let relayed = frame * FRAME;
        if relayed >= next {
            (next, closed) = (relayed + (1 << 20), relayed - BUFFER);
        }
        closed
    })
}

fn guard(disk: &FakeResource) -> StorageGuardLayer {
    let write_buffer = WriteBuffer::Bytes(BUFFER);
    guarding(disk.resource()).write_buffer(write_buffer).build().unwrap()
}

#[tokio::test]
async fn a_body_of_known_length_holds_what_is_not_closed_and_no_more() {
    for count in 1..=12 {
        let disk = FakeResource::new(2 * FREE, FREE);
        let mut body = in_hand(&guard(&disk), frames(count).telling_length(count * FRAME)).await;
        for closed in closed().take(count as usize) {
            body.frame().await.unwrap().unwrap();
            let report = disk.report();
            assert_eq!((report.unseen, report.held), (closed, count * FRAME - closed));
        }
        drop(body);
        let report = disk.report();
        assert_eq!((report.unseen, report.held), (count * FRAME, 0), "{count} frames");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_leaves_closed_what_came() {
    for count in 1..=12 {
        let disk = FakeResource::new(2 * FREE, FREE);
        let mut body = in_hand(&guard(&disk), frames(count)).await;
        for (frame, closed) in (1..=count).zip(closed()) {
            body.frame().await.unwrap().unwrap();
            let report = disk.report();
            assert_eq!(report.unseen, closed);
            let held = report.held;
            assert!(held >= frame * FRAME - closed, "what came is held");
            assert!(held <= frame * FRAME - closed + (1 << 20), "and a leap more at most");
        }
        drop(body);
        let report = disk.report();
        assert_eq!((report.unseen, report.held), (count * FRAME, 0), "{count} frames");
    }
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_gives_all_back() {
    let disk = FakeResource::new(2 * FREE, FREE);
    let body = in_hand(&guard(&disk), frames(3).telling_length(3 * FRAME)).await;
    assert_eq!(disk.report().held, 3 * FRAME);
    drop(body);
    let report = disk.report();
    assert_eq!((report.unseen, report.held, report.headroom), (0, 0, FREE as i64));
}
