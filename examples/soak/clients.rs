//! Clients that store, read and delete, in all the ways there are, and know what must be there.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::{Method, Request, header::CONTENT_LENGTH};
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};

use crate::{
    body::Sent,
    connection::{Answer, Connection},
    content::{Content, Dice},
    site::{NUMBER, TENANT, tenant},
    tally::Tally,
};

const NAMES: u64 = 20;
const LARGEST_USUAL: u32 = 21;

/// Whether clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Busy,
    /// No request is under way, and no connection open.
    Quiet,
    Over,
}

/// Spreads requests evenly.
pub(crate) struct Pace {
    /// When the next one is due, and its number.
    next: Mutex<(Instant, u64)>,
    between: Duration,
    rush: AtomicBool,
}

/// What was missed longer ago is not made up for.
const MEMORY: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            next: Mutex::new((Instant::now(), 0)),
            between: Duration::from_secs(1) / rate as u32,
            rush: AtomicBool::new(false),
        }
    }

    /// From now on nobody waits, or everybody does.
    pub(crate) fn rush(&self, rush: bool) {
        self.rush.store(rush, Relaxed);
    }

    async fn turn(&self) -> u64 {
        let (at, number) = {
            let mut next = self.next.lock().expect("no panic");
            let (at, number) = *next;
            let at = at.max(Instant::now() - MEMORY);
            let between = if self.rush.load(Relaxed) {
                Duration::ZERO
            } else {
                self.between
            };
            *next = (at + between, number + 1);
            (at, number)
        };
        sleep_until(at.into()).await;
        number
    }
}

/// What may be under each name: one of these. `None` is nothing.
pub(crate) type Expected = BTreeMap<String, Vec<Option<Content>>>;

pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) dice: Dice,
    pub(crate) connection: Connection,
    pub(crate) tally: Arc<Tally>,
    pub(crate) expected: Expected,
    pub(crate) patience: Duration,
}

impl Client {
    pub(crate) fn tenant(&self) -> String {
        tenant(self.number)
    }

    /// Until it is over. Tells of each quiet time when it has come to rest.
    pub(crate) async fn run(
        mut self,
        pace: Arc<Pace>,
        mut phase: watch::Receiver<Phase>,
        rest: Arc<AtomicU64>,
    ) -> Self {
        loop {
            let now = *phase.borrow_and_update();
            if now != Phase::Busy {
                self.connection.close().await;
                rest.fetch_add(1, Relaxed);
                if now == Phase::Over || phase.changed().await.is_err() {
                    return self;
                }
                continue;
            }
            tokio::select! {
                number = pace.turn() => self.act(number).await,
                _ = phase.changed() => {}
            }
        }
    }

    async fn act(&mut self, number: u64) {
        let name = format!("c{}-{}", self.number, self.dice.below(NAMES));
        match self.dice.below(100) {
            0..36 => {
                let content = self.content();
                let body = Sent::whole(content.bytes());
                self.put("PUT", number, name, content, body, &[]).await;
            }
            36..52 => {
                // HTTP/2 takes many small ones for an attack.
                let (content, piece) = (self.content(), 1000 + self.dice.below(100_000) as usize);
                let body = Sent::whole(content.bytes()).chunked(piece);
                self.put("PUT in chunks", number, name, content, body, &[]).await;
            }
            52..58 => self.put_and_go(number, &name).await,
            58..60 => self.lie(number, name).await,
            60..62 => self.ask_for_too_much(number, &name).await,
            62..80 => self.get(number, &name).await,
            80..91 => self.delete(number, &name).await,
            _ => self.directory(number).await,
        }
    }

    /// Mostly small.
    fn content(&mut self) -> Content {
        let size = if self.dice.percent(1) {
            (4 << 20) + self.dice.below(6 << 20)
        } else {
            let bits = self.dice.below(u64::from(LARGEST_USUAL)) as u32;
            (1 << bits) + self.dice.below(1 << bits)
        };
        Content {
            seed: self.dice.roll(),
            size: size as usize,
        }
    }

