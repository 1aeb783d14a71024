mod allocation;
mod error;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use allocation::{allocate, allocated};
pub use error::{BallastError, BallastErrorKind};

use super::{CapacityProbe, DiskProbe};

/// Room set aside on a disk for the day it is full: a file that holds nothing, and that an operator gives up to get a
/// system going again that needs room in order to make room.
///
/// ```
/// use tower_storage_guard::Ballast;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("ballast-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// // At start. A ballast that an earlier run left is adopted.
/// let ballast = Ballast::create(dir.join("ballast"), 1 << 20)?;
/// // When the disk is full:
/// let freed = ballast.release()?;
/// assert!(freed >= 1 << 20);
/// // From time to time: back in place once 64 MiB beside it are free.
/// ballast.rebuild_if_room(64 << 20)?;
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
///
/// The blocks are allocated for real (`fallocate`, on Linux only) and counted afterwards, so a file system that cannot
/// do it is an error and not a false comfort. The file begins with a line that says what it is; a file without this line
/// is never touched. All calls block for the time of a few file operations.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    size: u64,
    /// One change at a time.
    changing: Mutex<()>,
}

/// Stands at the beginning of the file, for the next start and for whoever wonders what it is.
const MARK: &[u8] = b"tower-storage-guard ballast: sets disk space aside, holds no data\n";

/// A ballast of less than a block makes no sense.
const LEAST: u64 = 4096;

impl Ballast {
    /// A ballast of `size` bytes, at least 4096, at a path whose directory exists. Nothing is touched yet: whether it is
    /// in place or was released in an earlier run is not known.
    pub fn new(path: impl Into<PathBuf>, size: u64) -> Self {
        Self {
            path: path.into(),
            size,
            changing: Mutex::new(()),
        }
    }

    /// A ballast of `size` bytes that is in place. One that an earlier run left there is adopted, and made larger or
    /// smaller if its size is another.
    ///
    /// # Errors
    ///
    /// When another file is there, when there is not enough room, when the file system cannot set room aside, or when
    /// the size makes no sense. Nothing is left behind then.
    pub fn create(path: impl Into<PathBuf>, size: u64) -> Result<Self, BallastError> {
        let ballast = Self::new(path, size);
        ballast.put_in_place()?;
        Ok(ballast)
    }

    /// Gives the room back. Returns how many bytes that was: 0 when the ballast was not in place.
    ///
    /// # Errors
    ///
    /// When another file is at the path, or it cannot be removed.
    pub fn release(&self) -> Result<u64, BallastError> {
        let _one_at_a_time = self.lock();
        let Some(file) = self.open()? else {
            return Ok(0);
        };
        let freed = allocated(&file).map_err(|error| self.failed_to("look at", error))?;
        // Somebody may hold the file open, and then removing alone frees nothing. The mark stays until it is gone.
        file.set_len(MARK.len() as u64)
            .and_then(|()| fs::remove_file(&self.path))
            .map_err(|error| self.failed_to("remove", error))?;
        Ok(freed)
    }

    /// Puts the ballast back in place if `min_free` bytes remain available beside it. Returns whether it is in place now.
    ///
    /// Call it when an observer is told that the disk is out of the state `Full`, or from time to time.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and when it cannot be told how much room there is.
    pub fn rebuild_if_room(&self, min_free: u64) -> Result<bool, BallastError> {
        if self.is_in_place()? {
            return Ok(true);
        }
        if self.available()? < self.size.saturating_add(min_free) {
            return Ok(false);
        }
        self.put_in_place()?;
        Ok(true)
    }

