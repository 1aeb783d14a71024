//! A file server that refuses what does not fit on its disk: `cargo run --example uploads -- --help`.
//!
//! `PUT`, `GET` and `DELETE /files/{name}`, and `GET /files`. The guard goes on in `routes.rs`. A browser finds a page for
//! uploads at `/`, and how full the disk is at `/capacity`; so does a Prometheus server. `/livez` and `/readyz` are for
//! health checks. With `--tenant-header` everybody has files of his own, a limit, and `GET /quota`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever started it"
)]

mod ledger;
mod options;
mod pages;
mod quota;
mod routes;
mod settings;
mod store;
mod tenant_dir;
mod tenants;
mod turns;

use std::{
    env,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::Path,
    pin::pin,
    process::ExitCode,
};

use axum::Router;
use futures_util::{Stream, StreamExt, stream};
use options::{Command, OptionError, Options, TenantOptions};
use settings::{SettingsFile, TenantLimit};
use store::Store;
use tenants::Tenants;
use tokio::{net::TcpListener, select, sync::oneshot, task::block_in_place};
use tower_storage_guard::{
    Limit, Monitor, Resource, ResourceReport, StorageGuardLayer, TracingObserver, WriteBuffer, format_size,
};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<(), OptionError> {
    let options = match Options::parse(env::args_os().skip(1))? {
        Command::Serve(options) => *options,
        Command::Help => {
            print!("{}", options::HELP);
            return Ok(());
        }
    };
    start_logging();
    // The address first: a second server that is started by mistake must not come as far as to tidy up the directory
    // that the first one receives files in.
    let (listener, address) = listen(&options.listen).await?;
    let store = Store::open(&options.dir).map_err(|error| OptionError::unusable_dir(&options.dir, &error))?;
    let log = TracingObserver::new();
    let disk = disk(&options, &log)?;
    let tenants = tenants(&options, &store, &log)?;
    let guard = guard(&options, &disk, tenants.as_ref(), &log)?;
    let mut monitor = Monitor::builder().layer("files", &guard);
    if let Some(tenants) = &tenants {
        monitor = monitor.tenants(tenants.ledger().clone());
        // Before anybody is served, if the ledger is there.
        if tenants.count_all().await.is_err() {
            tokio::spawn(tenants.clone().keep_counting());
        }
    }
    let monitor = monitor.build().map_err(|error| OptionError::rejected(&error))?;
    if let Some(path) = options.config {
        let limit = tenant_limit(options.tenants.as_ref(), tenants.as_ref());
        let file = SettingsFile::open(path, guard.live_settings(), limit)?;
        tokio::spawn(file.follow());
    }
    announce(&options.dir, &disk.report(), address, tenants.as_ref());
    let shows_tenants = options.tenants.is_some_and(|tenants| tenants.show);
    let mut app = routes::router(store, tenants.clone(), disk, guard).merge(pages::router(
        monitor,
        tenants.as_ref(),
        shows_tenants,
    ));
    if let Some(tenants) = &tenants {
        app = app.merge(quota::router(tenants.clone()));
    }
    serve(listener, app).await;
    if let Some(tenants) = tenants {
        // Tells the store what was stored last, and gives back what is leased.
        block_in_place(|| tenants.ledger().close());
    }
    Ok(())
}

fn tenants(options: &Options, store: &Store, log: &TracingObserver) -> Result<Option<Tenants>, OptionError> {
    let Some(tenants) = &options.tenants else {
        return Ok(None);
    };
    let ledger = ledger::open(tenants, &options.dir, log)?;
    let (header, is_shared) = (tenants.header.clone(), tenants.ledger.is_shared());
    Ok(Some(Tenants::new(header, ledger, is_shared, store.clone())))
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), OptionError> {
    let bind = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind.await
        .map_err(|error: io::Error| OptionError::unusable_address(address, &error))
}

