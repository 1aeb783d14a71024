//! Handlers that keep their reservation beyond the request: whatever else is given up, it goes last.

use tower_storage_guard::Reservation;

use crate::{
    scenes::{MIB, Scene, Style, frames},
    world::{FREE, Parts, World, world},
};

pub(crate) fn scenes() -> Vec<Scene> {
    let known = || frames(8).telling_length((8 * (MIB / 10)) as u64);
    let kept = |scene| Scene {
        keep: Some(|extensions| {
            let handle = extensions.get::<Reservation>();
            Box::new(handle.expect("a reservation").clone())
        }),
        ..scene
    };
    vec![
        kept(Scene::new("kept, of known length", 200, exposing, known)),
        kept(Scene::new("kept, of unknown length", 200, exposing, || frames(8))),
        kept(Scene::new("kept, less than was announced", 500, exposing, || {
            frames(3).error("the client is gone").telling_length(FREE)
        })),
        kept(Scene::new("kept, cut off", 507, exposing_little, || frames(8))),
        kept(Scene {
            style: Style::AnswersFirst,
            ..Scene::new("kept, answered first", 200, exposing, known)
        }),
        kept(Scene {
            style: Style::FailsHalfWay,
            ..Scene::new("kept, a late failure", 507, exposing, known)
        }),
        kept(Scene {
            style: Style::Fails,
            ..Scene::new("kept, an error of the handler", 500, exposing, || frames(8))
        }),
        kept(Scene::new("kept, waits for a store", 200, exposing_leased, || {
            frames(15)
        })),
    ]
}

fn parts(disk: u64) -> Parts {
    Parts {
        disks: vec![disk],
        settings: Some(|builder| builder.expose_reservation(true)),
        ..Parts::default()
    }
}

fn exposing() -> World {
    world(Parts {
        limits: vec![1 << 40],
        ..parts(FREE)
    })
}

fn exposing_little() -> World {
    world(parts(400_000))
}

fn exposing_leased() -> World {
    world(Parts {
        leased: Some(2 << 20),
        ..parts(FREE)
    })
}
