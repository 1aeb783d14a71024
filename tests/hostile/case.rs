//! One connection of HTTP/1.1: what is sent, and what must come of it.

use std::time::Duration;

use tower_storage_guard::Linger;

use crate::{
    raw::Client,
    server::{Ending, FREE, Seen, Server, eventually},
    table::Row,
};

pub(crate) struct Case {
    /// In the words of the table.
    pub(crate) client: &'static str,
    pub(crate) head: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) answers: &'static [u16],
    pub(crate) seen: Sight,
}

/// What the handler sees.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sight {
    Nothing,
    /// All of a body.
    Whole(u64),
    /// A body that ends with an error, after at most so many bytes.
    Broken(u64),
}

impl Case {
    pub(crate) fn row(&self, test: &'static str) -> Row {
        let answers: Vec<_> = self.answers.iter().map(u16::to_string).collect();
        let gets = match answers.is_empty() {
            true => "nothing".to_owned(),
            false => answers.join(", then "),
        };
        Row::new(test, self.client, gets, self.seen.words())
    }

    /// The client sends everything, and then reads until the server closes or all the expected answers are there.
    pub(crate) fn check(&self) {
        let server = Server::start(Linger::default().hold_for(Duration::from_millis(50)));
        let mut client = Client::connect(server.address);
        client.send(self.head.as_bytes()).expect("the server reads heads");
        // Whoever is refused may be turned away before the end.
        let _ = client.send(&self.body);
        if self.answers.is_empty() {
            drop(client);
            eventually("the handler is done", || server.seen().len() == 1);
        } else {
            let received = client.rest();
            assert_eq!(statuses(&received), self.answers, "{}: {received}", self.client);
            drop(client);
        }
        assert_at_rest(&server);
        let seen = server.seen();
        let is_right = match (self.seen, &*seen) {
            (Sight::Nothing, []) => true,
            (Sight::Whole(bytes), [one]) => *one == whole(bytes),
            (Sight::Broken(most), [one]) => one.ending != Ending::Whole && one.bytes <= most,
            _ => false,
        };
        assert!(is_right, "{}: {seen:?}, not {:?}", self.client, self.seen);
    }
}

impl Sight {
    fn words(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Whole(1) => "1 byte".to_owned(),
            Self::Whole(bytes) => format!("{bytes} bytes"),
            Self::Broken(0) => "an error".to_owned(),
            Self::Broken(FREE) => "what fits, then an error".to_owned(),
            Self::Broken(bytes) => format!("up to {bytes} bytes, then an error"),
        }
    }
}

pub(crate) fn whole(bytes: u64) -> Seen {
    Seen {
        bytes,
        ending: Ending::Whole,
    }
}

/// Of all answers that came on a connection.
pub(crate) fn statuses(received: &str) -> Vec<u16> {
    received
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer[..3].parse().expect("a status"))
        .collect()
}

/// When all clients are gone nothing is left of them, all the room is back, and whoever comes is served.
#[track_caller]
pub(crate) fn assert_at_rest(server: &Server) {
    eventually("no connection is left", || server.tasks() == 0);
    let report = server.disk.sample();
    assert_eq!(
        (report.held, report.unseen, report.headroom),
        (0, 0, FREE as i64),
        "{report:?}"
    );
    assert_eq!(server.layer.report().lingering, 0);
    let before = server.seen().len();
    let mut client = Client::connect(server.address);
    assert_is_served(&mut client, 10);
    drop(client);
    assert_eq!(server.seen().len(), before + 1);
    eventually("no connection is left", || server.tasks() == 0);
    server.forget_last_seen();
    server.disk.sample();
}

/// A client that behaves, beside those that do not.
#[track_caller]
pub(crate) fn assert_is_served(client: &mut Client, bytes: usize) {
    client.put(&[&format!("content-length: {bytes}")]);
    client.send_zeros(bytes).unwrap();
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.body),
        (200, bytes.to_string()),
        "{}",
        answer.head
    );
}
