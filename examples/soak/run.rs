//! From the start to the verdict.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    clients::{Client, Expected, Pace, Phase},
    connection::Connection,
    content::Dice,
    disturbances::Disturbances,
    marks::Mark,
    options::{Command, HELP, Options, Place},
    redis_server::RedisServer,
    report::{Report, Stored},
    site::{Site, TENANTS, tenant},
    tally::Tally,
    volume::Volume,
};

const VOLUME: u64 = 48 << 20;
const INODES: u64 = 4096;
/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// About so long takes a round of disturbances.
const ROUND: Duration = Duration::from_secs(30);

pub(crate) fn main() -> ExitCode {
    let seed = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_nanos() as u64);
    let options = match Options::parse(env::args().skip(1), seed) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return cannot(&error),
    };
    // Comes back only when it fails.
    if env::var_os(SETTLED).is_none() {
        eprintln!("the allocator keeps its usual settings: {}", return_freed_memory());
    }
    let (volume, dir) = match place(&options.place) {
        Ok(place) => place,
        Err(error) => return cannot(&error),
    };
    let report = run(&options, volume.as_ref(), &dir);
    if options.json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    match report.holds() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Starts this program anew, so that its allocator returns to the system what is freed. As it is by default, glibc's
/// allocator keeps so much that nobody could see a leak beside it.
fn return_freed_memory() -> io::Error {
    use std::os::unix::process::CommandExt;

    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    process::Command::new(program)
        .args(env::args_os().skip(1))
        .envs([
            ("MALLOC_ARENA_MAX", "1"),
            ("MALLOC_MMAP_THRESHOLD_", "65536"),
            ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ])
        .env(SETTLED, "")
        .exec()
}

/// Says that it has been started anew.
const SETTLED: &str = "SOAK_ALLOCATOR_IS_SET";

fn cannot(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}

/// The volume, if it is ours, and the directory to store in.
fn place(place: &Place) -> Result<(Option<Volume>, PathBuf), String> {
    let volume = match place {
        Place::Tmpfs => Volume::tmpfs(VOLUME, INODES),
        Place::Ext4 => Volume::ext4(VOLUME),
        Place::Dir(dir) => {
            eprintln!("in a directory: nobody fills the disk from outside, so this says less");
            let dir = dir.join(format!("soak-{}", process::id()));
            fs::create_dir_all(&dir).map_err(|error| format!("--dir: {}: {error}", dir.display()))?;
            return Ok((None, dir));
        }
    };
    let volume = volume.map_err(|skip| format!("no volume ({skip}); root can mount one, anybody can give --dir"))?;
    let dir = volume.path().join("files");
    Ok((Some(volume), dir))
}

fn run(options: &Options, volume: Option<&Volume>, dir: &Path) -> Report {
    let start = Instant::now();
    // What is acknowledged is kept when it is killed.
    let mut redis = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let tally = Arc::new(Tally::default());
    let site = Site::start(dir, redis.as_ref(), &tally, &options.broken);
    let has_redis = redis.is_some();
    let pace = Arc::new(Pace::new(options.rate));
    let mut disturbances = Disturbances {
        site: &site,
        pace: &pace,
        tally: &tally,
        redis: redis.as_mut(),
        volume: volume.map(Volume::path),
        log: Vec::new(),
    };
    let crowd = Crowd::start(options, &site, &pace, &tally);

    let rounds = (options.time.as_secs_f64() / ROUND.as_secs_f64()).round().max(2.0) as u32;
    disturbances.round(options.time / rounds);
    let early = crowd.rest(&site, &tally, None);
    let early_requests = tally.clients.sent.load(SeqCst);
    crowd.enter(Phase::Busy);
    for _ in 1..rounds {
        disturbances.round(options.time / rounds);
    }
    let late = crowd.rest(&site, &tally, Some(&early));
    crowd.enter(Phase::Over);
    let log = disturbances.log;

    let mut stored = Stored::default();
    for (tenant, expected) in crowd.end() {
        check_files(&dir.join(tenant), &expected, &mut stored);
    }
    check_leftovers(dir, &mut stored);
    check_ledger(&site, dir, &mut stored);
    site.ledger.close();
    if volume.is_none() {
        let _ = fs::remove_dir_all(dir);
    }
    Report {
        options: options.clone(),
        took: start.elapsed(),
        has_redis,
        disturbances: log,
        guard: site.guard.report(),
        early,
        early_requests,
        late,
        stored,
        tally,
    }
}

