use std::{
    fs::File,
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use super::{Limits, LimitsFileError, lock};

/// How often the file is read.
const INTERVAL: Duration = Duration::from_secs(1);
/// After a change was seen, the file must say the same for so long.
const SETTLING: Duration = Duration::from_millis(100);
/// Of a larger file somebody has mistaken the path.
const LARGEST: u64 = 64 << 20;

type Content = Result<Vec<u8>, LimitsFileError>;
type Told = Box<dyn FnMut(Result<&Limits, &LimitsFileError>) + Send>;

/// What is known of the file, and who is told.
pub(super) struct Watched {
    limits: Limits,
    /// What the file said last.
    content: Content,
    /// What was wrong with it, if anything.
    error: Option<LimitsFileError>,
    told: Told,
}

impl Watched {
    pub(super) fn start(path: &Path, told: Told) -> Result<Self, LimitsFileError> {
        let content = content(path)?;
        let mut watched = Self {
            limits: Limits::parse(path, &content)?,
            content: Ok(content),
            error: None,
            told,
        };
        watched.tell_limits();
        Ok(watched)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Tells what is new, and whether the limits are.
    pub(super) fn take_in(&mut self, path: &Path, content: Content) -> Result<bool, LimitsFileError> {
        if is_same(&self.content, &content) {
            return self.error.clone().map_or(Ok(false), Err);
        }
        let outcome = content
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|content| Limits::parse(path, content));
        self.content = content;
        match outcome {
            Ok(limits) => {
                let has_changed = limits != self.limits;
                let has_recovered = self.error.take().is_some();
                self.limits = limits;
                if has_changed || has_recovered {
                    self.tell_limits();
                }
                Ok(has_changed)
            }
            Err(error) => {
                let is_news = self.error.as_ref().is_none_or(|known| !known.is_like(&error));
                self.error = Some(error.clone());
                if is_news {
                    // It must not end the watching.
                    let _ = catch_unwind(AssertUnwindSafe(|| (self.told)(Err(&error))));
                }
                Err(error)
            }
        }
    }

    fn tell_limits(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| (self.told)(Ok(&self.limits))));
    }
}

/// Watches until the other end of `ended` is dropped.
pub(super) fn start(path: PathBuf, watched: Arc<Mutex<Watched>>, ended: Receiver<()>) -> Result<(), LimitsFileError> {
    let of = path.clone();
    thread::Builder::new()
        .name("guard-limits".to_owned())
        .spawn(move || run(&path, &watched, &ended))
        .map(|_| ())
        .map_err(|error| LimitsFileError::io(&of, "cannot start a thread that watches", error))
}

fn run(path: &Path, watched: &Mutex<Watched>, ended: &Receiver<()>) {
    let mut unsettled = None;
    let mut pause = INTERVAL;
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        // Without the lock, because a file system that hangs should hold up nobody.
        let now = content(path);
        let mut watched = lock(watched);
        if is_same(&watched.content, &now) {
            (unsettled, pause) = (None, INTERVAL);
        } else if unsettled.as_ref().is_some_and(|before| is_same(before, &now)) {
            // What it finds is told; nobody waits for it here.
            let _ = watched.take_in(path, now);
            (unsettled, pause) = (None, INTERVAL);
        } else {
            (unsettled, pause) = (Some(now), SETTLING);
        }
    }
}

fn is_same(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => a == b,
        (Err(a), Err(b)) => a.is_like(b),
        _ => false,
    }
}

pub(super) fn content(path: &Path) -> Content {
    let read = || {
        // To open a pipe would wait for somebody who writes to it.
        if !path.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut content = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
        if content.len() as u64 > LARGEST {
            return Err(io::Error::other("it has more than 64 MiB"));
        }
        Ok(content)
    };
    read().map_err(|error| LimitsFileError::io(path, "cannot read", error))
}