    /// Whether the file is there in full size.
    ///
    /// # Errors
    ///
    /// When another file is at the path, or it cannot be looked at.
    pub fn is_in_place(&self) -> Result<bool, BallastError> {
        let Some(file) = self.open()? else {
            return Ok(false);
        };
        let allocated = allocated(&file).map_err(|error| self.failed_to("look at", error))?;
        Ok(allocated >= self.size)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it sets aside.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn put_in_place(&self) -> Result<(), BallastError> {
        if self.size < LEAST {
            return Err(BallastError::too_small(self.size, LEAST));
        }
        let _one_at_a_time = self.lock();
        let existing = self.open()?;
        let (length, owned) = match &existing {
            Some(file) => file
                .metadata()
                .and_then(|metadata| Ok((metadata.len(), allocated(file)?)))
                .map_err(|error| self.failed_to("look at", error))?,
            None => (0, 0),
        };
        let wanted = self.size.saturating_sub(owned);
        // Where nobody knows, the attempt tells.
        let available = self.available().unwrap_or(u64::MAX);
        if available < wanted {
            // Some file systems would take all there is before they fail, and everybody would find the disk full
            // meanwhile.
            return Err(BallastError::no_room(&self.path, wanted, available));
        }
        let (file, is_new) = match existing {
            Some(file) => (file, false),
            None => (self.make()?, true),
        };
        self.fill(&file).inspect_err(|_| {
            // Best effort: the first error is the one to tell.
            let _ = if is_new {
                fs::remove_file(&self.path)
            } else {
                file.set_len(length)
            };
        })
    }

    /// What is available on the file system.
    fn available(&self) -> Result<u64, BallastError> {
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        match DiskProbe::new(directory).measure() {
            Ok(reading) => Ok(reading.available),
            Err(error) => Err(BallastError::unmeasured(&self.path, error)),
        }
    }

    fn fill(&self, file: &File) -> Result<(), BallastError> {
        allocate(file, self.size)
            // An adopted one may have been larger.
            .and_then(|()| file.set_len(self.size))
            .and_then(|()| file.sync_all())
            .map_err(|error| self.failed_to("fill", error))?;
        self.expect_blocks(file)
    }

    /// Fails if the file system only claims that the room is set aside.
    fn expect_blocks(&self, file: &File) -> Result<(), BallastError> {
        match allocated(file) {
            Ok(allocated) if allocated >= self.size => Ok(()),
            Ok(allocated) => Err(BallastError::not_allocated(&self.path, allocated, self.size)),
            Err(error) => Err(self.failed_to("look at", error)),
        }
    }

    /// Makes the file with its mark.
    fn make(&self) -> Result<File, BallastError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options
            .open(&self.path)
            .map_err(|error| self.failed_to("create", error))?;
        file.write_all(MARK).map_err(|error| {
            let _ = fs::remove_file(&self.path);
            self.failed_to("create", error)
        })?;
        Ok(file)
    }

