use std::thread;

use super::*;

fn limits(n: u64) -> Limits {
    Limits {
        maximum: n,
        minimum: n,
        require_length: n % 2 == 0,
        write_buffer: WriteBuffer::Bytes(n),
        report_only: n % 2 == 0,
    }
}

fn copied(copy: &LimitsCopy) -> (u64, u64, bool, u64) {
    (
        copy.maximum(),
        copy.minimum(),
        copy.require_length(),
        copy.write_buffer(),
    )
}

#[test]
fn what_is_stored_is_loaded() {
    let whole = Limits {
        write_buffer: WriteBuffer::Whole,
        ..limits(3)
    };
    let copy = LimitsCopy::default();
    for stored in [Limits::default(), limits(1), limits(2), whole] {
        let live = LiveLimits::default();
        live.store(stored);
        assert_eq!(live.load(), stored);
        assert_eq!(
            (live.maximum(), live.report_only()),
            (stored.maximum, stored.report_only)
        );
        copy.renew(&live);
        let write_buffer = match stored.write_buffer {
            WriteBuffer::Bytes(bytes) => bytes,
            WriteBuffer::Whole => u64::MAX,
        };
        let expected = (stored.maximum, stored.minimum, stored.require_length, write_buffer);
        assert_eq!(copied(&copy), expected);
        assert_eq!(copy.first_close(), Closing::new(stored.write_buffer).to_parts().1);
    }
}

#[test]
fn a_new_copy_is_renewed() {
    let copy = LimitsCopy::default();
    copy.update(&LiveLimits::new(limits(7)));
    assert_eq!(copied(&copy), (7, 7, false, 7));
}

#[test]
fn nobody_sees_some_old_and_some_new() {
    let live = &LiveLimits::new(limits(0));
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let copy = LimitsCopy::default();
                while !done.load(Relaxed) {
                    copy.update(live);
                    let n = copy.maximum();
                    assert_eq!(copied(&copy), (n, n, n % 2 == 0, n));
                }
            });
        }
        for n in 0..200_000 {
            live.store(limits(n));
        }
        done.store(true, Relaxed);
    });
}
