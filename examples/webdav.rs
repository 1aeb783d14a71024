//! A WebDAV server that refuses what does not fit: the crate `dav-server` behind the guard.
//!
//! Its clients see what is left (`quota-available-bytes` and `quota-used-bytes`, RFC 4331) as the guard sees it, and a
//! refusal as `DAV:error`. With `--quota` the files may take up so much and no more.
//!
//! ```sh
//! cargo run --example webdav -- --dir ./files --quota 100MiB
//! cadaver http://127.0.0.1:3004/
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever started it"
)]

use std::{
    convert::Infallible,
    env,
    ffi::OsString,
    fs,
    future::ready,
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::Router;
use bytes::{Buf, Bytes};
use dav_server::{
    DavHandler,
    davpath::DavPath,
    fs::{
        DavDirEntry, DavFile, DavFileSystem, DavMetaData, FsError, FsFuture, FsResult, FsStream, OpenOptions,
        ReadDirMeta,
    },
    localfs::LocalFs,
    memls::MemLs,
};
use http::{Request, Response, StatusCode, request::Parts};
use tempfile::TempPath;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_storage_guard::{
    BodyError, BuildError, Class, Classifier, DefaultClassifier, Floor, Guarded, Linger, Protocol, Reading, Reason,
    Refusal, RenderContext, Renderer, Resource, StorageFailure, StorageGuardLayer, parse_size,
};

const HELP: &str = "\
A WebDAV server that refuses what does not fit.

Usage: webdav [OPTIONS]

  --dir DIR          what is served, made if missing [default: ./files]
  --listen ADDR      address and port; port 0 takes a free one [default: 127.0.0.1:3004]
  --min-free SIZE    what must stay free on the disk, such as 64MiB [default: 5 %, at most 10 GiB]
  --max-upload SIZE  the largest file to accept [default: what the disk can hold]
  --quota SIZE       what all files together may take up [default: no quota]
  --help             this text
";

const QUOTA: &str = "quota";

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Options::parse(env::args_os().skip(1)) {
        Ok(Some(options)) => serve(options).await,
        Ok(None) => {
            print!("{HELP}");
            Ok(())
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn serve(options: Options) -> Result<(), String> {
    let address = &options.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("--listen: `{address}` cannot be listened on: {error}; give a free port"))?;
    let dir: Arc<Path> = options.dir.as_path().into();
    let unusable =
        |error: &dyn std::error::Error| format!("--dir: `{}` cannot be used: {error}; give a directory", dir.display());
    fs::create_dir_all(&dir).map_err(|error| unusable(&error))?;
    let disk = Resource::disk(&*dir).floor(options.min_free);
    let disk = disk.build().map_err(|error| unusable(&error))?;
    let quota = options.quota.map(|bytes| quota(dir.clone(), bytes)).transpose();
    let quota = quota.map_err(|error| unusable(&error))?;

    let guard = guard(&dir, options.max_upload, &disk, quota.as_ref()).map_err(|error| error.to_string())?;
    let files = Files {
        local: *LocalFs::new(&dir, false, false, false),
        dir,
        disk,
        quota,
    };
    let handler = DavHandler::builder()
        .filesystem(Box::new(files))
        .locksystem(MemLs::new())
        .build_handler();
    let service = ServiceBuilder::new()
        .layer(guard)
        .service_fn(move |request| handle(handler.clone(), request));
    if let Ok(address) = listener.local_addr() {
        println!("listening on http://{address}");
    }
    let app: Router = Router::new().fallback_service(service);
    // It outlives failed connections, so it never ends with an error.
    axum::serve(listener, app).await.map_err(|error| error.to_string())
}

// ---- the guard

fn guard(
    dir: &Arc<Path>,
    max_upload: Option<u64>,
    disk: &Resource,
    quota: Option<&Resource>,
) -> Result<StorageGuardLayer, BuildError> {
    let guard = StorageGuardLayer::builder()
        .resource(disk.clone())
        .classifier(SizeOfCopies(dir.clone()))
        .renderer(Words)
        // Some clients (cadaver, davfs2) send all before they read an answer.
        .linger(Linger::default().read_at_most(64 << 20));
    let guard = match quota {
        Some(quota) => guard.resource(quota.clone()),
        None => guard,
    };
    match max_upload {
        Some(bytes) => guard.max_body(bytes).build(),
        None => guard.build(),
    }
}

/// What the files take up, against a limit. Measured seldom: it looks at every file.
fn quota(dir: Arc<Path>, limit: u64) -> Result<Resource, BuildError> {
    let probe = move || size_of(&dir).map(|used| Reading::new(limit, limit.saturating_sub(used)));
    Resource::builder(QUOTA, probe)
        .floor(Floor::NONE)
        .interval(Duration::from_secs(1))
        .build()
}

/// The bytes of a file, or of all files below a directory. What goes away meanwhile counts nothing.
fn size_of(path: &Path) -> io::Result<u64> {
    let size = || {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_dir() {
            return Ok(metadata.len());
        }
        fs::read_dir(path)?.map(|entry| size_of(&entry?.path())).sum()
    };
    match size() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        other => other,
    }
}

/// A `COPY` has no body, but stores as much as it copies.
struct SizeOfCopies(Arc<Path>);

impl Classifier for SizeOfCopies {
    fn classify(&self, parts: &Parts) -> Class {
        match (parts.method.as_str(), DavPath::from_uri(&parts.uri)) {
            // Looks at the disk on a thread that should not wait; what dav-server does next takes longer.
            ("COPY", Ok(path)) => match size_of(&self.0.join(path.as_rel_ospath())) {
                Ok(bytes @ 1..) => Class::StoresBytes(bytes),
                _ => Class::Creates,
            },
            _ => DefaultClassifier.classify(parts),
        }
    }
}

/// WebDAV's, in which a lack of quota has a name of its own. (A `PUT` does not show that it is WebDAV.)
struct Words;

impl Renderer for Words {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let of_quota = refusal.resource() == Some(QUOTA) && refusal.reason() == Reason::Space;
        let refusal = if of_quota {
            &Refusal::new(Reason::Quota)
        } else {
            refusal
        };
        Protocol::WebDav.render(refusal, context)
    }

    fn keeps_head(&self) -> bool {
        false
    }
}

