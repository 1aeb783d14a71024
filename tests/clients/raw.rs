//! A client without a mind of its own.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::server::LARGE;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    stream: TcpStream,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: nothing was lost on the way.
    Closed,
    Reset,
    /// It is still open.
    Open,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Begins to upload, with these header lines.
    pub(crate) fn put(&mut self, lines: &[&str]) {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(format!("PUT / HTTP/1.1\r\nhost: test\r\n{lines}\r\n").as_bytes())
            .expect("the server reads heads");
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn send_zeros(&mut self, bytes: usize) -> io::Result<()> {
        self.send(&vec![0; bytes])
    }

    /// Sends from a thread of its own: pieces that look like this, until it is told to stop or cannot any more.
    pub(crate) fn keep_sending(&self, piece: Vec<u8>) -> Sending {
        let mut stream = self.stream.try_clone().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut left = LARGE;
            while left > 0 && !stopped.load(SeqCst) {
                stream.write_all(&piece)?;
                left = left.saturating_sub(piece.len() as u64);
            }
            Ok(())
        });
        Sending { stop, thread }
    }

    /// Reads one answer, and no more than that.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("the head of an answer");
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let length = answer.header("content-length").expect("a length").parse().unwrap();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("all of the answer");
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// How the connection ends, if it does within so much time. Nothing may come before that.
    pub(crate) fn end_within(&mut self, time: Duration) -> End {
        self.stream.set_read_timeout(Some(time)).unwrap();
        match self.stream.read(&mut [0]) {
            Ok(0) => End::Closed,
            Ok(_) => panic!("more than an answer"),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Open,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Reset,
                kind => panic!("{kind}"),
            },
        }
    }

    /// All that comes until the connection ends, whatever it is.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8(rest).unwrap()
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(": ").map(str::len);
        self.head
            .lines()
            .find_map(|line| value(line).map(|length| &line[line.len() - length..]))
    }

    /// The guard's own, from its first byte to its last.
    #[track_caller]
    pub(crate) fn assert_is_refusal(&self) {
        assert_eq!(self.status, 507, "{}", self.head);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_str(&self.body).expect("whole");
        assert_eq!(problem["status"], 507);
    }
}

/// A thread that sends.
pub(crate) struct Sending {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Sending {
    /// Whether it has not been turned away for all of this time.
    pub(crate) fn lasts(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if self.thread.is_finished() {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Whether it gets turned away.
    pub(crate) fn fails(self) -> bool {
        self.thread.join().unwrap().is_err()
    }

    pub(crate) fn stop(self, client: &Client) {
        self.stop.store(true, SeqCst);
        let _ = client.stream.shutdown(Shutdown::Both);
        let _ = self.thread.join();
    }
}

/// 64 KiB of a body that comes in chunks.
pub(crate) fn chunk() -> Vec<u8> {
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10000, 0);
    chunk.extend(b"\r\n");
    chunk
}
