//! Blocks of a file, set aside for real.

use std::{fs::File, io};

/// Sets `size` bytes aside for the file, without writing them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn allocate(file: &File, size: u64) -> io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::retry_on_intr,
    };

    // Not the C library's `posix_fallocate`, which writes zeros where the file system cannot: a compressing one would
    // store nothing of them.
    retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, size))?;
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn allocate(_: &File, _: u64) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "ballast files are known on Linux only",
    ))
}

/// How many bytes the file owns on the file system.
#[cfg(unix)]
pub(super) fn allocated(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;

    // In units of 512 bytes whatever the block size (stat(2)).
    Ok(file.metadata()?.blocks().saturating_mul(512))
}

#[cfg(not(unix))]
pub(super) fn allocated(_: &File) -> io::Result<u64> {
    Ok(0)
}
