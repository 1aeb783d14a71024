//! Refuses uploads in one of several ways, and tells how many bytes of each connection reached this machine.
//!
//! `server guard|limit|early [--free BYTES] [--hold MILLISECONDS] [--read BYTES] [--linger off] [--http2 keep]`
//!
//! Prints `listening on http://ADDRESS`, then a line for each event: `request PEER VERSION LABEL`, `told LABEL OUTCOME`,
//! `closed PEER BYTES READ`: what has arrived, and how much of it the server has read.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, connect_info::Connected},
    http::StatusCode,
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, put},
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tower_http::limit::RequestBodyLimitLayer;
use tower_storage_guard::{Linger, StorageGuardLayer, test_util::FakeResource};

const PAGE: &str = include_str!("../../../page.html");

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((uploads, address)) = uploads(&arguments) else {
        eprintln!("usage: server guard|limit|early [--free BYTES] [--hold MILLISECONDS] [--read BYTES] [--linger off] [--http2 keep] [--listen ADDRESS]");
        return ExitCode::from(2);
    };
    let router = Router::new()
        .route("/page", get(|| async { Html(PAGE) }))
        .route("/told/{label}", get(told))
        .merge(uploads.layer(middleware::from_fn(announce)));
    let listener = TcpListener::bind((address, 0)).await.expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("bound"));
    axum::serve(Counting(listener), router.into_make_service_with_connect_info::<Peer>())
        .await
        .expect("serves for ever");
    ExitCode::SUCCESS
}

fn uploads(arguments: &[String]) -> Option<(Router, IpAddr)> {
    let (refuser, options) = arguments.split_first()?;
    let (mut free, mut linger, mut address) = (1 << 20, Linger::default(), Ipv4Addr::LOCALHOST.into());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next()?;
        match option.as_str() {
            "--listen" => address = value.parse().ok()?,
            "--free" => free = value.parse().ok()?,
            "--hold" => linger = linger.hold_for(Duration::from_millis(value.parse().ok()?)),
            "--read" => linger = linger.read_at_most(value.parse().ok()?),
            "--linger" if value == "off" => linger = Linger::off(),
            "--http2" if value == "keep" => linger = linger.on_http2(true),
            _ => return None,
        }
    }
    let store = Router::new()
        .route("/upload/{label}", put(store).post(store))
        .layer(DefaultBodyLimit::disable());
    let uploads = match refuser.as_str() {
        "guard" => {
            let disk = FakeResource::new(1 << 40, free);
            let guard = StorageGuardLayer::builder().resource(disk.resource()).linger(linger);
            store.layer(guard.build().expect("valid settings"))
        }
        "limit" => store.layer(RequestBodyLimitLayer::new(usize::try_from(free).ok()?)),
        "early" => store.layer(middleware::from_fn(refuse)),
        _ => return None,
    };
    Some((uploads, address))
}

async fn store(_: Bytes) -> StatusCode {
    StatusCode::CREATED
}

/// What a handler or a middleware does that knows nothing of all this.
async fn refuse(_: Request, _: Next) -> Response {
    (StatusCode::INSUFFICIENT_STORAGE, "no room left\n").into_response()
}

async fn announce(
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(label): Path<String>,
    request: Request,
    next: Next,
) -> Response {
    println!("request {peer} {:?} {label}", request.version());
    next.run(request).await
}

/// What a page has found out.
async fn told(Path(label): Path<String>, Query(outcome): Query<Vec<(String, String)>>) {
    let words: Vec<_> = outcome.into_iter().map(|(_, value)| value).collect();
    println!("told {label} {}", words.join(" "));
}

#[derive(Clone)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Counting>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Counting>) -> Self {
        Self(*stream.remote_addr())
    }
}

struct Counting(TcpListener);

impl Listener for Counting {
    type Io = Counted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Counted, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.0).await;
        (Counted { stream, peer, read: 0 }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Counted {
    stream: TcpStream,
    peer: SocketAddr,
    read: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        println!("closed {} {} {}", self.peer, bytes_received(&self.stream), self.read);
    }
}

/// What the kernel has received and acknowledged, whether anybody read it or not.
fn bytes_received(stream: &TcpStream) -> u64 {
    // `tcpi_bytes_received` of Linux's `struct tcp_info`, which the crate `libc` does not know on all systems.
    const OFFSET: usize = 128;
    let mut info = [0_u8; 256];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    } != 0;
    assert!(!failed && length as usize >= OFFSET + 8, "needs Linux 4.1");
    u64::from_ne_bytes(info[OFFSET..OFFSET + 8].try_into().expect("eight bytes"))
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read += buffer.filled().len() - before;
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
