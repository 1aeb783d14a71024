//! Wherever a request is given up, all that it held comes back. The places are not picked but counted: a run to the end tells
//! how often each thing is polled, and then each of these polls is the last one once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod run;
mod scenes;
mod third_holder;
#[path = "../support/watched.rs"]
mod watched;
mod world;

use run::{Cut, Ran, run};
use scenes::{Scene, scenes};

/// Fewer would mean that the scenes do not do what they are there for.
const AT_LEAST: [(&str, usize); 4] = [
    ("the response future", 285),
    ("the request body", 410),
    ("the handler", 410),
    ("the response body", 100),
];

/// The cut after so many polls.
type At = fn(usize) -> Cut;

#[test]
fn every_poll_may_be_the_last() {
    let mut counted = AT_LEAST.map(|(what, _)| (what, 0));
    for scene in scenes().into_iter().chain(third_holder::scenes()) {
        let full = run(&scene, Cut::Never);
        assert_eq!(
            full.status, scene.status,
            "{}: so it is what it says that it is",
            scene.name
        );
        all_is_back(&scene, &full, Cut::Never);
        let cuts: [(usize, At); 4] = [
            (full.moves, Cut::Future),
            (full.body_polls, Cut::RequestBody),
            (full.body_polls, Cut::Panic),
            (full.response_polls, Cut::ResponseBody),
        ];
        for ((points, cut), (_, count)) in cuts.into_iter().zip(&mut counted) {
            // Before the first one, too.
            for point in 0..points {
                let cut = cut(point);
                let ran = run(&scene, cut);
                assert!(ran.was_cut, "{}: {cut:?} of {points} did not happen", scene.name);
                all_is_back(&scene, &ran, cut);
                *count += 1;
            }
        }
    }
    println!("the last poll once: {counted:?}");
    for ((what, least), (_, count)) in AT_LEAST.into_iter().zip(counted) {
        assert!(count >= least, "only {count} polls of {what} were the last once");
    }
}

/// Nothing is held, nothing is charged that was not stored, and nobody has a waker of somebody who is gone.
fn all_is_back(scene: &Scene, ran: &Ran, cut: Cut) {
    let name = format!("{}, {cut:?}", scene.name);
    assert_eq!(ran.wakers, 0, "{name}: wakers are left behind");
    assert!(!ran.is_body_left, "{name}: the client's body is left behind");
    let world = &ran.world;
    assert_eq!(world.layer.report().lingering, 0, "{name}: connections are left behind");
    for &(held, unseen) in &ran.while_kept {
        assert!(
            held >= ran.handed && unseen == 0,
            "{name}: {held} are held of what is kept"
        );
    }
    for (disk, free) in &world.disks {
        let report = disk.report();
        assert_eq!(report.held, 0, "{name}: held by nobody");
        if !world.reports_only {
            assert_eq!(report.unseen, ran.handed, "{name}: closed is what came");
        }
        let report = disk.sample();
        assert_eq!(report.headroom, *free, "{name}: headroom is the reading less the floor");
        assert_eq!((report.held, report.unseen), (0, 0), "{name}");
        // The same again, so that nothing is given back late or twice.
        assert_eq!(disk.sample().headroom, *free, "{name}");
    }
    for ledger in &world.ledgers {
        assert_eq!(ledger.usage("t").reserved, 0, "{name}: reserved for nobody");
    }
    world.settle();
    for ledger in &world.ledgers {
        let used = match &world.store {
            Some(store) if ledger.name() == "leased" => {
                let record = store.record("t");
                let held: u64 = record
                    .iter()
                    .flat_map(|record| record.nodes.values())
                    .map(|node| node.hold)
                    .sum();
                assert_eq!(held, 0, "{name}: leased for nobody");
                record.map_or(0, |record| record.used())
            }
            _ => ledger.usage("t").used,
        };
        assert_eq!(used, world.before + ran.stored, "{name}: what is stored");
    }
    // And the next one comes in as the first did.
    let mut next = scene.clone_for(world);
    next.name = "the next one";
    let again = run(&next, Cut::Never);
    assert_eq!(again.status, scene.status, "{name}: the next one");
}
