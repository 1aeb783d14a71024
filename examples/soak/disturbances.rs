//! What goes wrong around the server, one thing after the other, again and again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use tower_storage_guard::{BuildError, Floor, format_size};

use crate::{
    clients::Pace,
    redis_server::RedisServer,
    site::{FLOOR, Site},
    tally::Tally,
};

pub(crate) struct Disturbances<'a> {
    pub(crate) site: &'a Site,
    pub(crate) tally: &'a Arc<Tally>,
    pub(crate) pace: &'a Pace,
    pub(crate) redis: Option<&'a mut RedisServer>,
    /// Where others may write. `None` where the disk is not ours alone.
    pub(crate) volume: Option<&'a Path>,
    pub(crate) log: Vec<(&'static str, u64)>,
}

impl Disturbances<'_> {
    /// Each of them once within this time, and the rest of it in peace.
    pub(crate) fn round(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let step = time / 8;
        self.set_floor(FLOOR);
        self.others_write_as_the_floor_allows(step);
        self.settings_change(step);
        // While nobody else writes none is needed, and there is nothing that could hide a mistake.
        self.set_floor(0);
        self.redis_dies(step);
        self.the_probe_hangs(step.max(Duration::from_millis(1500)));
        self.all_come_at_once(step);
        self.others_fill_the_disk(step);
        sleep(end.saturating_duration_since(Instant::now()));
    }

    /// Less than the floor between two readings; then nobody who was admitted may find the disk full.
    fn others_write_as_the_floor_allows(&mut self, time: Duration) {
        let Some(volume) = self.volume else { return };
        let (_, before) = self.tally.storage_full_so_far();
        let path = volume.join("others");
        let end = Instant::now() + time;
        let mut written = 0;
        while Instant::now() < end {
            let piece = FLOOR / 4;
            if append(&path, piece).is_err() {
                break;
            }
            written += piece;
            if self.look() <= 0 {
                break;
            }
            sleep(time / 64);
        }
        remove(&path);
        self.look();
        self.look();
        let (_, after) = self.tally.storage_full_so_far();
        if after > before {
            let size = format_size(written);
            let found = after - before;
            self.tally.complain(format!(
                "{found} handlers found the disk full while others wrote {size} within the floor"
            ));
        }
        self.did("others wrote within the floor");
    }

    /// All there is at once, as a database may that makes a copy of itself.
    fn others_fill_the_disk(&mut self, time: Duration) {
        let Some(volume) = self.volume else { return };
        let path = volume.join("others");
        self.tally.burst_begins();
        for piece in [1 << 20, 1 << 16, 1 << 12] {
            while append(&path, piece).is_ok() {}
        }
        self.look();
        self.tally.burst_is_seen();
        sleep(time / 2);
        remove(&path);
        self.look();
        self.look();
        sleep(time / 2);
        self.did("others filled the disk");
    }

    /// As many requests as the machine can take, while nothing but the guard keeps the disk from being full.
    fn all_come_at_once(&mut self, time: Duration) {
        self.pace.rush(true);
        sleep(time);
        self.pace.rush(false);
        self.did("all clients came at once");
    }

    fn redis_dies(&mut self, time: Duration) {
        let Some(redis) = &mut self.redis else { return };
        redis.kill();
        // Longer than a lease is good.
        sleep(time.max(Duration::from_millis(2500)));
        redis.restart();
        self.did("Redis was killed and started again");
    }

    fn the_probe_hangs(&mut self, time: Duration) {
        self.site.probe.hang(true);
        sleep(time);
        self.site.probe.hang(false);
        self.look();
        self.did("the probe hung");
    }

    /// Every step is valid but one, which must change nothing.
    fn settings_change(&mut self, time: Duration) {
        let live = self.site.guard.live_settings();
        let before = live.current();
        for (floor, largest) in [
            (2 * FLOOR, Some(2 << 20)),
            (FLOOR, Some(4 << 20)),
            (3 * FLOOR, None),
            (FLOOR, None),
        ] {
            self.set(Floor::bytes(floor), largest).expect("valid settings");
            sleep(time / 4);
        }
        if self.set(Floor::percent(200.0), None).is_ok() {
            self.tally.complain("a floor of 200 % was taken".to_owned());
        }
        if format!("{:?}", live.current()) != format!("{before:?}") {
            self.tally.complain("the settings are not what they were".to_owned());
        }
        self.did("settings changed");
    }

    fn set_floor(&self, bytes: u64) {
        self.set(Floor::bytes(bytes), None).expect("valid settings");
        self.look();
    }

    fn set(&self, floor: Floor, largest: Option<u64>) -> Result<(), BuildError> {
        self.site.guard.live_settings().update(|settings| {
            settings.layer = settings.layer.max_body(largest);
            if let Some(disk) = settings.resource_mut("disk") {
                *disk = disk.floor(floor);
            }
        })
    }

    /// A measurement that begins now, and what may be admitted by it.
    fn look(&self) -> i64 {
        match self.site.disk.sample_now() {
            Ok(report) => report.headroom,
            Err(error) => {
                self.tally.complain(format!("the disk was not measured: {error}"));
                0
            }
        }
    }

    fn did(&mut self, what: &'static str) {
        match self.log.iter_mut().find(|(done, _)| *done == what) {
            Some((_, times)) => *times += 1,
            None => self.log.push((what, 1)),
        }
    }
}

fn append(path: &Path, bytes: u64) -> io::Result<()> {
    use io::Write;

    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&vec![0; bytes as usize])
}

fn remove(path: &PathBuf) {
    if let Err(error) = fs::remove_file(path) {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}