fn disk(options: &Options, log: &TracingObserver) -> Result<Resource, OptionError> {
    Resource::disk(&options.dir)
        .floor(options.floor)
        .observer(log.clone())
        .build()
        .map_err(|error| OptionError::unusable_dir(&options.dir, &error))
}

fn tenant_limit(options: Option<&TenantOptions>, tenants: Option<&Tenants>) -> TenantLimit {
    match (options, tenants) {
        (Some(options), Some(_)) if options.limits_file.is_some() => TenantLimit::Elsewhere,
        (Some(options), Some(tenants)) => {
            TenantLimit::InsteadOf(options.limit.unwrap_or(Limit::UNLIMITED), tenants.ledger().clone())
        }
        _ => TenantLimit::Useless,
    }
}

fn guard(
    options: &Options,
    disk: &Resource,
    tenants: Option<&Tenants>,
    log: &TracingObserver,
) -> Result<StorageGuardLayer, OptionError> {
    let mut guard = StorageGuardLayer::builder()
        .resource(disk.clone())
        .max_body(options.max_upload)
        // `store` writes what it receives.
        .write_buffer(WriteBuffer::Bytes(8 << 20))
        .report_only(options.report_only)
        .observer(log.clone());
    if let Some(tenants) = tenants {
        guard = guard.tenant(tenants.ledger().clone(), tenants.key());
    }
    guard.build().map_err(|error| OptionError::rejected(&error))
}

fn announce(dir: &Path, disk: &ResourceReport, address: SocketAddr, tenants: Option<&Tenants>) {
    println!("files are kept in {}", dir.display());
    println!("  size of the disk     {:>10}", format_size(disk.total));
    println!("  free                 {:>10}", format_size(disk.available));
    println!("  must stay free       {:>10}", format_size(disk.floor));
    println!(
        "  may be uploaded now  {:>10}",
        format_size(disk.headroom.max(0).unsigned_abs())
    );
    println!("to see it, in a browser: http://{address}/ and http://{address}/capacity");
    println!("to try it:");
    let header = tenants.map_or_else(String::new, |tenants| format!(" -H '{}: acme'", tenants.header()));
    println!("  curl -i{header} -T README.md http://{address}/files/");
    println!("  curl -i{header} http://{address}/files");
    println!("  curl -i{header} -X DELETE http://{address}/files/README.md");
    if tenants.is_some() {
        println!("  curl -i{header} http://{address}/quota");
    }
    println!("listening on http://{address}");
}

async fn serve(listener: TcpListener, app: Router) {
    let (stop, stopped) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let signals = async {
        let mut signals = pin!(stop_signals());
        signals.next().await;
        tracing::info!("uploads under way are finished first; stop again to break them off");
        let _ = stop.send(());
        signals.next().await;
    };
    select! {
        // It outlives failed connections, so it never ends with an error.
        _ = server => {}
        () = signals => {}
    }
}

#[cfg(unix)]
fn stop_signals() -> impl Stream<Item = ()> {
    use std::task::Poll;

    use tokio::signal::unix::{SignalKind, signal};

    // Without a handler a signal ends the process by itself.
    let mut signals: Vec<_> = [SignalKind::interrupt(), SignalKind::terminate()]
        .into_iter()
        .flat_map(signal)
        .collect();
    stream::poll_fn(move |context| {
        let any = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if any { Poll::Ready(Some(())) } else { Poll::Pending }
    })
}

#[cfg(not(unix))]
fn stop_signals() -> impl Stream<Item = ()> {
    stream::unfold((), |()| async { Some((tokio::signal::ctrl_c().await.ok()?, ())) }).chain(stream::pending())
}

/// To stderr: stdout is for what the user asked for. `RUST_LOG` is heeded.
fn start_logging() {
    let default = Targets::new().with_default(tracing::Level::INFO);
    let filter = env::var("RUST_LOG")
        .ok()
        .and_then(|filter| filter.parse().ok())
        .unwrap_or(default);
    let to_stderr = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(to_stderr).with(filter).init();
}
