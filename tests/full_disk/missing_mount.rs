//! A volume that is not mounted any more must not be mistaken for the disk below its mount point.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use http::StatusCode;
use tempfile::TempDir;
use tower::{ServiceBuilder, ServiceExt};
use tower_storage_guard::{DiskProbe, FailurePolicy, Fallback, Floor, Reason, Refusal, Resource, StorageGuardLayer};

use crate::{
    store::{Store, or_skip, put, refusal, sample},
    upload::{Content, Upload},
    volume::Volume,
};

const SIZE: u64 = 16 << 20;

/// A second place where a volume can be seen, so that the same one can go and come back.
struct Site {
    path: PathBuf,
    volume: Volume,
    #[expect(dead_code, reason = "held for its drop")]
    directory: TempDir,
    mounted: bool,
}

impl Site {
    fn new() -> Option<Self> {
        let volume = or_skip(Volume::tmpfs(SIZE, 1 << 10))?;
        // Named as the volume's own, so that it is cleaned up with those that a killed process leaves.
        let directory = TempDir::with_prefix(format!("test-volume-{}-", process::id())).expect("a directory");
        let mut site = Self {
            path: directory.path().join("mount"),
            directory,
            volume,
            mounted: false,
        };
        fs::create_dir(&site.path).expect("a mount point");
        site.mount();
        Some(site)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn mount(&mut self) {
        let bind = Command::new("mount")
            .arg("--bind")
            .arg(self.volume.path())
            .arg(self.path())
            .status();
        assert!(bind.expect("mount runs").success());
        self.mounted = true;
    }

    fn unmount(&mut self) {
        let unmount = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmount.expect("umount runs").success());
        self.mounted = false;
    }

    /// The disk below the mount point.
    fn stray_files(&self) -> usize {
        assert!(!self.mounted);
        fs::read_dir(self.path()).expect("a directory").count()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

/// Uploads to the site, behind a guard that measures it.
struct Uploads {
    resource: Resource,
    layer: StorageGuardLayer,
    store: Store,
}

impl Uploads {
    fn to(site: &Site, probe: DiskProbe, policy: FailurePolicy) -> Self {
        let builder = Resource::builder("data", probe)
            .floor(Floor::NONE)
            .on_probe_failure(policy);
        let resource = builder.build().expect("mounted");
        Self {
            layer: StorageGuardLayer::builder()
                .resource(resource.clone())
                .build()
                .expect("a layer"),
            resource,
            store: Store::new(site.path()),
        }
    }

    /// The status, and why the guard refused if it did.
    async fn put(&self, name: &str, length: usize) -> (StatusCode, Option<Reason>) {
        let store = self.store.clone();
        let service = ServiceBuilder::new()
            .layer(self.layer.clone())
            .service_fn(move |request| store.clone().stream(request));
        let body = Upload::new(Content::new(1, length));
        let response = service.oneshot(put(name, body)).await.expect("infallible");
        (response.status(), refusal(&response).map(Refusal::reason))
    }
}

const STORED: (StatusCode, Option<Reason>) = (StatusCode::CREATED, None);
const UNMEASURED: (StatusCode, Option<Reason>) = (StatusCode::SERVICE_UNAVAILABLE, Some(Reason::Unmeasured));
const NO_SPACE: (StatusCode, Option<Reason>) = (StatusCode::INSUFFICIENT_STORAGE, Some(Reason::Space));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_refuses_until_the_volume_is_back() {
    for expect_mount in [true, false] {
        let Some(mut site) = Site::new() else {
            return;
        };
        let mut probe = DiskProbe::new(site.path());
        if expect_mount {
            probe = probe.expect_mount();
        }
        let uploads = Uploads::to(&site, probe, FailurePolicy::Closed);
        assert_eq!(uploads.put("before", 1000).await, STORED);

        site.unmount();
        let report = sample(&uploads.resource).await;
        assert!(!report.measured);
        assert_eq!(report.total, SIZE, "the disk below is another one");
        let error = report.error.expect("it tells why");
        assert!(error.contains(&*site.path().to_string_lossy()), "{error}");
        assert_eq!(uploads.put("while", 1000).await, UNMEASURED);
        assert_eq!(site.stray_files(), 0);

        site.mount();
        assert!(sample(&uploads.resource).await.measured);
        assert_eq!(uploads.put("after", 1000).await, STORED);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_lets_everything_through() {
    let Some(mut site) = Site::new() else {
        return;
    };
    let probe = DiskProbe::new(site.path()).expect_mount();
    let uploads = Uploads::to(&site, probe, FailurePolicy::Open);
    assert_eq!(uploads.put("before", 10 << 20).await, STORED);

    site.unmount();
    sample(&uploads.resource).await;
    assert_eq!(
        uploads.put("while", 10 << 20).await,
        STORED,
        "though the volume has no room for it"
    );

    site.mount();
    sample(&uploads.resource).await;
    assert_eq!(uploads.put("too-large", 10 << 20).await, NO_SPACE);
    assert_eq!(uploads.put("after", 5 << 20).await, STORED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_goes_on_with_the_last_account() {
    let Some(mut site) = Site::new() else {
        return;
    };
    let probe = DiskProbe::new(site.path()).expect_mount();
    let policy = FailurePolicy::Hold {
        at_most: Duration::from_secs(3600),
        then: Fallback::Closed,
    };
    let uploads = Uploads::to(&site, probe, policy);
    assert_eq!(uploads.put("before", 5 << 20).await, STORED);
    // Otherwise the last good reading may have come between its being written and its being closed.
    sample(&uploads.resource).await;

    site.unmount();
    sample(&uploads.resource).await;
    assert_eq!(uploads.put("while-1", 6 << 20).await, STORED);
    sample(&uploads.resource).await;
    assert_eq!(
        uploads.put("while-2", 6 << 20).await,
        NO_SPACE,
        "11 of 16 MiB are held, and none is seen"
    );

    site.mount();
    sample(&uploads.resource).await;
    assert_eq!(
        uploads.put("after", 10 << 20).await,
        STORED,
        "what went elsewhere is held no longer"
    );
}

#[tokio::test]
async fn a_volume_that_is_missing_from_the_start_is_named() {
    let directory = TempDir::new().expect("a directory");
    let probe = DiskProbe::new(directory.path()).expect_mount();
    let error = Resource::builder("data", probe)
        .build()
        .expect_err("nothing is mounted there");
    assert!(
        error.to_string().contains(&*directory.path().to_string_lossy()),
        "{error}"
    );
}
