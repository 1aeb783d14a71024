//! Limits from a file that is watched, as operators and Kubernetes change it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod ledger;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, TryRecvError},
    time::Duration,
};

use tempfile::TempDir;
use tower_storage_guard::{Limit, Limits, LimitsFile, LimitsFileError, LimitsFileErrorKind};

type News = Result<Limits, String>;

/// A file, its watcher, and what it has told.
struct Site {
    watching: LimitsFile,
    news: Receiver<News>,
    path: PathBuf,
    _directory: TempDir,
}

impl Site {
    fn start(content: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("limits.toml");
        fs::write(&path, content).unwrap();
        let (watching, news) = watch(&path).unwrap();
        assert!(news.try_recv().unwrap().is_ok(), "told what it was");
        Self {
            watching,
            news,
            path,
            _directory: directory,
        }
    }

    fn write(&self, content: &str) {
        fs::write(&self.path, content).unwrap();
    }

    fn tells(&self) -> News {
        self.news.try_recv().expect("it tells")
    }

    fn is_silent(&self) {
        assert_eq!(self.news.try_recv(), Err(TryRecvError::Empty));
    }
}

fn watch(path: &Path) -> Result<(LimitsFile, Receiver<News>), LimitsFileError> {
    let (tell, news) = mpsc::channel();
    let watching = LimitsFile::watch(path, move |news: Result<&Limits, &LimitsFileError>| {
        let _ = tell.send(news.cloned().map_err(ToString::to_string));
    })?;
    Ok((watching, news))
}

fn trial(bytes: u64) -> String {
    format!("[tenants]\ntrial = {bytes}\n")
}

fn limit_of_trial(news: News) -> Limit {
    news.expect("limits").tenants["trial"]
}

#[test]
fn what_is_told_at_start_are_the_limits() {
    let site = Site::start("default = \"10 GiB\"\n[tenants]\nacme = \"unlimited\"\n");
    let limits = site.watching.limits();
    assert_eq!(limits.default, Some(Limit::bytes(10 << 30)));
    assert_eq!(limits.tenants["acme"], Limit::UNLIMITED);
    assert_eq!(limits, Limits::read(&site.path).unwrap());
    assert_eq!(site.watching.path(), site.path);
}

#[test]
fn a_missing_file_is_an_error_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limits.toml");
    let error = watch(&path).expect_err("missing");
    assert_eq!(
        (error.kind(), error.path(), error.line()),
        (LimitsFileErrorKind::Io, &*path, None)
    );
    assert!(error.to_string().contains(&format!("`{}`", path.display())), "{error}");
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.expect("what the system says").kind(), io::ErrorKind::NotFound);
    assert_eq!(
        Limits::read(directory.path()).expect_err("a directory").kind(),
        LimitsFileErrorKind::Io
    );
}

#[test]
fn a_mistake_at_start_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limits.toml");
    fs::write(&path, "[tenants]\nacme = -5\n").unwrap();
    let error = watch(&path).expect_err("negative");
    assert_eq!(
        (error.kind(), error.line(), error.key()),
        (LimitsFileErrorKind::Invalid, Some(2), Some("tenants.acme"))
    );
    let start = format!(
        "limits file `{}`, line 2, key `tenants.acme`: a negative number",
        path.display()
    );
    assert!(error.to_string().starts_with(&start), "{error}");
}

#[test]
fn a_change_is_told_once() {
    let site = Site::start(&trial(1));
    site.write(&trial(2));
    assert!(site.watching.check_now().unwrap());
    assert_eq!(limit_of_trial(site.tells()), Limit::bytes(2));
    assert!(!site.watching.check_now().unwrap());
    site.is_silent();
}

#[test]
fn what_says_the_same_is_no_change() {
    let site = Site::start(&trial(1024));
    site.write("# a comment\ntenants = { trial = \"1 KiB\" }");
    assert!(!site.watching.check_now().unwrap());
    site.is_silent();
}

