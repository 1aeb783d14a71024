use std::time::{Duration, Instant};

use redis::{Client, Cmd, Connection, Pipeline, RedisError, Value};

use super::{failure, key::key, stored, wire};
use crate::tenant::{Limit, Record, StoreError, StoreErrorKind, SyncReply, SyncRequest};

/// One connection, ready for use. Whoever gets an error throws it away, because answers to what went wrong may still be
/// under way, and because the engine behind the address may be another by now.
pub(super) struct Engine {
    connection: Connection,
    settings: Settings,
    /// By which the engine knows our script.
    script: String,
}

/// What each connection is made and used with.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) client: Client,
    /// Host and port, or a path.
    pub(super) address: String,
    pub(super) prefix: String,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) trust_eviction_policy: bool,
    /// Instead of the engine's clock.
    pub(super) now: Option<Duration>,
}

const SCRIPT: &str = include_str!("sync.lua");
/// So many requests go out before their answers are read.
const BATCH: usize = 256;

impl Engine {
    pub(super) fn connect(settings: &Settings) -> Result<Self, StoreError> {
        let connection = settings
            .client
            .get_connection_with_timeout(settings.connect_timeout)
            .map_err(|error| failure::describe(&settings.address, error))?;
        Ok(Self {
            connection,
            settings: settings.clone(),
            script: String::new(),
        })
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn set_now(&mut self, now: Duration) {
        self.settings.now = Some(now);
    }

    pub(super) fn address(&self) -> &str {
        &self.settings.address
    }

    pub(super) fn sync(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
        let mut replies = Vec::with_capacity(requests.len());
        for batch in requests.chunks(BATCH) {
            replies.extend(self.sync_batch(batch)?);
        }
        Ok(replies)
    }

    pub(super) fn set_limit(&mut self, tenant: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        let key = key(&self.settings.prefix, tenant);
        let command = match limit {
            Some(limit) => {
                let limit = wire::limit(limit).map_err(|why| StoreError::new(StoreErrorKind::Rejected, why))?;
                Cmd::hset(key, "limit", limit)
            }
            None => Cmd::hdel(key, "limit"),
        };
        self.ask_one(command).map_err(|error| self.describe(error)).map(drop)
    }

    pub(super) fn record(&mut self, tenant: &str) -> Result<Option<Record>, StoreError> {
        let key = key(&self.settings.prefix, tenant);
        let fields = self.ask_one(Cmd::hgetall(key)).map_err(|error| self.describe(error))?;
        let Value::Array(fields) = fields else {
            return Err(self.describe(not_ours()));
        };
        stored::read(&fields).map_err(|what| {
            StoreError::new(
                StoreErrorKind::Corrupt,
                format!("{what} is not as it was put into Redis at {}", self.settings.address),
            )
        })
    }

    /// One command and its answer.
    pub(super) fn ask_one(&mut self, command: Cmd) -> Result<Value, RedisError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command);
        self.ask(&pipeline)?.pop().unwrap_or(Err(no_answer()))
    }

    pub(super) fn describe(&self, error: RedisError) -> StoreError {
        failure::describe(&self.settings.address, error)
    }

    fn sync_batch(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
        let mut replies = vec![None; requests.len()];
        let mut tries = 0;
        loop {
            let mut pipeline = Pipeline::with_capacity(requests.len());
            for (request, reply) in requests.iter().zip(&mut replies).filter(|(_, reply)| reply.is_none()) {
                match wire::call(&self.script, &self.settings.prefix, request, self.settings.now) {
                    Ok(call) => drop(pipeline.add_command(call)),
                    Err(why) => *reply = Some(failed(StoreErrorKind::Rejected, why)),
                }
            }
            let mut last_error = None;
            let answers = self.ask(&pipeline).map_err(|error| self.describe(error))?;
            let open = requests.iter().zip(&mut replies).filter(|(_, reply)| reply.is_none());
            for ((request, reply), answer) in open.zip(answers) {
                match answer {
                    Ok(value) => {
                        let understood = wire::reply(&value, request.floor);
                        *reply = Some(understood.ok_or_else(|| self.describe(not_ours()))?);
                    }
                    // It was not run, so it can be told again. The others were.
                    Err(error) if failure::is_unknown_script(&error) => last_error = Some(error),
                    Err(error) => match failure::of_one_tenant(&error) {
                        Some((kind, why)) => *reply = Some(failed(kind, &format!("{why} ({error})"))),
                        None => return Err(self.describe(error)),
                    },
                }
            }
            match last_error {
                None => return Ok(replies.into_iter().flatten().collect()),
                Some(_) if tries < 2 => self.load_script()?,
                Some(error) => return Err(self.describe(error)),
            }
            tries += 1;
        }
    }

    pub(super) fn load_script(&mut self) -> Result<(), StoreError> {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(SCRIPT);
        let name = self.ask_one(load).map_err(|error| self.describe(error))?;
        self.script = wire::text(&name).ok_or_else(|| self.describe(not_ours()))?.to_owned();
        Ok(())
    }

    /// Sends all, then reads an answer for each. The crate's own way to do it waits for every answer anew, also when the
    /// engine hangs.
    fn ask(&mut self, pipeline: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.settings.response_timeout;
        self.connection.set_write_timeout(Some(left_until(deadline)?))?;
        self.connection.send_packed_command(&pipeline.get_packed_pipeline())?;
        let mut answers = Vec::with_capacity(pipeline.len());
        while answers.len() < pipeline.len() {
            self.connection.set_read_timeout(Some(left_until(deadline)?))?;
            match self.connection.recv_response()? {
                Value::ServerError(error) => answers.push(Err(error.into())),
                Value::Push { .. } => {}
                value => answers.push(Ok(value)),
            }
        }
        Ok(answers)
    }
}

fn left_until(deadline: Instant) -> Result<Duration, RedisError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    }
    Ok(left)
}

fn failed(kind: StoreErrorKind, reason: &str) -> SyncReply {
    SyncReply::Failed {
        kind,
        reason: reason.into(),
    }
}

fn no_answer() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()
}

fn not_ours() -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "not an answer of ours").into()
}
