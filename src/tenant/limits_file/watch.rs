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
    let mut settling = Settling::default();
    while ended.recv_timeout(settling.pause()) == Err(RecvTimeoutError::Timeout) {
        // Without the lock, because a file system that hangs should hold up nobody.
        let now = content(path);
        let mut watched = lock(watched);
        if let Some(settled) = settling.take_in(&watched.content, now) {
            // What it finds is told; nobody waits for it here.
            let _ = watched.take_in(path, settled);
        }
    }
}

/// A change counts when the file has said the same twice.
#[derive(Default)]
struct Settling(Option<Content>);

impl Settling {
    fn pause(&self) -> Duration {
        self.0.as_ref().map_or(INTERVAL, |_| SETTLING)
    }

    fn take_in(&mut self, known: &Content, now: Content) -> Option<Content> {
        match self.0.take() {
            _ if is_same(known, &now) => None,
            Some(before) if is_same(&before, &now) => Some(now),
            _ => {
                self.0 = Some(now);
                None
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_being_written_is_not_believed() {
        let says = |text: &str| -> Content { Ok(text.into()) };
        let mut settling = Settling::default();
        let mut sees = |now: Content| settling.take_in(&says("old"), now).map(Result::unwrap);
        assert_eq!(sees(says("old")), None);
        assert_eq!(sees(says("n")), None);
        assert_eq!(sees(says("new")), None);
        assert_eq!(sees(says("new")), Some("new".into()));
        // Somebody who writes it in place and had second thoughts.
        assert_eq!(sees(says("n")), None);
        assert_eq!(sees(says("old")), None);
        assert_eq!(sees(says("n")), None);
        assert_eq!(settling.pause(), SETTLING);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_in_part() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LARGEST).unwrap();
        assert_eq!(content(file.path()).unwrap().len() as u64, LARGEST);
        file.as_file().set_len(LARGEST + 1).unwrap();
        let error = content(file.path()).unwrap_err();
        assert!(
            std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("64 MiB")),
            "{error:?}"
        );
        assert!(content(Path::new("/")).is_err());
    }

    #[test]
    fn a_file_that_is_gone_for_a_moment_is_not_missed() {
        let missing = || content(Path::new("/no/such/file"));
        let known: Content = Ok("old".into());
        let mut settling = Settling::default();
        assert!(settling.take_in(&known, missing()).is_none());
        assert!(settling.take_in(&known, Ok("old".into())).is_none());
        assert_eq!(settling.pause(), INTERVAL);
        assert!(settling.take_in(&known, missing()).is_none());
        assert!(
            settling
                .take_in(&known, missing())
                .is_some_and(|content| content.is_err())
        );
    }
}