/// A file system may tell times in whole seconds, and the length may stay the same, too.
#[test]
fn a_change_is_seen_whatever_the_time_of_the_file() {
    let site = Site::start(&trial(1));
    let time = fs::metadata(&site.path).unwrap().modified().unwrap();
    site.write(&trial(2));
    fs::File::options()
        .write(true)
        .open(&site.path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert!(site.watching.check_now().unwrap());
}

#[test]
fn a_mistake_keeps_the_limits_and_is_told_once() {
    let site = Site::start(&trial(1));
    site.write("[tenants]\ntrial = -1");
    for _ in 0..3 {
        let error = site.watching.check_now().expect_err("negative");
        assert_eq!(error.line(), Some(2));
    }
    assert!(site.tells().unwrap_err().contains("negative"));
    site.is_silent();
    assert_eq!(site.watching.limits().tenants["trial"], Limit::bytes(1));

    // Another text with the same mistake in the same place is no news, another mistake is.
    site.write("[tenants]\ntrial = -2");
    site.watching.check_now().unwrap_err();
    site.is_silent();
    site.write("[tenants]\ntrial = [");
    site.watching.check_now().unwrap_err();
    assert!(site.tells().unwrap_err().contains("not TOML"));
}

#[test]
fn it_tells_when_all_is_well_again() {
    let site = Site::start(&trial(1));
    for again in [1, 5] {
        site.write("?");
        site.watching.check_now().unwrap_err();
        site.tells().unwrap_err();
        site.write(&trial(again));
        assert_eq!(site.watching.check_now().unwrap(), again == 5);
        assert_eq!(limit_of_trial(site.tells()), Limit::bytes(again));
        site.is_silent();
    }
}

#[test]
fn a_file_that_disappears_keeps_the_limits() {
    let site = Site::start(&trial(1));
    fs::remove_file(&site.path).unwrap();
    assert_eq!(site.watching.check_now().unwrap_err().kind(), LimitsFileErrorKind::Io);
    site.watching.check_now().unwrap_err();
    assert!(site.tells().unwrap_err().contains("cannot read"));
    site.is_silent();
    assert_eq!(site.watching.limits().tenants["trial"], Limit::bytes(1));
    site.write(&trial(1));
    assert!(!site.watching.check_now().unwrap(), "as before");
    assert_eq!(limit_of_trial(site.tells()), Limit::bytes(1));
}

/// An editor that empties a file before it writes it, or a disk that was full when somebody did.
#[test]
fn an_empty_file_takes_nobody_s_limit_away() {
    let site = Site::start(&trial(1));
    site.write("");
    site.watching.check_now().unwrap_err();
    assert_eq!(site.watching.limits().tenants["trial"], Limit::bytes(1));
}

#[test]
fn a_replaced_file_is_seen() {
    let site = Site::start(&trial(1));
    let draft = site.path.with_extension("draft");
    fs::write(&draft, trial(2)).unwrap();
    fs::rename(draft, &site.path).unwrap();
    assert!(site.watching.check_now().unwrap());
}

/// As the kubelet does it: the file is a link through a link to a directory, and only that one is switched.
#[cfg(unix)]
#[test]
fn a_config_map_is_seen() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (version, bytes) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("limits.toml"), trial(bytes)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/limits.toml", at("limits.toml")).unwrap();
    let (watching, news) = watch(&at("limits.toml")).unwrap();
    assert_eq!(limit_of_trial(news.try_recv().unwrap()), Limit::bytes(1));

    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..1")).unwrap();
    assert!(watching.check_now().unwrap());
    assert_eq!(limit_of_trial(news.try_recv().unwrap()), Limit::bytes(2));
}

#[test]
fn who_is_told_may_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limits.toml");
    fs::write(&path, trial(1)).unwrap();
    let (tell, news) = mpsc::channel();
    let watching = LimitsFile::watch(&path, move |_: Result<&Limits, &LimitsFileError>| {
        let _ = tell.send(());
        std::panic::resume_unwind(Box::new("it does"));
    })
    .unwrap();
    fs::write(&path, trial(2)).unwrap();
    assert!(watching.check_now().unwrap());
    assert_eq!(news.try_iter().count(), 2);
    assert_eq!(watching.limits().tenants["trial"], Limit::bytes(2));
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_thread_sees_by_itself_and_ends_with_its_handle() {
    let site = Site::start(&trial(1));
    site.write(&trial(2));
    assert_eq!(
        limit_of_trial(site.news.recv_timeout(PATIENCE).expect("seen")),
        Limit::bytes(2)
    );
    fs::remove_file(&site.path).unwrap();
    assert!(site.news.recv_timeout(PATIENCE).expect("seen").is_err());

    let Site { watching, news, .. } = site;
    drop(watching);
    // Who tells is gone when the thread has ended.
    assert_eq!(news.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}
