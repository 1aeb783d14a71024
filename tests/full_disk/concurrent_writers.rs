//! Many writers fill a disk together: every write that was admitted succeeds, and the disk really gets full.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::mpsc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use rustix::fs::{Advice, fadvise, statvfs, syncfs};
use tokio::{sync::oneshot, task::JoinSet};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_storage_guard::{
    CapacityProbe, DiskProbe, Floor, Guarded, Reason, Refusal, Resource, ResponseBody, StorageGuardLayer, WriteBuffer,
};

use crate::{
    store::{Store, or_skip, put, refusal, sample},
    upload::{Content, Ending, Paced, Random, Upload},
    volume::Volume,
};

const SIZE: u64 = 64 << 20;
const ROUNDS: u64 = 5;
const WRITERS: u64 = 24;
const LARGEST: usize = 2 << 20;
const SMALLEST: usize = 1 << 10;
/// A writer gives up when even the smallest file was refused this often in a row, each time after a new measurement.
const REFUSALS: u32 = 8;
/// How often a writer deletes something when nothing fits any more, so that the disk stays close to full for a while.
const CLEARANCES: u32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 24)]
async fn no_admitted_write_fails_until_the_disk_is_full() {
    let mut total = Tally::default();
    for round in 0..ROUNDS {
        let volume = Volume::ext4(SIZE).or_else(|skip| {
            println!("{skip}; a tmpfs takes the place of ext4");
            Volume::tmpfs(SIZE, 1 << 16)
        });
        let Some(volume) = or_skip(volume) else {
            return;
        };
        total.add(&fill(&volume, round).await);
    }
    let Tally {
        stored,
        refused,
        cut_off,
        dropped,
        failed,
    } = total;
    assert!(
        stored > 0 && refused > 0 && cut_off > 0 && dropped > 0 && failed > 0,
        "every way to end was taken: {total:?}"
    );
}

/// The one moment that decides: bytes are written between the look at the disk and its being taken in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_during_a_measurement_stays_held() {
    let Some(volume) = or_skip(Volume::tmpfs(16 << 20, 1 << 10)) else {
        return;
    };
    let (probe, steps) = stepwise(DiskProbe::new(volume.path()));
    let resource = Resource::builder("disk", probe)
        .floor(Floor::NONE)
        .build()
        .expect("mounted");
    let store = Store::new(volume.path());
    let stores = store.clone();
    let service = ServiceBuilder::new()
        .layer(
            StorageGuardLayer::builder()
                .resource(resource.clone())
                .build()
                .expect("a layer"),
        )
        .service_fn(move |request| stores.clone().stream(request));
    let put = |name, length| {
        let (body, pacer) = Paced::new(Content::new(1, length));
        (service.clone().oneshot(put(name, body)), pacer)
    };
    let (upload, mut pacer) = put("first", 10 << 20);
    let upload = tokio::spawn(upload);
    assert!(pacer.is_asked().await, "it is admitted");

    steps.look();
    pacer.send_all();
    let response = upload.await.expect("no panic").expect("infallible");
    assert_eq!(response.status(), StatusCode::CREATED);
    steps.take_in();

    let (upload, pacer) = put("second", 10 << 20);
    pacer.send_all();
    let response = upload.await.expect("infallible");
    assert_eq!(
        refusal(&response).map(Refusal::reason),
        Some(Reason::Space),
        "10 of 16 MiB are used; ENOSPC {}",
        store.storage_full()
    );

    // The next look shows the first one, and then it counts once.
    steps.look();
    steps.take_in();
    let (upload, pacer) = put("third", 5 << 20);
    pacer.send_all();
    let response = upload.await.expect("infallible");
    assert_eq!(response.status(), StatusCode::CREATED, "6 of 16 MiB are free");
    assert_eq!(store.storage_full(), 0, "handlers that found the disk full");
    assert_eq!(store.other_failures(), [""; 0]);
}

/// A disk that waits for the test before and after it is looked at, except for the first time.
fn stepwise(mut probe: DiskProbe) -> (impl CapacityProbe, Steps) {
    let (step, steps) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let mut looks = 0;
    let stepwise = move || {
        looks += 1;
        if looks == 1 {
            return probe.measure();
        }
        // When the test is over, nobody listens and nothing waits.
        if looks > 2 {
            let _ = tell.send(());
        }
        let _ = steps.recv();
        let reading = probe.measure();
        let _ = tell.send(());
        let _ = steps.recv();
        reading
    };
    (stepwise, Steps { step, told })
}

