//! Refuses uploads in one of several ways, and tells how many bytes of each connection reached this machine.
//!
//! `server guard|limit|early [--free BYTES] [--read BYTES] [--hold MILLISECONDS] [--linger off] [--http2 reset]
//! [--tls DIRECTORY] [--listen ADDRESS]`
//!
//! With `--tls` the directory holds `certificate.pem` and `key.pem`. Prints `listening on URL`, then a line for each
//! event: `request PEER VERSION LABEL`, `told LABEL OUTCOME`, `closed PEER BYTES HEAD`: what has arrived, and how much of
//! it was the first request's head.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    path::{Path as FilePath, PathBuf},
    pin::Pin,
    process::ExitCode,
    sync::Arc,
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
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tower_http::limit::RequestBodyLimitLayer;
use tower_storage_guard::{Linger, StorageGuardLayer, test_util::FakeResource};

const PAGE: &str = include_str!("../../../page.html");

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(settings) = Settings::from_arguments(&arguments) else {
        eprintln!("usage: see the beginning of the source");
        return ExitCode::from(2);
    };
    let Some(uploads) = uploads(&settings) else {
        eprintln!("refuse with guard, limit or early");
        return ExitCode::from(2);
    };
    let router = Router::new()
        .route("/page", get(|| async { Html(PAGE) }))
        .route("/told/{label}", get(told))
        .merge(uploads.layer(middleware::from_fn(announce)));
    let listener = TcpListener::bind((settings.listen, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let tls = settings.tls.as_deref().map(acceptor);
    println!(
        "listening on {}://{address}",
        if tls.is_some() { "https" } else { "http" }
    );
    let accepting = Accepting::start(listener, tls);
    axum::serve(accepting, router.into_make_service_with_connect_info::<Peer>())
        .await
        .expect("serves for ever");
    ExitCode::SUCCESS
}

struct Settings {
    refuser: String,
    free: u64,
    linger: Linger,
    tls: Option<PathBuf>,
    listen: IpAddr,
}

impl Settings {
    fn from_arguments(arguments: &[String]) -> Option<Self> {
        let (refuser, options) = arguments.split_first()?;
        let mut settings = Self {
            refuser: refuser.clone(),
            free: 1 << 20,
            linger: Linger::default(),
            tls: None,
            listen: Ipv4Addr::LOCALHOST.into(),
        };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let value = options.next()?;
            let linger = settings.linger;
            match (option.as_str(), value.as_str()) {
                ("--free", bytes) => settings.free = bytes.parse().ok()?,
                ("--read", bytes) => settings.linger = linger.read_at_most(bytes.parse().ok()?),
                ("--hold", time) => settings.linger = linger.hold_for(Duration::from_millis(time.parse().ok()?)),
                ("--linger", "off") => settings.linger = Linger::off(),
                ("--http2", "reset") => settings.linger = linger.on_http2(false),
                ("--tls", directory) => settings.tls = Some(directory.into()),
                ("--listen", address) => settings.listen = address.parse().ok()?,
                _ => return None,
            }
        }
        Some(settings)
    }
}

fn uploads(settings: &Settings) -> Option<Router> {
    let store = Router::new()
        .route("/upload/{label}", put(store))
        .layer(DefaultBodyLimit::disable());
    Some(match settings.refuser.as_str() {
        "guard" => {
            let disk = FakeResource::new(1 << 40, settings.free);
            tokio::spawn(measure_often(disk.clone()));
            let guard = StorageGuardLayer::builder()
                .resource(disk.resource())
                .linger(settings.linger);
            store.layer(guard.build().expect("valid settings"))
        }
        "limit" => store.layer(RequestBodyLimitLayer::new(usize::try_from(settings.free).ok()?)),
        "early" => store.layer(middleware::from_fn(refuse)),
        _ => return None,
    })
}

/// What a refused upload has brought is forgotten again.
async fn measure_often(disk: FakeResource) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        disk.sample();
    }
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

impl Connected<IncomingStream<'_, Accepting>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Accepting>) -> Self {
        Self(*stream.remote_addr())
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connections that are ready to be served: a handshake that takes its time holds up no other.
struct Accepting {
    ready: mpsc::Receiver<(Box<dyn Stream>, SocketAddr)>,
    address: SocketAddr,
}

impl Accepting {
    fn start(mut listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().expect("bound");
        let (sender, ready) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let (stream, peer) = Listener::accept(&mut listener).await;
                let stream = Counted {
                    stream,
                    peer,
                    head: Head::Reading(Vec::new()),
                    received: None,
                };
                let (sender, tls) = (sender.clone(), tls.clone());
                tokio::spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let _ = sender.send((stream, peer)).await;
                });
            }
        });
        Self { ready, address }
    }
}

impl Listener for Accepting {
    type Io = Box<dyn Stream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Box<dyn Stream>, SocketAddr) {
        self.ready.recv().await.expect("accepts for ever")
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

fn acceptor(directory: &FilePath) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(directory.join("certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).expect("a key");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

struct Counted {
    stream: TcpStream,
    peer: SocketAddr,
    head: Head,
    /// What had arrived when the server closed its side.
    received: Option<u64>,
}

/// The first request's head, on HTTP/1.1 without TLS.
enum Head {
    Reading(Vec<u8>),
    Read(usize),
}

impl Head {
    fn read(&mut self, bytes: &[u8]) {
        const END: &[u8] = b"\r\n\r\n";
        let Self::Reading(head) = self else { return };
        head.extend_from_slice(&bytes[..bytes.len().min(1 << 16)]);
        if let Some(position) = head.windows(END.len()).position(|window| window == END) {
            *self = Self::Read(position + END.len());
        } else if head.len() > 1 << 16 {
            *self = Self::Read(0);
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Reading(_) => 0,
            Self::Read(length) => *length,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let received = self.received.unwrap_or_else(|| bytes_received(&self.stream));
        println!("closed {} {received} {}", self.peer, self.head.length());
    }
}

/// What the kernel has received and acknowledged, whether anybody read it or not.
fn bytes_received(stream: &TcpStream) -> u64 {
    // Of Linux's `struct tcp_info`, which the crate `libc` does not know whole on all systems.
    const BYTES_RECEIVED: usize = 128;
    const STATE: usize = 0;
    const CLOSE_WAIT: u8 = 8;
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
    assert!(!failed && length as usize >= BYTES_RECEIVED + 8, "needs Linux 4.1");
    let bytes = info[BYTES_RECEIVED..BYTES_RECEIVED + 8]
        .try_into()
        .expect("eight bytes");
    // The end of the client's side counts as a byte.
    u64::from_ne_bytes(bytes) - u64::from(info[STATE] == CLOSE_WAIT)
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.head.read(&buffer.filled()[before..]);
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
        if self.received.is_none() {
            self.received = Some(bytes_received(&self.stream));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
