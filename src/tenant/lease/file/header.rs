//! What redb believes of the beginning of its file without looking whether it can be.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Five sizes of 4 bytes, little-endian: bytes of a page, header pages of a region, data pages of a full region, full
/// regions, data pages of the last region.
const SIZES: [usize; 5] = [12, 16, 20, 24, 28];
/// The roots of trees in the two newest states. The upper 5 of 64 bits are a power of two: how many pages it has.
const ROOTS: [usize; 6] = [64 + 8, 64 + 40, 64 + 72, 192 + 8, 192 + 40, 192 + 72];
const BEGINNING: u64 = 320;

/// The first three sizes, in all files of redb 2.6.
const PAGE: u64 = 4096;
const REGION_HEADER: u64 = 130;
const REGION_DATA: u64 = 1 << 20;

/// Whether the file can have the pages that its beginning speaks of. Redb takes memory for each of them, however many, and
/// a process that gets none ends. What cannot be read, or has no such beginning, is left to redb to judge.
pub(super) fn is_plausible(path: &Path) -> bool {
    match beginning_and_length(path) {
        Ok((beginning, length)) if beginning.starts_with(b"redb") => can_have(&beginning, length).unwrap_or(false),
        _ => true,
    }
}

fn beginning_and_length(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut beginning = Vec::new();
    file.take(BEGINNING).read_to_end(&mut beginning)?;
    Ok((beginning, length))
}

/// None when it is too short to say.
pub(super) fn can_have(beginning: &[u8], length: u64) -> Option<bool> {
    let size = |at: usize| Some(u64::from(u32::from_le_bytes(*beginning.get(at..)?.first_chunk()?)));
    let [page, region_header, region_data, full_regions, last_data] = SIZES.map(size);
    let last_data = last_data?;
    let last = if last_data == 0 { 0 } else { REGION_HEADER + last_data };
    let pages = 1 + full_regions? * (REGION_HEADER + REGION_DATA) + last;
    for root in ROOTS {
        let order = u64::from_le_bytes(*beginning.get(root..)?.first_chunk()?) >> 59;
        if PAGE << order > length {
            return Some(false);
        }
    }
    let as_always = [page?, region_header?, region_data?] == [PAGE, REGION_HEADER, REGION_DATA];
    Some(as_always && last_data <= REGION_DATA && pages <= length / PAGE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        drop(redb::Database::create(&path).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        is_plausible(&path)
    }

    #[test]
    fn sizes_that_cannot_be_are_found() {
        assert!(with(|_| {}));
        for at in [12, 16, 20, 24, 30, 31, 79, 207] {
            assert!(!with(|bytes| bytes[at] ^= 0xe0), "{at}");
        }
        assert!(!with(|bytes| bytes[24..28].fill(0xff)));
        assert!(!with(|bytes| bytes.truncate(1 << 20)));
    }

    proptest! {
        /// Redb takes memory for what the beginning speaks of; a file that is taken for plausible is that large.
        #[test]
        fn what_is_plausible_fits_into_the_file(
            mut beginning in prop::collection::vec(any::<u8>(), 200..340),
            full_regions in prop_oneof![0..3_u32, any::<u32>()],
            last_data in prop_oneof![0..2000_u32, any::<u32>()],
            orders in prop::collection::vec(0..20_u64, ROOTS.len()),
            length in prop_oneof![any::<u64>().prop_map(Err), (-1500..1500_i64).prop_map(Ok)],
        ) {
            let sizes = [PAGE as u32, REGION_HEADER as u32, REGION_DATA as u32, full_regions, last_data];
            for (at, size) in SIZES.into_iter().zip(sizes) {
                if let Some(place) = beginning.get_mut(at..at + 4) {
                    place.copy_from_slice(&size.to_le_bytes());
                }
            }
            for (at, order) in ROOTS.into_iter().zip(&orders) {
                if let Some(place) = beginning.get_mut(at..at + 8) {
                    place.copy_from_slice(&(order << 59).to_le_bytes());
                }
            }
            let data = u64::from(full_regions) * REGION_DATA + u64::from(last_data);
            let length = match length {
                // Nearly what it says, in pages.
                Ok(more) => data.saturating_add_signed(more) * PAGE,
                Err(any) => any >> (any % 64),
            };
            let plausible = can_have(&beginning, length);
            prop_assert!(plausible.is_some() || beginning.len() < ROOTS[5] + 8);
            if plausible == Some(true) {
                prop_assert!(u128::from(data) * u128::from(PAGE) <= u128::from(length));
                prop_assert!(orders.iter().all(|order| u128::from(PAGE) << order <= u128::from(length)));
            }
        }
    }

    #[test]
    fn what_is_no_such_file_is_left_to_others() {
        assert!(with(Vec::clear));
        assert!(with(|bytes| bytes[0] = b'x'));
        assert!(is_plausible(Path::new("/no/such/file")));
        assert!(is_plausible(&std::env::temp_dir()));
    }
}
