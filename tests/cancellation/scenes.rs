//! What requests do that are given up.

use std::any::Any;

use http::Extensions;
use tower_storage_guard::test_util::ScriptedBody;

use crate::world::{FREE, Parts, World, world};

pub(crate) const MIB: usize = 1 << 20;

pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// What the client gets, if nobody gives up.
    pub(crate) status: u16,
    pub(crate) style: Style,
    pub(crate) upload: fn() -> ScriptedBody,
    /// Takes out of the request what the handler keeps beyond it.
    pub(crate) keep: Option<Keep>,
    pub(crate) world: Make,
}

/// Takes something out of a request's extensions.
pub(crate) type Keep = fn(&Extensions) -> Box<dyn Any + Send>;

/// How a scene comes by its world.
pub(crate) enum Make {
    New(fn() -> World),
    Old(World),
}

/// What the handler does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    Reads,
    /// Hands the body to somebody else and answers.
    AnswersFirst,
    /// Finds at the end that the disk is full.
    FailsLate,
    /// Finds it after a few frames, and drops the rest.
    FailsHalfWay,
    /// Fails at the end.
    Fails,
}

impl Scene {
    /// A handler that reads its whole body.
    pub(crate) fn new(name: &'static str, status: u16, world: fn() -> World, upload: fn() -> ScriptedBody) -> Self {
        Self {
            name,
            status,
            style: Style::Reads,
            upload,
            keep: None,
            world: Make::New(world),
        }
    }

    pub(crate) fn world(&self) -> World {
        let world = match &self.world {
            Make::New(make) => make(),
            Make::Old(world) => world.clone(),
        };
        if let (true, Some(store)) = (world.store_fails, &world.store) {
            store.fail("out of order");
        }
        world
    }

    /// The same once more, where another was before.
    pub(crate) fn clone_for(&self, world: &World) -> Self {
        for ledger in &world.ledgers {
            ledger.credit("t", ledger.usage("t").used.saturating_sub(world.before));
        }
        world.settle();
        Self {
            name: self.name,
            status: self.status,
            style: self.style,
            upload: self.upload,
            keep: self.keep,
            world: Make::Old(world.clone()),
        }
    }
}

/// Frames of a tenth of a MiB, with pauses.
pub(crate) fn frames(count: usize) -> ScriptedBody {
    (0..count).fold(ScriptedBody::new(), |body, _| body.data(MIB / 10).pause())
}

pub(crate) fn scenes() -> Vec<Scene> {
    let scene = Scene::new;
    let plain = || {
        world(Parts {
            disks: vec![FREE],
            ..Parts::default()
        })
    };
    let known = || frames(8).telling_length((8 * (MIB / 10)) as u64);
    let unknown = || frames(8);
    let quota = || {
        world(Parts {
            disks: vec![FREE],
            limits: vec![1 << 20],
            before: 1000,
            ..Parts::default()
        })
    };
    let leased = || {
        world(Parts {
            disks: vec![FREE],
            leased: Some(2 << 20),
            before: 1000,
            ..Parts::default()
        })
    };
    vec![
        scene("known length", 200, plain, known),
        scene("unknown length", 200, plain, unknown),
        scene("nothing", 200, plain, || ScriptedBody::new().telling_length(0)),
        scene("trailers", 200, plain, || frames(3).trailers()),
        scene("an error in the body", 500, plain, || {
            frames(3).error("the client is gone")
        }),
        scene("less than was announced", 500, plain, || {
            frames(3).error("the client is gone").telling_length(FREE)
        }),
        scene(
            "a large body that is closed early",
            200,
            || {
                world(Parts {
                    disks: vec![FREE],
                    write_buffer: Some(0),
                    ..Parts::default()
                })
            },
            || {
                (0..12)
                    .fold(ScriptedBody::new(), |body, _| body.data(MIB).pause())
                    .telling_length(12 << 20)
            },
        ),
        scene(
            "no room",
            507,
            || {
                world(Parts {
                    disks: vec![1000],
                    ..Parts::default()
                })
            },
            known,
        ),
        scene(
            "cut off",
            507,
            || {
                world(Parts {
                    disks: vec![400_000],
                    ..Parts::default()
                })
            },
            unknown,
        ),
        scene("never any room", 413, plain, || frames(1).telling_length(1 << 50)),
        scene(
            "two disks",
            200,
            || {
                world(Parts {
                    disks: vec![FREE, FREE],
                    ..Parts::default()
                })
            },
            unknown,
        ),
        scene(
            "the second disk refuses",
            507,
            || {
                world(Parts {
                    disks: vec![FREE, 1000],
                    ..Parts::default()
                })
            },
            known,
        ),
        scene(
            "the second disk cuts off",
            507,
            || {
                world(Parts {
                    disks: vec![FREE, 400_000],
                    ..Parts::default()
                })
            },
            unknown,
        ),
        scene("a quota", 200, quota, known),
        scene("a quota and unknown length", 200, quota, unknown),
        scene("a quota cuts off", 507, quota, || frames(12)),
        scene(
            "two quotas of which one refuses",
            413,
            || {
                world(Parts {
                    limits: vec![1 << 20, 500_000],
                    ..Parts::default()
                })
            },
            known,
        ),
        scene(
            "two quotas of which one cuts off",
            507,
            || {
                world(Parts {
                    limits: vec![1 << 20, 600_000],
                    before: 100_000,
                    ..Parts::default()
                })
            },
            || frames(6),
        ),
        scene(
            "reported only",
            200,
            || {
                world(Parts {
                    disks: vec![1000],
                    limits: vec![500_000],
                    report_only: true,
                    ..Parts::default()
                })
            },
            unknown,
        ),
        scene("waits for a store", 200, leased, known),
        scene("waits for a store between frames", 200, leased, || frames(15)),
        scene("a store cuts off", 507, leased, || frames(25)),
        scene("a store refuses", 413, leased, || frames(1).telling_length(3 << 20)),
        scene(
            "a store does not answer",
            503,
            || {
                world(Parts {
                    leased: Some(2 << 20),
                    store_fails: true,
                    ..Parts::default()
                })
            },
            known,
        ),
        scene(
            "a store grants and the disk refuses",
            507,
            || {
                world(Parts {
                    disks: vec![1000],
                    leased: Some(2 << 20),
                    ..Parts::default()
                })
            },
            known,
        ),
        scene(
            "one quota waits and the other is here",
            200,
            || {
                world(Parts {
                    limits: vec![1 << 20],
                    leased: Some(2 << 20),
                    ..Parts::default()
                })
            },
            known,
        ),
        Scene {
            style: Style::AnswersFirst,
            ..scene("answered first", 200, quota, known)
        },
        Scene {
            style: Style::AnswersFirst,
            ..scene("answered first, then cut off", 200, quota, || frames(12))
        },
        Scene {
            style: Style::AnswersFirst,
            ..scene("answered first, waits for a store", 200, leased, || frames(15))
        },
        Scene {
            style: Style::FailsLate,
            ..scene("a late failure", 507, quota, known)
        },
        Scene {
            style: Style::FailsHalfWay,
            ..scene("a late failure while the client sends", 507, plain, known)
        },
        Scene {
            style: Style::FailsHalfWay,
            ..scene("a late failure of unknown length", 507, quota, unknown)
        },
        Scene {
            style: Style::Fails,
            ..scene("an error of the handler", 500, quota, unknown)
        },
    ]
}
