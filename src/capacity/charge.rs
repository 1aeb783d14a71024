/// How much of a resource a body of *n* bytes takes up: `n × factor + overhead`, rounded up to the resource's block size.
///
/// The default counts every byte once, and what the file system itself needs: a block (a hundred files of one byte took
/// 410 KB on ext4), and 16 bytes for each block after the fourth, because free space may lie in pieces of one block, each
/// of which is remembered (in 12 bytes on ext4). A store that keeps two copies has a factor of 2.
///
/// ```
/// use tower_storage_guard::SizeModel;
///
/// let mirrored = SizeModel::default().factor(2.0).overhead(512);
/// assert_eq!(mirrored.size_of(1000, 1), 2512);
/// assert_eq!(SizeModel::default().size_of(1, 4096), 8192);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct SizeModel {
    factor: f64,
    /// The factor in 1,048,576ths, so that the request path needs no floating point.
    scaled_factor: u64,
    overhead: Option<u64>,
}

const UNIT: u64 = 1 << 20;
const LARGEST_FACTOR: f64 = 1000.0;
/// So many pieces of a file are remembered in its inode.
const PIECES_IN_PLACE: u64 = 4;
/// Each further one takes so many bytes of blocks that hold nothing else.
const BYTES_A_PIECE: u64 = 16;
const SMALLEST_BLOCK: u64 = 512;

impl SizeModel {
    /// Every byte counts once, and nothing else.
    pub const EXACT: Self = Self {
        factor: 1.0,
        scaled_factor: UNIT,
        overhead: Some(0),
    };

    /// Sets how many bytes are stored for one that is sent: above 0, at most 1000. Checked by `build`.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self.scaled_factor = (factor * UNIT as f64).ceil() as u64;
        self
    }

    /// Sets what every request takes beyond its bytes, instead of what a file system needs. (Where a resource has no
    /// blocks the default is nothing.)
    pub const fn overhead(mut self, bytes: u64) -> Self {
        self.overhead = Some(bytes);
        self
    }

    /// What a body of `bytes` takes up on a resource with this block size. Saturates.
    #[must_use]
    pub fn size_of(&self, bytes: u64, block_size: u32) -> u64 {
        let block = u64::from(block_size.max(1));
        let scaled = self.scale(bytes);
        let overhead = match self.overhead {
            Some(overhead) => overhead,
            None if block == 1 => 0,
            // No file system has blocks as small as that.
            None if block < SMALLEST_BLOCK => block,
            None => {
                let pieces = (scaled / block).saturating_sub(PIECES_IN_PLACE);
                pieces.saturating_mul(BYTES_A_PIECE).saturating_add(block)
            }
        };
        round_up(scaled.saturating_add(overhead), block)
    }

    fn scale(&self, bytes: u64) -> u64 {
        if self.scaled_factor == UNIT {
            return bytes;
        }
        let scaled = (u128::from(bytes) * u128::from(self.scaled_factor)).div_ceil(u128::from(UNIT));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    pub(crate) fn flaw(&self) -> Option<(String, &'static str)> {
        let sound = self.factor > 0.0 && self.factor <= LARGEST_FACTOR;
        (!sound).then(|| (self.factor.to_string(), "give a factor above 0 and at most 1000"))
    }
}

impl Default for SizeModel {
    /// Every byte once, and what a file system needs for itself.
    fn default() -> Self {
        Self {
            factor: 1.0,
            scaled_factor: UNIT,
            overhead: None,
        }
    }
}

/// Rounds up to a multiple; what would overflow stays [`u64::MAX`].
fn round_up(bytes: u64, block: u64) -> u64 {
    if block.is_power_of_two() {
        return bytes.checked_add(block - 1).map_or(u64::MAX, |sum| sum & !(block - 1));
    }
    bytes.checked_next_multiple_of(block).unwrap_or(u64::MAX)
}

/// Which part of a body lands on a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Charge {
    /// All of it, as on the disk it is written to.
    #[default]
    All,
    /// At most this many bytes at a time, as in the memory of a handler that streams: it holds a window, not the body.
    Window(u64),
    /// This many of the resource's units for every request, whatever its length: one place in a queue, one row. Neither
    /// the size model nor blocks apply.
    Each(u64),
    /// None: the resource only gates, by being full or failing.
    Nothing,
}

/// A charge and a size model, resolved against one resource's block size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChargeModel {
    charge: Charge,
    model: SizeModel,
    block_size: u32,
    /// Where whole bodies are charged by the default model and a block is a power of two, as on any disk, that power; 0
    /// elsewhere. A division costs as much as all the rest.
    shift: u8,
}

impl ChargeModel {
    pub(crate) fn new(charge: Charge, model: SizeModel, block_size: u32) -> Self {
        let is_usual = charge == Charge::All && model.scaled_factor == UNIT && model.overhead.is_none();
        let is_usual = is_usual && block_size.is_power_of_two() && u64::from(block_size) >= SMALLEST_BLOCK;
        Self {
            charge,
            model,
            block_size,
            // At most 31.
            shift: if is_usual { block_size.trailing_zeros() as u8 } else { 0 },
        }
    }