async fn handle<B>(
    handler: DavHandler,
    request: Request<Guarded<B>>,
) -> Result<Response<dav_server::body::Body>, Infallible>
where
    Guarded<B>: http_body::Body<Data = Bytes, Error = BodyError>,
{
    let mut response = handler.handle(request).await;
    // The disk was full all the same. The guard then says so in its own words, and admits nothing until it has looked.
    if response.status() == StatusCode::INSUFFICIENT_STORAGE {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        if let Some(failure) = StorageFailure::from_error(&full) {
            response.extensions_mut().insert(failure);
        }
    }
    Ok(response)
}

// ---- the files

/// A directory whose quota is what the guard would admit.
#[derive(Clone)]
struct Files {
    local: LocalFs,
    dir: Arc<Path>,
    disk: Resource,
    quota: Option<Resource>,
}

impl DavFileSystem for Files {
    /// Used, and used and available together. dav-server tells this of the uppermost folder; of others it tells their
    /// own size as used.
    fn get_quota(&self) -> FsFuture<'_, (u64, Option<u64>)> {
        let disk = self.disk.report();
        let quota = self.quota.as_ref().map(Resource::report);
        let headroom = quota.iter().map(|quota| quota.headroom).fold(disk.headroom, i64::min);
        let scope = quota.unwrap_or(disk);
        let used = scope.total.saturating_sub(scope.available);
        let available = headroom.max(0).unsigned_abs();
        Box::pin(ready(Ok((used, Some(used.saturating_add(available))))))
    }

    fn open<'a>(&'a self, path: &'a DavPath, options: OpenOptions) -> FsFuture<'a, Box<dyn DavFile>> {
        if options.truncate && !path.is_collection() {
            Box::pin(self.upload(path, options))
        } else {
            self.local.open(path, options)
        }
    }

    fn read_dir<'a>(&'a self, path: &'a DavPath, meta: ReadDirMeta) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        self.local.read_dir(path, meta)
    }

    fn metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        self.local.metadata(path)
    }

    fn symlink_metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        self.local.symlink_metadata(path)
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        self.local.create_dir(path)
    }

    fn remove_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        self.local.remove_dir(path)
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        self.local.remove_file(path)
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        self.local.rename(from, to)
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        self.local.copy(from, to)
    }
}

