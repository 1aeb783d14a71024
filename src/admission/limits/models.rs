//! A model of limits that change while they are read, for `loom`.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::sync::model;

pub(crate) fn nobody_sees_some_old_and_some_new_limits() {
    let limits = |n| Limits {
        maximum: n,
        minimum: n,
        write_buffer: WriteBuffer::Bytes(n),
        ..Limits::default()
    };
    model(move || {
        let live = Arc::new(LiveLimits::new(limits(1)));
        let changing = {
            let live = live.clone();
            thread::spawn(move || live.store(limits(2)))
        };
        let seen = live.load();
        assert_eq!(seen, limits(seen.maximum));
        changing.join().expect("ended");
    });
}