    #[inline]
    pub(crate) fn charge(&self) -> Charge {
        self.charge
    }

    /// What a request takes that stores `bytes` in all.
    #[inline(always)]
    pub(crate) fn total(&self, bytes: u64) -> u64 {
        if self.shift == 0 || bytes > u64::MAX / 2 {
            return self.total_slow(bytes);
        }
        let block = 1 << self.shift;
        let pieces = (bytes >> self.shift).saturating_sub(PIECES_IN_PLACE);
        // Rounded up, and one block more.
        (bytes + pieces * BYTES_A_PIECE + 2 * block - 1) & !(block - 1)
    }

    #[inline(never)]
    fn total_slow(&self, bytes: u64) -> u64 {
        match self.charge {
            Charge::All => self.model.size_of(bytes, self.block_size),
            Charge::Window(window) => self.model.size_of(bytes.min(window), self.block_size),
            Charge::Each(units) => units,
            Charge::Nothing => 0,
        }
    }

    /// What is certainly on the resource once `bytes` were written: never more than [`total`](Self::total), and nothing
    /// for a window, which is in use as long as the body flows.
    pub(crate) fn written(&self, bytes: u64) -> u64 {
        match self.charge {
            Charge::All => self.model.scale(bytes),
            Charge::Window(_) | Charge::Each(_) | Charge::Nothing => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounds_up_to_blocks_and_saturates() {
        let model = SizeModel::default();
        assert_eq!(model.size_of(0, 4096), 4096);
        assert_eq!(model.size_of(4096, 4096), 8192);
        assert_eq!(model.size_of(4097, 4096), 12288);
        assert_eq!(
            model.size_of(1000 * 4096, 4096),
            1005 * 4096,
            "a thousand pieces need five blocks more"
        );
        assert_eq!(model.size_of(10, 1), 10);
        assert_eq!(SizeModel::EXACT.size_of(10, 3), 12);
        assert_eq!(model.size_of(u64::MAX, 4096), u64::MAX);
        assert_eq!(model.factor(2.0).size_of(u64::MAX, 3), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_tariff_comes_to_the_same_as_its_model(
            bytes in prop_oneof![any::<u64>(), 0..1_u64 << 40, u64::MAX / 2 - 9..u64::MAX / 2 + 9],
            block in prop_oneof![(0..32_u32).prop_map(|shift| 1 << shift), any::<u32>()],
            overhead in proptest::option::of(0..10_000_u64),
        ) {
            let default = SizeModel::default();
            let model = overhead.map_or(default, |overhead| default.overhead(overhead));
            prop_assert_eq!(ChargeModel::new(Charge::All, model, block).total(bytes), model.size_of(bytes, block));
        }
    }

    #[test]
    fn copies_and_overhead_count() {
        let twice = SizeModel::default().factor(2.0);
        assert_eq!(twice.size_of(1000, 1), 2000);
        assert_eq!(twice.overhead(512).size_of(1000, 1), 2512);
        assert_eq!(SizeModel::EXACT.factor(0.5).size_of(1001, 1), 501);
        assert_eq!(ChargeModel::new(Charge::All, twice, 1).written(1000), 2000);
    }

    #[test]
    fn blocks_are_remembered_from_512_bytes_on() {
        let model = SizeModel::default();
        assert_eq!(model.size_of(1000 * 256, 256), 1001 * 256);
        assert_eq!(model.size_of(1000 * 511, 511), 1001 * 511);
        // A block, and 996 pieces of 16 bytes in 32 more.
        assert_eq!(model.size_of(1000 * 512, 512), 1033 * 512);
    }

    #[test]
    fn a_tariff_comes_to_the_same_at_the_edges_of_blocks() {
        for block in [512, 4096, 1 << 20] {
            let tariff = ChargeModel::new(Charge::All, SizeModel::default(), block);
            assert_eq!(tariff.total(u64::MAX), u64::MAX);
            for blocks in 0..300 {
                let edge = u64::from(block) * blocks;
                for bytes in [edge.saturating_sub(1), edge, edge + 1] {
                    assert_eq!(
                        tariff.total(bytes),
                        SizeModel::default().size_of(bytes, block),
                        "{bytes}"
                    );
                }
            }
        }
    }

    #[test]
    fn names_a_factor_that_makes_no_sense() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1000.1] {
            assert!(SizeModel::default().factor(bad).flaw().is_some(), "{bad}");
        }
        assert!(SizeModel::default().factor(0.5).flaw().is_none());
    }

    #[test]
    fn what_is_written_never_exceeds_what_was_charged() {
        for charge in [Charge::All, Charge::Window(10), Charge::Each(3), Charge::Nothing] {
            for factor in [0.3, 1.0, 2.7] {
                let tariff = ChargeModel::new(charge, SizeModel::default().factor(factor), 512);
                for bytes in [0, 1, 511, 512, 513, 1 << 40] {
                    assert!(tariff.written(bytes) <= tariff.total(bytes), "{tariff:?} {bytes}");
                }
            }
        }
    }
}