    /// Opens the file if it is there and ours.
    fn open(&self) -> Result<Option<File>, BallastError> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(BallastError::foreign(&self.path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed_to("look for", error)),
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|error| self.failed_to("open", error))?;
        let mut beginning = Vec::new();
        io::Read::by_ref(&mut file)
            .take(MARK.len() as u64)
            .read_to_end(&mut beginning)
            .map_err(|error| self.failed_to("read", error))?;
        if beginning != MARK {
            return Err(BallastError::foreign(&self.path));
        }
        Ok(Some(file))
    }

    fn failed_to(&self, what: &str, error: io::Error) -> BallastError {
        BallastError::io(what, &self.path, error)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards the file, not data that a panic could leave half-done.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use tempfile::TempDir;

    use super::*;

    const SIZE: u64 = 2 << 20;

    fn directory() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ballast");
        (dir, path)
    }

    #[test]
    fn owns_its_blocks() {
        let (_dir, path) = directory();
        let ballast = Ballast::create(&path, SIZE).expect("created");
        let metadata = fs::metadata(&path).expect("there");
        assert_eq!(metadata.len(), SIZE);
        assert!(metadata.blocks() * 512 >= SIZE, "{}", metadata.blocks());
        assert!(ballast.is_in_place().expect("looked at"));
        assert_eq!(metadata.mode() & 0o777, 0o600);
    }

    #[test]
    fn is_adopted_by_the_next_run_whatever_its_size() {
        let (_dir, path) = directory();
        let inode = |size| {
            let ballast = Ballast::create(&path, size).expect("created or adopted");
            let metadata = fs::metadata(&path).expect("there");
            assert_eq!(metadata.len(), size);
            assert!(metadata.blocks() * 512 >= size && metadata.blocks() * 512 < size + (1 << 20));
            assert!(ballast.is_in_place().expect("looked at"));
            metadata.ino()
        };
        let first = inode(SIZE);
        assert_eq!([inode(SIZE), inode(2 * SIZE), inode(SIZE / 4)], [first; 3]);
    }

    #[test]
    fn is_released_once_and_rebuilt_when_there_is_room() {
        let (_dir, path) = directory();
        let ballast = Ballast::create(&path, SIZE).expect("created");
        // Whoever reads it while it is released must not keep the blocks.
        let reader = File::open(&path).expect("opens");
        assert!(ballast.release().expect("released") >= SIZE);
        assert!(allocated(&reader).expect("looked at") < SIZE);
        assert!(!path.exists() && !ballast.is_in_place().expect("looked at"));
        assert_eq!(ballast.release().expect("nothing to do"), 0);
        assert!(
            !ballast.rebuild_if_room(1 << 60).expect("measured"),
            "no room beside it"
        );
        assert!(!path.exists());
        assert!(ballast.rebuild_if_room(0).expect("rebuilt"));
        assert!(ballast.is_in_place().expect("looked at"));
        assert!(
            ballast.rebuild_if_room(1 << 60).expect("nothing to do"),
            "it is in place already"
        );
    }

    #[test]
    fn never_touches_a_foreign_file() {
        let (dir, path) = directory();
        let mut same_size = vec![0; SIZE as usize];
        same_size[..4].copy_from_slice(b"data");
        for content in [&b""[..], b"precious", &MARK[1..], &same_size] {
            fs::write(&path, content).expect("written");
            let ballast = Ballast::new(&path, SIZE);
            let errors = [
                Ballast::create(&path, SIZE).err(),
                ballast.release().err(),
                ballast.rebuild_if_room(0).err(),
                ballast.is_in_place().err(),
            ];
            for error in errors {
                let error = error.expect("foreign");
                assert_eq!(error.kind(), BallastErrorKind::Foreign);
                assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            }
            assert!(fs::read(&path).expect("still there") == content);
        }
        // Nor what a link leads to, be it a ballast elsewhere.
        let real = dir.path().join("real");
        Ballast::create(&real, SIZE).expect("created");
        fs::remove_file(&path).expect("removed");
        symlink(&real, &path).expect("linked");
        let error = Ballast::new(&path, SIZE).release().expect_err("a link");
        assert_eq!(error.kind(), BallastErrorKind::Foreign);
        assert!(real.exists());
    }

    #[test]
    fn a_file_that_does_not_own_its_blocks_is_not_in_place() {
        let (_dir, path) = directory();
        let sparse = Ballast::new(&path, SIZE).make().expect("made");
        sparse.set_len(SIZE).expect("lengthened");
        let ballast = Ballast::new(&path, SIZE);
        assert!(!ballast.is_in_place().expect("looked at"));
        let error = ballast.expect_blocks(&sparse).expect_err("a hole");
        assert_eq!(error.kind(), BallastErrorKind::NotAllocated);
        assert!(error.to_string().contains(&format!("of {SIZE} bytes")), "{error}");
        let ballast = Ballast::create(&path, SIZE).expect("filled up");
        assert!(ballast.is_in_place().expect("looked at"));
    }

    #[test]
    fn a_failure_is_told_and_leaves_nothing_behind() {
        let (dir, path) = directory();
        let error = Ballast::create(dir.path().join("no/such/place"), SIZE).expect_err("no directory");
        assert_eq!(error.kind(), BallastErrorKind::Io);
        assert!(error.to_string().contains("no/such/place"), "{error}");
        assert!(std::error::Error::source(&error).is_some());

        let error = Ballast::create(&path, LEAST - 1).expect_err("too small");
        assert_eq!(error.kind(), BallastErrorKind::InvalidSetting);
        assert_eq!(error.to_string(), "size = 4095: give at least 4096 bytes");
        assert!(!path.exists());
    }
}
