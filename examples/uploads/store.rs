//! A directory of files. A file appears under its name whole and durable, or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    fs::File,
    io::{AsyncWriteExt, BufWriter},
    task::{block_in_place, spawn_blocking},
};

use crate::turns::{Standstill, Turn, Turns};

/// With the 2 MiB that a tokio file may have under way, well below the 8 MiB that the guard allows to be unwritten.
const WRITE_BUFFER: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct Store {
    /// Where uploads under way are kept, whoever's they are.
    root: Arc<Path>,
    /// Where files have their names: the root, or a directory in it that is one tenant's.
    dir: Arc<Path>,
    turns: Turns,
}

pub(crate) struct Entry {
    pub(crate) name: FileName,
    pub(crate) size: u64,
}

impl Store {
    /// Makes the directory if it is missing, and removes what uploads that were cut off have left there.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_temporary) {
                fs::remove_file(entry.path())?;
            }
        }
        match Temporary::create(dir) {
            // Deleting is what a full disk needs, so that is no reason not to start.
            Err(error) if !is_full(&error) => Err(error),
            _ => Ok(Self {
                root: dir.into(),
                dir: dir.into(),
                turns: Turns::default(),
            }),
        }
    }

    /// A directory in it, made when the first file gets its name there.
    pub(crate) fn part(&self, name: &str) -> Self {
        Self {
            dir: self.root.join(name).into(),
            ..self.clone()
        }
    }

    /// The names of directories in it.
    pub(crate) fn parts(&self) -> io::Result<Vec<String>> {
        let mut parts = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                parts.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(parts)
    }

    /// Begins a file that has no name yet. It is gone when the upload is dropped.
    pub(crate) async fn begin(&self) -> io::Result<Upload> {
        let root = self.root.clone();
        // If the request is dropped meanwhile, so is this result when it comes, and with it the file.
        let (temporary, file) = spawn_blocking(move || Temporary::create(&root)).await??;
        Ok(Upload {
            file: BufWriter::with_capacity(WRITE_BUFFER, File::from_std(file)),
            temporary,
            store: self.clone(),
        })
    }

    /// The file and its size.
    pub(crate) async fn read(&self, name: &FileName) -> io::Result<(File, u64)> {
        let file = File::open(self.dir.join(&name.0)).await?;
        let metadata = file.metadata().await?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok((file, metadata.len()))
    }

    pub(crate) async fn remove(&self, name: &FileName) -> io::Result<Removed> {
        let path = self.dir.join(&name.0);
        let turn = self.turns.take(&self.dir, &path).await;
        // From here on the request cannot be dropped, so that what is done is also told.
        block_in_place(|| {
            let size = fs::symlink_metadata(&path)?.len();
            fs::remove_file(&path)?;
            Ok(Removed { size, turn })
        })
    }

    /// While it lives, no file here gets or loses its name.
    pub(crate) async fn standstill(&self) -> Standstill {
        self.turns.stop(&self.dir).await
    }

    /// The bytes of all files.
    pub(crate) async fn size(&self) -> io::Result<u64> {
        Ok(self.list().await?.iter().map(|entry| entry.size).sum())
    }

    /// All files, by name.
    pub(crate) async fn list(&self) -> io::Result<Vec<Entry>> {
        let dir = self.dir.clone();
        spawn_blocking(move || {
            let mut entries: Vec<_> = match fs::read_dir(dir) {
                Ok(entries) => entries.filter_map(|entry| listed(&entry.ok()?)).collect(),
                // A tenant who has stored nothing yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            };
            entries.sort_by(|a, b| a.name.0.cmp(&b.name.0));
            Ok(entries)
        })
        .await?
    }
}

/// `None` for what is no file of ours, or was deleted meanwhile.
fn listed(entry: &fs::DirEntry) -> Option<Entry> {
    let name = entry.file_name().to_str()?.parse().ok()?;
    let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
    Some(Entry {
        name,
        size: metadata.len(),
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A file that is being received.
pub(crate) struct Upload {
    file: BufWriter<File>,
    temporary: Temporary,
    store: Store,
}

/// A file has its name.
pub(crate) struct Committed {
    /// The size of the file that had the name before.
    pub(crate) replaced: Option<u64>,
    pub(crate) size: u64,
    /// Whether the name would outlive a power failure.
    pub(crate) durable: io::Result<()>,
    pub(crate) turn: Turn,
}

/// A file is gone.
pub(crate) struct Removed {
    pub(crate) size: u64,
    pub(crate) turn: Turn,
}

impl Upload {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }

    /// Gives the file its name, once it is on the disk.
    pub(crate) async fn commit(mut self, name: &FileName) -> io::Result<Committed> {
        // `sync_all` would not tell of a write that failed.
        self.file.flush().await?;
        let file = self.file.into_inner().into_std().await;
        let (temporary, store) = (self.temporary, self.store);
        let target = store.dir.join(&name.0);
        let size = spawn_blocking(move || {
            file.sync_all()?;
            Ok::<_, io::Error>(file.metadata()?.len())
        })
        .await??;
        let turn = store.turns.take(&store.dir, &target).await;
        // From here on the request cannot be dropped, so that what is done is also told.
        block_in_place(|| {
            if store.dir != store.root {
                make_directory(&store.dir, &store.root)?;
            }
            let replaced = fs::symlink_metadata(&target).ok().map(|former| former.len());
            fs::rename(&temporary.path, &target)?;
            Ok(Committed {
                replaced,
                size,
                durable: sync_directory(&store.dir),
                turn,
            })
        })
    }
}

fn make_directory(dir: &Path, parent: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(parent),
    }
}

#[cfg(unix)]
fn sync_directory(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Elsewhere a directory cannot be opened.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes its file when it is dropped.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn create(dir: &Path) -> io::Result<(Self, fs::File)> {
        static CREATED: AtomicU64 = AtomicU64::new(0);

        let number = CREATED.fetch_add(1, Relaxed);
        let path = dir.join(format!("{TEMPORARY_PREFIX}{}-{number}", process::id()));
        let file = fs::File::create_new(&path)?;
        Ok((Self { path }, file))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // No name is used twice, so after the rename there is nothing under it.
        let _ = fs::remove_file(&self.path);
    }
}

const TEMPORARY_PREFIX: &str = ".unfinished-upload-";

fn is_temporary(name: &str) -> bool {
    // Some file systems take both cases for the same name.
    name.get(..TEMPORARY_PREFIX.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(TEMPORARY_PREFIX))
}

/// The name of a file directly in the directory.
#[derive(Debug)]
pub(crate) struct FileName(String);

impl FileName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "" => Err("the name of the file is missing"),
            "." | ".." => Err("a file cannot be named `.` or `..`"),
            // A colon names a drive or a stream of a file on Windows.
            _ if name.contains(['/', '\\']) || (cfg!(windows) && name.contains(':')) => {
                Err("the name of a file cannot contain a path separator")
            }
            _ if name.contains(char::is_control) => Err("the name of a file cannot contain control characters"),
            _ if name.len() > 255 => Err("the name of a file cannot be longer than 255 bytes"),
            _ if is_temporary(name) => {
                Err("names that begin with `.unfinished-upload-` are taken by uploads under way")
            }
            _ => Ok(Self(name.to_owned())),
        }
    }
}
