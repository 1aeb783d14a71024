//! A guard without a framework: hyper, and a Tower service in between.
//!
//! `PUT /{name}` stores a file, by HTTP/1 and HTTP/2.
//!
//! ```sh
//! cargo run --example hyper -- --dir ./uploads --listen 127.0.0.1:3002
//! curl -i -T README.md http://127.0.0.1:3002/
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever started it"
)]

use std::{env, fs, path::Path, process::ExitCode, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tempfile::NamedTempFile;
use tokio::{fs::File, io::AsyncWriteExt, net::TcpListener};
use tower::{BoxError, ServiceBuilder};
use tower_storage_guard::{Guarded, StorageGuardLayer};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn serve() -> Result<(), BoxError> {
    let (dir, address) = options()?;
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("--listen: `{address}` cannot be listened on: {error}"))?;
    fs::create_dir_all(&dir).map_err(|error| format!("--dir: `{}` cannot be made: {error}", dir.display()))?;

    let guard = StorageGuardLayer::for_path(&*dir)?;
    let store = ServiceBuilder::new()
        .layer(guard)
        .service_fn(move |request| store(dir.clone(), request));
    let service = TowerToHyperService::new(store);

    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => TokioIo::new(stream),
            Err(error) => {
                eprintln!("no connection: {error}");
                // Too many open files pass; without a pause this would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = service.clone();
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(stream, service).await {
                eprintln!("connection ended: {error}");
            }
        });
    }
}

/// May return errors of the body and of the disk as they are: the guard puts its refusal in their place.
async fn store(dir: Arc<Path>, request: Request<Guarded<Incoming>>) -> Result<Response<Empty<Bytes>>, BoxError> {
    let name = request.uri().path().trim_start_matches('/').to_owned();
    if request.method() != Method::PUT {
        return Ok(answer(StatusCode::METHOD_NOT_ALLOWED));
    }
    if !is_file_name(&name) {
        return Ok(answer(StatusCode::BAD_REQUEST));
    }
    // Removed by itself when this future is dropped half-way.
    let (file, path) = NamedTempFile::new_in(&dir)?.into_parts();
    let mut file = File::from_std(file);
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            file.write_all(&data).await?;
        }
    }
    file.flush().await?;
    path.persist(dir.join(name))?;
    Ok(answer(StatusCode::CREATED))
}

fn answer(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.bytes().all(plain) && !name.starts_with('.') && (1..=255).contains(&name.len())
}

fn options() -> Result<(Arc<Path>, String), String> {
    let (mut dir, mut address) = ("./uploads".to_owned(), "127.0.0.1:3002".to_owned());
    let mut args = env::args().skip(1);
    while let Some(name) = args.next() {
        let option = match &*name {
            "--dir" => &mut dir,
            "--listen" => &mut address,
            _ => return Err(format!("`{name}` is not an option; there are --dir and --listen")),
        };
        *option = args.next().ok_or_else(|| format!("{name} needs a value"))?;
    }
    Ok((Path::new(&dir).into(), address))
}