struct Steps {
    step: mpsc::Sender<()>,
    told: mpsc::Receiver<()>,
}

impl Steps {
    /// Returns when the disk has been looked at.
    fn look(&self) {
        self.step.send(()).expect("the probe lives");
        self.told.recv().expect("the probe lives");
    }

    /// Returns when what was seen has been taken in, since the next measurement is about to begin.
    fn take_in(&self) {
        self.look();
    }
}

/// Fills one volume, and checks what is on it then.
async fn fill(volume: &Volume, round: u64) -> Tally {
    let directory = volume.path().join("uploads");
    fs::create_dir(&directory).expect("room for a directory");
    // Whoever opened it before they happened is told of writes that failed behind everybody's back.
    let opened = File::open(&directory).expect("it was made");
    let store = Store::new(&directory);
    let resource = if round % 2 == 0 {
        Resource::disk(&directory)
    } else {
        Resource::builder("slow disk", slow(DiskProbe::new(&directory), store.clone()))
    };
    let resource = resource.floor(Floor::NONE).build().expect("the volume is mounted");

    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let writer = Writer {
            name: format!("{number:02}"),
            random: Random::new(round << 32 | number),
            services: services(&resource, &store),
            resource: resource.clone(),
            directory: directory.clone(),
            stored: HashMap::new(),
            tally: Tally::default(),
        };
        writers.spawn(writer.run());
    }
    let mut stored = HashMap::new();
    let mut tally = Tally::default();
    while let Some(writer) = writers.join_next().await {
        let writer = writer.expect("no panic");
        stored.extend(writer.stored);
        tally.add(&writer.tally);
    }

    let percent = percent_used(volume.path());
    println!(
        "round {round}: ENOSPC {}, {percent:.2} % full, {tally:?}",
        store.storage_full()
    );
    assert_eq!(store.storage_full(), 0, "handlers that found the disk full: {tally:?}");
    assert_eq!(store.other_failures(), [""; 0], "handlers that failed otherwise");
    assert!(percent >= 97.0, "only {percent:.2} % full: {tally:?}");
    syncfs(&opened).expect("the file system has written all that it took");
    check_files(&directory, &stored);
    tally
}

/// A disk so far away that uploads end while it answers.
fn slow(mut probe: DiskProbe, store: Store) -> impl CapacityProbe {
    move || {
        let reading = probe.measure();
        store.let_some_end(WRITERS);
        reading
    }
}

type Service = BoxCloneService<Request<Upload>, Response<ResponseBody<Full<Bytes>>>, Infallible>;

struct Services {
    streaming: Service,
    collecting: Service,
}

fn services(resource: &Resource, store: &Store) -> Services {
    let layer = |write_buffer| {
        let builder = StorageGuardLayer::builder().resource(resource.clone());
        builder.write_buffer(write_buffer).build().expect("a layer")
    };
    let (streams, collects) = (store.clone(), store.clone());
    Services {
        // The handler has written all that it got when it asks for more.
        streaming: ServiceBuilder::new()
            .boxed_clone()
            .layer(layer(WriteBuffer::Bytes(0)))
            .service_fn(move |request: Request<Guarded<Upload>>| streams.clone().stream(request)),
        collecting: ServiceBuilder::new()
            .boxed_clone()
            .layer(layer(WriteBuffer::Whole))
            .service_fn(move |request: Request<Guarded<Upload>>| collects.clone().collect(request)),
    }
}

struct Writer {
    name: String,
    random: Random,
    services: Services,
    resource: Resource,
    directory: PathBuf,
    stored: HashMap<String, Content>,
    tally: Tally,
}

/// How uploads ended.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    stored: u64,
    /// Before the handler ran.
    refused: u64,
    /// While the body arrived.
    cut_off: u64,
    /// By the client, which dropped the request.
    dropped: u64,
    /// By the body, which broke off.
    failed: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.stored += other.stored;
        self.refused += other.refused;
        self.cut_off += other.cut_off;
        self.dropped += other.dropped;
        self.failed += other.failed;
    }
}