impl Files {
    /// Opens a file beside the one that is to be written, so that an upload which is cut off leaves what was there.
    async fn upload(&self, path: &DavPath, options: OpenOptions) -> FsResult<Box<dyn DavFile>> {
        match self.local.metadata(path).await {
            Ok(_) if options.create_new => return Err(FsError::Exists),
            Err(FsError::NotFound) if !options.create => return Err(FsError::NotFound),
            _ => {}
        }
        static UPLOADS: AtomicU64 = AtomicU64::new(0);
        let name = format!(".upload-{}-{}", std::process::id(), UPLOADS.fetch_add(1, Relaxed));
        let url = path.as_url_string();
        let folder = url.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = DavPath::new(&format!("{folder}/{name}")).map_err(|_| FsError::GeneralFailure)?;
        let content = self.local.open(&beside, options).await?;
        Ok(Box::new(Upload {
            content,
            beside: TempPath::try_from_path(self.dir.join(beside.as_rel_ospath()))?,
            target: self.dir.join(path.as_rel_ospath()),
        }))
    }
}

/// Takes its place when it is complete, and is removed if it never is.
#[derive(Debug)]
struct Upload {
    content: Box<dyn DavFile>,
    beside: TempPath,
    target: PathBuf,
}

impl DavFile for Upload {
    /// Called once, when the body is at its end.
    fn flush(&mut self) -> FsFuture<'_, ()> {
        Box::pin(async {
            self.content.flush().await?;
            Ok(tokio::fs::rename(&self.beside, &self.target).await?)
        })
    }

    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        self.content.metadata()
    }

    fn write_buf(&mut self, buf: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        self.content.write_buf(buf)
    }

    fn write_bytes(&mut self, bytes: Bytes) -> FsFuture<'_, ()> {
        self.content.write_bytes(bytes)
    }

    fn read_bytes(&mut self, count: usize) -> FsFuture<'_, Bytes> {
        self.content.read_bytes(count)
    }

    fn seek(&mut self, position: SeekFrom) -> FsFuture<'_, u64> {
        self.content.seek(position)
    }
}

// ---- the command line

struct Options {
    dir: PathBuf,
    listen: String,
    min_free: Floor,
    max_upload: Option<u64>,
    quota: Option<u64>,
}

impl Options {
    /// `None` if only help is asked for.
    fn parse(args: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let args: Result<Vec<_>, _> = args.map(OsString::into_string).collect();
        let mut args = args
            .map_err(|arg| format!("{arg:?} is not valid Unicode; write it in UTF-8"))?
            .into_iter();
        let mut options = Self {
            dir: "./files".into(),
            listen: "127.0.0.1:3004".to_owned(),
            min_free: Floor::default(),
            max_upload: None,
            quota: None,
        };
        while let Some(arg) = args.next() {
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (&*arg, None),
            };
            let mut value = || {
                let value = inline.clone().or_else(|| args.next());
                value
                    .filter(|value| !value.is_empty() && !value.starts_with("--"))
                    .ok_or_else(|| format!("{name} needs a value; see --help"))
            };
            // The error names the value and shows how to write one.
            let size = |value: String| parse_size(&value).map_err(|error| format!("{name}: {error}"));
            match name {
                "--dir" => options.dir = value()?.into(),
                "--listen" => options.listen = value()?,
                "--min-free" => options.min_free = Floor::bytes(size(value()?)?),
                "--max-upload" => options.max_upload = Some(size(value()?)?),
                "--quota" => options.quota = Some(size(value()?)?),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("`{arg}` is not an option; --help lists them")),
            }
        }
        Ok(Some(options))
    }
}
