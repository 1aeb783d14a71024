pub(crate) mod child;
mod group;
mod tree;

pub(crate) use child::Child;
pub(crate) use group::{Group, room_in, unused_in};
pub(crate) use tree::{Tree, figures};

pub(crate) const MIB: u64 = 1 << 20;

/// Stops a test that cannot run here, and says why.
macro_rules! or_skip {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        }
    };
}
pub(crate) use or_skip;