impl Writer {
    /// Uploads ever smaller files until nothing fits any more; then makes room a few times and does it again.
    async fn run(mut self) -> Self {
        let mut largest = LARGEST;
        let mut clearances = CLEARANCES;
        let mut refusals = 0;
        for number in 0_u64.. {
            // Some are larger than what a handler may collect without saying so.
            let length = if largest == LARGEST && self.random.one_in(12) {
                self.random.between(8 << 20, 12 << 20)
            } else {
                self.random.between(SMALLEST, largest)
            };
            let name = format!("{}-{number}", self.name);
            let content = Content::new(self.random.next(), length);
            match self.upload(&name, content).await {
                Outcome::Stored => {
                    self.stored.insert(name, content);
                    largest = (largest * 2).min(LARGEST);
                    refusals = 0;
                }
                Outcome::Broken => {}
                Outcome::Refused if largest > SMALLEST => largest = (largest / 2).max(SMALLEST),
                Outcome::Refused => {
                    sample(&self.resource).await;
                    if clearances > 0 {
                        clearances -= 1;
                        largest = self.delete_one().max(SMALLEST);
                    } else {
                        refusals += 1;
                    }
                }
            }
            if refusals == REFUSALS {
                break;
            }
        }
        self
    }

    /// Deletes one of its files, and tells how long that was.
    fn delete_one(&mut self) -> usize {
        let Some(name) = self.stored.keys().next().cloned() else {
            return 0;
        };
        fs::remove_file(self.directory.join(&name)).expect("it was stored");
        self.stored.remove(&name).map_or(0, |content| content.length)
    }

    async fn upload(&mut self, name: &str, content: Content) -> Outcome {
        let middle = self.random.between(0, content.length - 1);
        let (reach, reached) = oneshot::channel();
        let ending = match self.random.between(0, 7) {
            0 => Ending::Silence(middle, Some(reach)),
            1 => Ending::Error(middle),
            _ => Ending::Complete,
        };
        let mut body = Upload::new(content).ending(ending);
        if self.random.one_in(2) {
            body = body.without_length();
        }
        let service = if self.random.one_in(2) {
            &self.services.streaming
        } else {
            &self.services.collecting
        };
        let response = tokio::select! {
            response = service.clone().oneshot(put(name, body)) => response.expect("infallible"),
            Ok(()) = reached => {
                self.tally.dropped += 1;
                return Outcome::Broken;
            }
        };
        match (response.status(), refusal(&response)) {
            (StatusCode::CREATED, None) => {
                self.tally.stored += 1;
                Outcome::Stored
            }
            (StatusCode::BAD_REQUEST, None) => {
                self.tally.failed += 1;
                Outcome::Broken
            }
            (StatusCode::INSUFFICIENT_STORAGE, Some(refusal)) if refusal.reason() == Reason::Space => {
                if refusal.is_mid_stream() {
                    self.tally.cut_off += 1;
                } else {
                    self.tally.refused += 1;
                }
                Outcome::Refused
            }
            other => panic!("an unexpected answer: {other:?}"),
        }
    }
}

enum Outcome {
    Stored,
    Refused,
    /// By the client.
    Broken,
}

/// As `df` counts: what is reserved for the superuser is neither used nor available.
fn percent_used(path: &Path) -> f64 {
    let figures = statvfs(path).expect("the volume is mounted");
    let used = figures.f_blocks - figures.f_bfree;
    100.0 * used as f64 / (used + figures.f_bavail) as f64
}

/// What was stored is there to the byte, and nothing else is.
fn check_files(directory: &Path, stored: &HashMap<String, Content>) {
    let mut found = 0;
    for entry in fs::read_dir(directory).expect("it exists") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let content = stored.get(&*name).unwrap_or_else(|| panic!("a left-over: {name}"));
        // What is read must come from the disk.
        let file = File::open(&path).expect("readable");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice is taken");
        assert_eq!(content.check(&path), Ok(()), "{name} of {} bytes", content.length);
        found += 1;
    }
    assert_eq!(found, stored.len(), "files that were stored are missing");
}
