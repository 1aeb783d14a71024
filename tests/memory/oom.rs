//! A server with 64 MiB of memory, 200 uploads of 1 MiB at once, and a handler that keeps each whole body for a while.

use std::{io, net::SocketAddr, os::unix::process::ExitStatusExt, time::Duration};

use axum::{Router, body::Bytes, routing::put};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower_storage_guard::{Floor, Linger, MemoryProbe, Resource, SizeModel, StorageGuardLayer, WriteBuffer};

use crate::support::{Child, Group, MIB, child, or_skip};

const UPLOADS: usize = 200;
/// How long the handler keeps a body: all uploads are under way at once.
const KEPT: Duration = Duration::from_secs(3);

#[test]
fn guarded_it_refuses_what_does_not_fit_and_lives() {
    let group = or_skip!(Group::limited(64 * MIB));
    let mut server = Child::start(&group, "oom::serving", "guarded");
    let address = address_of(&mut server);
    for wave in 1..=3 {
        let outcomes = upload_all(address);
        let stored = outcomes.count(200);
        let refused = outcomes.count(507) + outcomes.count(503);
        eprintln!(
            "wave {wave}: {stored} stored, {refused} refused, others: {:?}",
            outcomes.others()
        );
        eprintln!("at most {} MiB were in use", group.most_used() / MIB);
        assert_eq!(server.has_ended(), None, "it lives");
        assert_eq!(stored + refused, UPLOADS, "every upload is answered");
        assert!(stored >= 5 && refused >= UPLOADS / 2, "{stored} {refused}");
    }
    assert_eq!(group.oom_kills(), 0);
    let (status, told) = server.finish();
    assert!(status.success(), "{status}: {told}");
}

#[test]
fn without_the_guard_it_is_killed() {
    let group = or_skip!(Group::limited(64 * MIB));
    let mut server = Child::start(&group, "oom::serving", "bare");
    let address = address_of(&mut server);
    let outcomes = upload_all(address);
    eprintln!("{} stored, others: {:?}", outcomes.count(200), outcomes.others());
    assert_eq!(server.wait().signal(), Some(9), "the kernel killed it");
    assert!(group.oom_kills() > 0);
    assert_eq!(outcomes.count(200), 0, "all are lost");
}

fn address_of(server: &mut Child) -> SocketAddr {
    server.report().expect("it serves").parse().expect("an address")
}

struct Outcomes(Vec<io::Result<u16>>);

impl Outcomes {
    fn count(&self, status: u16) -> usize {
        self.0
            .iter()
            .filter(|outcome| matches!(outcome, Ok(got) if *got == status))
            .count()
    }

    fn others(&self) -> Vec<&io::Result<u16>> {
        self.0
            .iter()
            .filter(|outcome| !matches!(outcome, Ok(200 | 503 | 507)))
            .collect()
    }
}

fn upload_all(address: SocketAddr) -> Outcomes {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut uploads = JoinSet::new();
        for _ in 0..UPLOADS {
            uploads.spawn(upload(address));
        }
        Outcomes(uploads.join_all().await)
    })
}

/// Sends a body, and reads what comes back meanwhile.
async fn upload(address: SocketAddr) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut read, mut write) = stream.split();
    let send = async {
        let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {MIB}\r\nConnection: close\r\n\r\n");
        write.write_all(head.as_bytes()).await?;
        write.write_all(&vec![b'x'; MIB as usize]).await
    };
    let receive = async {
        let mut answer = Vec::new();
        let ended = read.read_to_end(&mut answer).await;
        match answer
            .get(9..12)
            .and_then(|status| std::str::from_utf8(status).ok()?.parse().ok())
        {
            Some(status) => Ok(status),
            None => ended.and(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    };
    // A refused upload may break off; the answer is what counts.
    let (_, answer) = tokio::join!(send, receive);
    answer
}

/// The server, in its group.
#[test]
#[ignore = "a process of its own, which other tests start"]
fn serving() {
    let Some(task) = child::task() else { return };
    let app = Router::new().route(
        "/",
        put(async |body: Bytes| {
            tokio::time::sleep(KEPT).await;
            body.len().to_string()
        }),
    );
    let app = match task.as_str() {
        "guarded" => app.layer(guard()),
        _ => app,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        child::report(&listener.local_addr().expect("bound").to_string());
        let end = tokio::task::spawn_blocking(child::wait_for_the_end);
        let serve = axum::serve(listener, app).with_graceful_shutdown(async { end.await.expect("reads") });
        serve.await.expect("serves");
    });
}

fn guard() -> StorageGuardLayer {
    let memory = Resource::builder("memory", MemoryProbe::new())
        // For connections and their buffers, refused ones too.
        .floor(Floor::bytes(24 * MIB))
        .build()
        .expect("measured");
    StorageGuardLayer::builder()
        .resource(memory)
        // `Bytes` puts the frames together in a second buffer. Measured: 1.5 bytes of memory for a byte of a body.
        .size_model(SizeModel::default().factor(2.0))
        .write_buffer(WriteBuffer::Whole)
        // Measured: one that is kept and read from takes up to 0.5 MiB.
        .linger(Linger::default().connections(32))
        .build()
        .expect("sound")
}