    async fn put(
        &mut self,
        action: &'static str,
        number: u64,
        name: String,
        content: Content,
        body: Sent,
        headers: &[(&'static str, String)],
    ) {
        self.tally.clients.bytes.fetch_add(content.size as u64, Relaxed);
        match self
            .send(action, Method::PUT, number, &format!("/files/{name}"), body, headers)
            .await
        {
            Some(answer) => match answer.head.status().as_u16() {
                201 | 204 => {
                    self.expected.insert(name, vec![Some(content)]);
                }
                507 => self.make_room(number).await,
                413 | 503 => {}
                status => self.unexpected(action, status, &answer),
            },
            None => self
                .expected
                .entry(name)
                .or_insert_with(|| vec![None])
                .push(Some(content)),
        }
    }

    /// Goes away before the end, so that nothing may be stored.
    async fn put_and_go(&mut self, number: u64, name: &str) {
        let content = self.content();
        let cut = self.dice.below(content.size as u64) as usize;
        let mut body = Sent::whole(content.bytes()).cut(cut);
        if self.dice.percent(30) {
            body = body.chunked(10_000);
        }
        let request = self.request(Method::PUT, number, &format!("/files/{name}"), body, &[]);
        let clients = &self.tally.clients;
        clients.sent.fetch_add(1, Relaxed);
        match timeout(self.patience, self.connection.send(request)).await {
            Ok(Ok(answer)) => {
                let status = answer.head.status().as_u16();
                clients.answer("PUT, cut off", status);
                // Either it was refused before it was cut off, or the handler noticed.
                if ![400, 413, 503, 507].contains(&status) {
                    self.unexpected("PUT, cut off", status, &answer);
                }
            }
            Ok(Err(_)) => {
                clients.cut.fetch_add(1, Relaxed);
            }
            Err(_) => self.lost("PUT, cut off", "nothing came"),
        }
    }

    /// Hints that are too low let nothing in, and too high ones refuse this request only.
    async fn lie(&mut self, number: u64, name: String) {
        let content = self.content();
        let (hint, piece) = (self.dice.below(1 << 42), 20_000);
        let body = Sent::whole(content.bytes()).chunked(piece);
        let headers = [("upload-length", hint.to_string())];
        self.put("PUT with a false hint", number, name, content, body, &headers)
            .await;
    }

    async fn ask_for_too_much(&mut self, number: u64, name: &str) {
        let action = "PUT of too much";
        let body = Sent::whole(vec![0; 100_000]).stall(100_000);
        let headers = [(CONTENT_LENGTH.as_str(), (1_u64 << 50).to_string())];
        let path = format!("/files/{name}");
        if let Some(answer) = self.send(action, Method::PUT, number, &path, body, &headers).await {
            if answer.head.status() != 413 {
                self.unexpected(action, answer.head.status().as_u16(), &answer);
            }
        }
    }

    async fn get(&mut self, number: u64, name: &str) {
        let path = format!("/files/{name}");
        let Some(answer) = self.send("GET", Method::GET, number, &path, empty(), &[]).await else {
            return;
        };
        let versions = self.expected.get(name).map_or(&[None][..], Vec::as_slice);
        let is_right = match answer.head.status().as_u16() {
            200 => versions.iter().flatten().any(|content| content.bytes() == answer.body),
            404 => versions.contains(&None),
            status => return self.unexpected("GET", status, &answer),
        };
        if !is_right {
            let told = format!("{} with {} bytes", answer.head.status(), answer.body.len());
            self.tally.complain(format!("{name}: {told}, not one of {versions:?}"));
        }
    }

    async fn delete(&mut self, number: u64, name: &str) {
        let path = format!("/files/{name}");
        let answer = self.send("DELETE", Method::DELETE, number, &path, empty(), &[]).await;
        let versions = self.expected.entry(name.to_owned()).or_insert_with(|| vec![None]);
        let Some(answer) = answer else {
            versions.push(None);
            return;
        };
        let could_be_missing = versions.contains(&None);
        *versions = vec![None];
        match answer.head.status().as_u16() {
            204 => {}
            404 if could_be_missing => {}
            404 => self.tally.complain(format!("{name} was lost")),
            status => self.unexpected("DELETE", status, &answer),
        }
    }

    /// As those do who were told that there is no room.
    async fn make_room(&mut self, number: u64) {
        if self.dice.percent(50) {
            return;
        }
        let stored = self.expected.iter().filter(|(_, versions)| !versions.contains(&None));
        let largest = stored.max_by_key(|(_, versions)| versions.iter().flatten().map(|content| content.size).max());
        if let Some((name, _)) = largest {
            let name = name.clone();
            self.delete(number, &name).await;
        }
    }

    async fn directory(&mut self, number: u64) {
        let mkcol = Method::from_bytes(b"MKCOL").expect("a method");
        let path = format!("/dirs/d{}-{}", self.number, self.dice.below(NAMES));
        let (action, method, right) = if self.dice.percent(50) {
            ("MKCOL", mkcol, &[201, 405, 503, 507][..])
        } else {
            ("DELETE of a directory", Method::DELETE, &[204, 404][..])
        };
        if let Some(answer) = self.send(action, method, number, &path, empty(), &[]).await {
            if !right.contains(&answer.head.status().as_u16()) {
                self.unexpected(action, answer.head.status().as_u16(), &answer);
            }
        }
    }

    /// `None` if no answer came, though it should have.
    async fn send(
        &mut self,
        action: &'static str,
        method: Method,
        number: u64,
        path: &str,
        body: Sent,
        headers: &[(&'static str, String)],
    ) -> Option<Answer> {
        let request = self.request(method, number, path, body, headers);
        let told = request.headers().get(NUMBER).cloned();
        self.tally.clients.sent.fetch_add(1, Relaxed);
        match timeout(self.patience, self.connection.send(request)).await {
            Ok(Ok(answer)) => {
                self.tally.clients.answer(action, answer.head.status().as_u16());
                if answer.head.headers().get(NUMBER) != told.as_ref() {
                    self.tally.complain(format!("{action}: the answer to another request"));
                }
                Some(answer)
            }
            // Who is still sending when the connection closes may lose the answer with it.
            Ok(Err(_)) if self.tally.server.has_closed_after(number) => {
                self.tally.clients.unread.fetch_add(1, Relaxed);
                None
            }
            Ok(Err(error)) => {
                let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
                self.lost(action, &format!("{error}{cause}"));
                None
            }
            Err(_) => {
                self.connection.close().await;
                self.lost(action, "nothing came");
                None
            }
        }
    }

    fn request(
        &self,
        method: Method,
        number: u64,
        path: &str,
        body: Sent,
        headers: &[(&'static str, String)],
    ) -> Request<Sent> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://soak{path}"))
            .header("host", "soak")
            .header(TENANT, self.tenant())
            .header(NUMBER, number);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(body).expect("a request")
    }

    fn lost(&self, action: &str, why: &str) {
        self.tally.clients.lost.fetch_add(1, Relaxed);
        self.tally.complain(format!("{action}: no answer: {why}"));
    }

    fn unexpected(&self, action: &str, status: u16, answer: &Answer) {
        let body = String::from_utf8_lossy(&answer.body);
        let start: String = body.chars().take(200).collect();
        self.tally.complain(format!("{action}: {status}: {start}"));
    }
}

fn empty() -> Sent {
    Sent::whole(Vec::new())
}
