//! A TCP proxy that a test can make lose, keep back and repeat what passes. Nothing in it depends on time.

#![allow(dead_code, reason = "no test needs all of it")]

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// Between clients and a server. Requests and replies go by the piece, as they are read; on the loopback that is how they
/// were written.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What happens to a piece when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// It waits for [`Proxy::release`], also when later ones pass.
    Hold,
    Lose,
    /// It is lost, and its connection ends.
    Break,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    requests: Mode,
    replies: Mode,
    refuses: bool,
    is_over: bool,
    /// Pieces that wait.
    held: usize,
    /// How often what waits was let go.
    releases: usize,
    connections: Vec<Connection>,
    passed: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    is_over: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                upstream,
                requests: Mode::Pass,
                replies: Mode::Pass,
                refuses: false,
                is_over: false,
                held: 0,
                releases: 0,
                connections: Vec::new(),
                passed: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let of_thread = shared.clone();
        thread::spawn(move || of_thread.accept(&listener));
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Where later connections lead.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        self.shared.lock().upstream = upstream;
    }

    pub(crate) fn requests(&self, mode: Mode) {
        self.shared.lock().requests = mode;
    }

    pub(crate) fn replies(&self, mode: Mode) {
        self.shared.lock().replies = mode;
    }

    /// Whether later connections are closed at once.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.shared.lock().refuses = refuses;
    }

    /// What waits goes on.
    pub(crate) fn release(&self) {
        self.shared.lock().releases += 1;
        self.shared.changed.notify_all();
    }

    /// Blocks until a piece waits.
    pub(crate) fn wait_until_held(&self) {
        drop(self.shared.wait_while(|state| state.held == 0));
    }

    /// Blocks until nothing waits any more: what did has been passed on.
    pub(crate) fn wait_until_none_is_held(&self) {
        drop(self.shared.wait_while(|state| state.held > 0));
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        for connection in self.shared.lock().connections.drain(..) {
            let _ = connection.client.shutdown(Shutdown::Both);
            let _ = connection.server.shutdown(Shutdown::Both);
        }
    }

    /// The client reads the end of its connections, while what it has written still passes.
    pub(crate) fn half_close(&self) {
        for connection in &self.shared.lock().connections {
            let _ = connection.client.shutdown(Shutdown::Write);
        }
    }

    /// All that has reached the server since the last call, by the piece.
    pub(crate) fn take_requests(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.shared.lock().passed)
    }

    /// Sends a request once more, on a connection of its own, and gives the answer.
    pub(crate) fn replay(&self, request: &[u8]) -> String {
        let upstream = self.shared.lock().upstream;
        let mut server = TcpStream::connect(upstream).expect("a server");
        server.set_read_timeout(Some(PATIENCE)).expect("not zero");
        server.write_all(request).expect("it reads");
        server.write_all(b"PING\r\n").expect("it reads");
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !answer.ends_with(b"+PONG\r\n") {
            let read = server.read(&mut buffer).expect("it answers");
            assert!(read > 0, "it answers");
            answer.extend_from_slice(&buffer[..read]);
        }
        answer.truncate(answer.len() - b"+PONG\r\n".len());
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.release();
        self.cut();
        // Its thread waits for one more connection.
        let _ = TcpStream::connect(self.address);
    }
}

/// A test that waits for longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Direction {
    Requests,
    Replies,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics in it")
    }

    fn wait_while(&self, mut condition: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |state| condition(state))
            .expect("no test panics in it");
        assert!(!timeout.timed_out(), "nothing came, or nothing went on");
        state
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            let (Ok(client), mut state) = (client, self.lock()) else {
                continue;
            };
            if state.is_over {
                return;
            }
            if state.refuses {
                continue;
            }
            let Ok(server) = TcpStream::connect(state.upstream) else {
                continue;
            };
            let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            let is_over = Arc::new(AtomicBool::new(false));
            state.connections.retain(|connection| !connection.is_over.load(Relaxed));
            state.connections.push(Connection {
                client: copy(&client),
                server: copy(&server),
                is_over: is_over.clone(),
            });
            drop(state);
            let (there, back) = (self.clone(), self.clone());
            let (from, to) = (copy(&client), copy(&server));
            thread::spawn(move || there.forward(from, to, Direction::Requests));
            thread::spawn(move || {
                back.forward(server, client, Direction::Replies);
                is_over.store(true, Relaxed);
            });
        }
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) | Err(_) => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(read) => read,
            };
            if self.pass(&buffer[..read], &mut to, direction).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    fn pass(&self, piece: &[u8], to: &mut TcpStream, direction: Direction) -> io::Result<()> {
        let mut state = self.lock();
        let mode = match direction {
            Direction::Requests => state.requests,
            Direction::Replies => state.replies,
        };
        match mode {
            Mode::Lose => return Ok(()),
            Mode::Break => return Err(io::ErrorKind::ConnectionReset.into()),
            Mode::Pass | Mode::Hold => {}
        }
        if mode == Mode::Hold {
            let releases = state.releases;
            state.held += 1;
            self.changed.notify_all();
            while state.releases == releases {
                state = self.changed.wait(state).expect("no test panics in it");
            }
        }
        // Under the lock, so that nobody thinks it has gone on before it has.
        let written = to.write_all(piece);
        if matches!(direction, Direction::Requests) {
            state.passed.push(piece.to_vec());
        }
        if mode == Mode::Hold {
            state.held -= 1;
            self.changed.notify_all();
        }
        // Whoever is gone does not stop what comes the other way.
        let _ = written;
        Ok(())
    }
}