/// All clients, on a runtime of their own.
struct Crowd {
    runtime: Runtime,
    clients: Vec<JoinHandle<Client>>,
    phase: watch::Sender<Phase>,
    at_rest: Arc<AtomicU64>,
}

impl Crowd {
    fn start(options: &Options, site: &Site, pace: &Arc<Pace>, tally: &Arc<Tally>) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        let (phase, receiver) = watch::channel(Phase::Busy);
        let at_rest = Arc::new(AtomicU64::new(0));
        let clients = (0..options.clients)
            .map(|number| {
                let client = Client {
                    number,
                    dice: Dice::new(options.seed.wrapping_add(number)),
                    connection: Connection::new(site.address, number % 3 == 2),
                    tally: tally.clone(),
                    expected: Expected::new(),
                    patience: if options.broken.is_empty() {
                        PATIENCE
                    } else {
                        PATIENCE / 10
                    },
                };
                runtime.spawn(client.run(pace.clone(), receiver.clone(), at_rest.clone()))
            })
            .collect();
        Self {
            runtime,
            clients,
            phase,
            at_rest,
        }
    }

    /// When it returns from a quiet phase's beginning, no client does anything.
    fn enter(&self, phase: Phase) {
        self.at_rest.store(0, SeqCst);
        self.phase.send_replace(phase);
        if phase == Phase::Busy {
            return;
        }
        // Each request has an answer, or is given up, in a time that the clients know.
        while self.at_rest.load(SeqCst) < self.clients.len() as u64 {
            sleep(Duration::from_millis(10));
        }
    }

    /// What there is while no client does anything.
    fn rest(&self, site: &Site, tally: &Tally, like: Option<&Mark>) -> Mark {
        self.enter(Phase::Quiet);
        tally.server.forget_closing();
        Mark::at_rest(site, like)
    }

    /// What each knows of its tenant's files.
    fn end(self) -> Vec<(String, Expected)> {
        let Self { runtime, clients, .. } = self;
        clients
            .into_iter()
            .map(|client| {
                let client = runtime.block_on(client).expect("a client did not panic");
                (client.tenant(), client.expected)
            })
            .collect()
    }
}

fn check_files(dir: &Path, expected: &Expected, stored: &mut Stored) {
    for (name, versions) in expected {
        let found = match fs::read(dir.join(name)) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                stored.wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let is_right = versions.iter().any(|version| match (version, &found) {
            (None, None) => true,
            (Some(content), Some(found)) => content.bytes() == *found,
            _ => false,
        });
        if !is_right {
            let size = found.as_ref().map(Vec::len);
            stored
                .wrong
                .push(format!("{name}: {size:?} bytes, not one of {versions:?}"));
        }
        if let Some(found) = found {
            stored.files += 1;
            stored.bytes += found.len() as u64;
        }
    }
}

/// Nothing is there beside what was acknowledged, and nothing of what was cut off.
fn check_leftovers(dir: &Path, stored: &mut Stored) {
    let mut found = 0;
    for entry in entries(dir) {
        if entry.is_file() {
            stored.wrong.push(format!("left over: {}", entry.display()));
        } else {
            found += entries(&entry).filter(|path| path.is_file()).count() as u64;
        }
    }
    if found != stored.files {
        stored
            .wrong
            .push(format!("{found} files are there, {} are known of", stored.files));
    }
}

/// Each tenant is charged what is there.
fn check_ledger(site: &Site, dir: &Path, stored: &mut Stored) {
    for name in (0..TENANTS).map(tenant) {
        let there: u64 = entries(&dir.join(&name))
            .map(|path| path.metadata().map_or(0, |metadata| metadata.len()))
            .sum();
        // Asks Redis: who sends nothing for a while has no lease here.
        let used = match site.ledger.scan(&name).wait() {
            Ok(scan) => scan.used(),
            Err(denied) => {
                stored.charged_wrongly.push(format!("{name}: {denied}"));
                continue;
            }
        };
        stored.charged += used;
        if used != there {
            stored
                .charged_wrongly
                .push(format!("{name} is charged {used} bytes and stores {there}"));
        }
    }
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("the directory can be read").path())
}
